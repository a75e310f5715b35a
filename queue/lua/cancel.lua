#!lua flags=allow-oom
-- cancel.lua: leave the line, or give back a grant that nobody took.
--
-- ARGV  4 name, 5 member, 6 lockId, 7 "leave", or "park" to keep the place for the grace; "undo" does so for any
--         grant from the line, which its client has not been told of and is told to ask for again
--       8 the state in which the call that gives up got its grant, "" where nobody else can have taken it up
--       9 what is left of the wait (ms), for the place that a grant given back leaves behind
-- Answers, with holders as rows of lockId and value
--       left       it waited, and waits no more
--       returned   it had been granted, and the grant was given back
--       kept       it had been granted, and a repeat of the request has taken that grant
--       none       nothing of it was there
-- include clock
-- include head
-- include lib
local name, member, id, how, left = ARGV[4], ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[9])
local lock = open(name)
local h = lock.holders[id]
if h then
  if h.state ~= 'P' and ARGV[8] ~= '' and h.state ~= ARGV[8] then return finish('kept', lock, sample(lock)) end
  local d, unclaimed = describe(h), h.state == 'P'
  drop(lock, h, 'released')
  -- A grant that never reached its client leaves the place as it was: kept aside, where the client is to come back.
  if how ~= 'leave' and h.ticket ~= '0' and (unclaimed or left > 0 and (how == 'undo' or d.session ~= '-')) then
    if not unclaimed and how == 'park' then note(name, d) end
    park(name, d, h.text, h.ticket, unclaimed and h.till or now + left, h.ticket)
  elseif unclaimed then
    forget(name, d)
    emit('dequeued', name, d, 0)
  end
  return finish('returned', lock, sample(lock))
end
local raw = redis.call('HGET', lock.waiters, member)
if raw then
  local d, deadline, text, since = request(raw)
  if d.id ~= id then return finish('none', lock, sample(lock)) end
  if how ~= 'leave' then
    park(name, d, text, digits(redis.call('ZSCORE', lock.queue, member)), deadline, since)
  else
    forget(name, d)
    emit('dequeued', name, d, 0)
  end
  leave(lock, member)
  return finish('left', lock, sample(lock))
end
if how == 'leave' then
  local parked = base .. PARKED .. name .. '\n' .. member
  local value = redis.call('GET', parked)
  local d = value and terms(string.match(value, '\n(.*)$'))
  if d and d.id == id then
    redis.call('DEL', parked)
    forget(name, d)
  end
end
return finish('none', lock, sample(lock))
