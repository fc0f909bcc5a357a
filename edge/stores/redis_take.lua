-- Charge several levels, all of them or none. The same arithmetic as edge/core/buckets.py and edge/core/budgets.py.
-- KEYS: one per level. ARGV: now (microseconds), 1 to charge or 0 to look, then for each level:
-- kind (b bucket, c calendar), amount, period (microseconds) or number of the calendar period, cost (units times
-- microseconds for a bucket), milliseconds to keep it, 1 for a shadow.
-- Answers "passed" and for each level "used short", the used before any charge.
local now, charge = tonumber(ARGV[1]), ARGV[2] == '1'
local passed, seen, told = true, {}, {}
for i, key in ipairs(KEYS) do
  local o = 2 + (i - 1) * 6
  local kind, amount, period, cost = ARGV[o + 1], tonumber(ARGV[o + 2]), tonumber(ARGV[o + 3]), tonumber(ARGV[o + 4])
  local state = redis.call('HMGET', key, 'u', 'a')
  local used, at = tonumber(state[1]) or 0, tonumber(state[2])
  local short
  if kind == 'b' then
    if not at or now < at - period then
      at = now
    elseif now > at then
      used = math.max(0, used - (now - at) * amount)
      at = now
    end
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
  seen[i] = {used, at, cost, short, kind, amount}
  told[i] = string.format('%.17g %d %d', used, short and 1 or 0, kind == 'c' and at or 0)
end
if passed and charge then
  for i, key in ipairs(KEYS) do
    local used, at, cost, short, kind, amount = unpack(seen[i])
    if not short then
      redis.call('HSET', key, 'u', string.format('%.17g', used + cost), 'a', string.format('%.0f', at))
      redis.call('PEXPIRE', key, ARGV[2 + (i - 1) * 6 + 5])
    end
  end
end
return redis.status_reply((passed and '1 ' or '0 ') .. table.concat(told, ' '))
