-- What stands before the scripts that charge and settle: how a bucket drains, and how a level is kept. Times are in
-- microseconds; a level is what is used (u), the clock of the gates (a), and where they disagree the server's own (t).

-- A clock that is behind drains nothing until it has caught up. One that is behind by more than a period was set anew,
-- or another gate's is ahead: the server's own then tells how long it has been, so that no time is counted twice.
local function drained(key, used, at, since, now, amount, period)
  if not at then
    return used, now, since
  end
  if since or now < at - period then
    local time = redis.call('TIME')
    local own = time[1] * 1000000 + time[2]
    if not since then
      redis.call('HSET', key, 't', string.format('%.0f', own))
    elseif now <= at then
      local gone = math.max(0, own - since)
      used, at = math.max(0, used - gone * amount), at + gone
    end
    since = own
  end
  if now > at then
    return math.max(0, used - (now - at) * amount), now, since
  end
  return used, at, since
end

local function store(key, used, at, since, keep)
  redis.call('HSET', key, 'u', string.format('%.17g', used), 'a', string.format('%.0f', at))
  if since then
    redis.call('HSET', key, 't', string.format('%.0f', since))
  end
  redis.call('PEXPIRE', key, keep)
end

