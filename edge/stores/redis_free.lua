-- Give a holder's places back. KEYS: one sorted set per bound. ARGV: holder.
for _, key in ipairs(KEYS) do
  redis.call('ZREM', key, ARGV[1])
end
return redis.status_reply('1')
