-- Charge several levels, all of them or none. The same arithmetic as edge/core/buckets.py and edge/core/budgets.py.
-- KEYS: the mark of this charge, one per level, then marks of charges whose answer has come.
-- ARGV: now (microseconds), 1 to charge or 0 to look, milliseconds to keep the mark, then for each level:
-- kind (b bucket, c calendar), amount, period (microseconds) or number of the calendar period, cost (units times
-- microseconds for a bucket), milliseconds to keep it, 1 for a shadow.
-- Answers "passed" and for each level "used short", the used before any charge. The mark says what of each level was
-- charged, for a gate that gets no answer: - for nothing, else the number of the calendar period or 0.
local now, charge, count = tonumber(ARGV[1]), ARGV[2] == '1', (#ARGV - 3) / 6
local passed, seen, told, mark = true, {}, {}, {}
for i = 1, count do
  local key, o = KEYS[1 + i], 3 + (i - 1) * 6
  local kind, amount, period, cost = ARGV[o + 1], tonumber(ARGV[o + 2]), tonumber(ARGV[o + 3]), tonumber(ARGV[o + 4])
  local state = redis.call('HMGET', key, 'u', 'a', 't')
  local used, at, since = tonumber(state[1]) or 0, tonumber(state[2]), tonumber(state[3])
  local short
  if kind == 'b' then
    used, at, since = drained(key, used, at, since, now, amount, period)
    short = used + math.max(cost, 1) > amount * period
  else
    if not at or period > at then
      used, at = 0, period
    elseif period < at - 1 then
      at = period
    end
    short = used >= amount or used + cost > amount
  end
  if short and ARGV[o + 6] ~= '1' then
    passed = false
  end
  seen[i] = {used, at, cost, short, since}
  told[i] = string.format('%.17g %d %d', used, short and 1 or 0, kind == 'c' and at or 0)
  mark[i] = short and '-' or string.format('%d', kind == 'c' and at or 0)
end
if passed and charge then
  -- A charge whose refund was there first is not made any more.
  passed = redis.call('SET', KEYS[1], table.concat(mark, ' '), 'NX', 'PX', ARGV[3]) ~= false
  for i = 1, passed and count or 0 do
    local used, at, cost, short, since = unpack(seen[i], 1, 5)
    if not short then
      store(KEYS[1 + i], used + cost, at, since, ARGV[3 + (i - 1) * 6 + 5])
    end
  end
end
if #KEYS > count + 1 then
  -- Last: a server that is full refuses a script only before its first write.
  redis.call('DEL', unpack(KEYS, count + 2))
end
return redis.status_reply((passed and '1 ' or '0 ') .. table.concat(told, ' '))
