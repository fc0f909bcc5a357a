-- One place in every set, or none. KEYS: one sorted set per bound, holder by the moment its lease ends.
-- ARGV: holder, milliseconds, then the size of each bound. The time is the server's own: one clock for every gate.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  if not redis.call('ZSCORE', key, ARGV[1]) and redis.call('ZCARD', key) >= tonumber(ARGV[2 + i]) then
    return redis.status_reply('0')
  end
end
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, now + ARGV[2], ARGV[1])
  redis.call('PEXPIRE', key, 2 * ARGV[2])
end
return redis.status_reply('1')
