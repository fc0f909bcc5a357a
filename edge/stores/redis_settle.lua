-- Add corrections to levels, once: a gate that got no answer in time asks again.
-- KEYS: the mark of this settlement, or of the charge that is to be refunded, then one per level, then marks of charges
-- whose answer has come.
-- ARGV: now (microseconds), 1 for a refund, milliseconds to keep the mark, then for each level: kind, amount, period
-- (microseconds) or number of the calendar period that was charged, correction, milliseconds to keep it.
local now, refund, count = tonumber(ARGV[1]), ARGV[2] == '1', (#ARGV - 3) / 5
local charged = {}
if refund then
  -- Nobody knows whether the charge was made. Where it was not it never will be: its mark is there from now on.
  for part in string.gmatch(redis.call('GET', KEYS[1]) or '', '%S+') do
    charged[#charged + 1] = part
  end
  redis.call('SET', KEYS[1], '', 'PX', ARGV[3])
elseif not redis.call('SET', KEYS[1], '', 'NX', 'PX', ARGV[3]) then
  return redis.status_reply('0')
end
for i = 1, count do
  local key, o = KEYS[1 + i], 3 + (i - 1) * 5
  local kind, amount, period, cost = ARGV[o + 1], tonumber(ARGV[o + 2]), tonumber(ARGV[o + 3]), tonumber(ARGV[o + 4])
  local state = redis.call('HMGET', key, 'u', 'a', 't')
  local used, at, since = tonumber(state[1]) or 0, tonumber(state[2]), tonumber(state[3])
  local write = true
  if refund then
    period = kind == 'c' and tonumber(charged[i]) or period
    -- What a bucket has drained since needs no refund.
    write = charged[i] and charged[i] ~= '-' and not (kind == 'b' and at and at - now >= period)
  end
  if kind == 'b' then
    used, at, since = drained(key, used, at, since, write and now or at or now, amount, period)
  elseif not at or at < period then
    used, at = 0, period
  elseif at > period then
    write = false
  end
  if write then
    store(key, math.max(0, used + cost), at, since, ARGV[o + 5])
  end
end
if #KEYS > count + 1 then
  redis.call('DEL', unpack(KEYS, count + 2))
end
return redis.status_reply('1')
