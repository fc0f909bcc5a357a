-- Add corrections to levels, once: a gate that got no answer in time asks again. KEYS: the mark of this settlement,
-- then one per level. ARGV: now (microseconds), then for each level: kind, amount, period
-- (microseconds) or number of the calendar period that was charged, correction, milliseconds to keep it.
if not redis.call('SET', KEYS[1], '1', 'NX', 'PX', 3600000) then
  return redis.status_reply('0')
end
local now = tonumber(ARGV[1])
for i = 2, #KEYS do
  local key, o = KEYS[i], 1 + (i - 2) * 5
  local kind, amount, period, cost = ARGV[o + 1], tonumber(ARGV[o + 2]), tonumber(ARGV[o + 3]), tonumber(ARGV[o + 4])
  local state = redis.call('HMGET', key, 'u', 'a')
  local used, at = tonumber(state[1]) or 0, tonumber(state[2])
  local write = true
  if kind == 'b' then
    if not at or now < at - period then
      at = now
    elseif now > at then
      used = math.max(0, used - (now - at) * amount)
      at = now
    end
  elseif not at or at < period then
    used, at = 0, period
  elseif at > period then
    write = false
  end
  if write then
    redis.call('HSET', key, 'u', string.format('%.17g', math.max(0, used + cost)), 'a', string.format('%.0f', at))
    redis.call('PEXPIRE', key, ARGV[o + 5])
  end
end
return redis.status_reply('1')
