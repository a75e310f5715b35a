#!lua flags=allow-oom
-- cancel.lua: leave the line, or give back a grant that nobody took.
--
-- ARGV  4 name, 5 member, 6 lockId, 7 "leave", or "park" to keep the place for the grace
--       8 the state in which the call that gives up got its grant, "" where nobody else can have taken it up
-- Answers, with holders as rows of lockId and value
--       left       it waited, and waits no more
--       returned   it had been granted, and the grant was given back
--       kept       it had been granted, and a repeat of the request has taken that grant
--       none       nothing of it was there
-- include head
-- include lib
local name, member, id, how = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local lock = open(name)
local h = lock.holders[id]
if h then
  if h.state ~= 'P' and ARGV[8] ~= '' and h.state ~= ARGV[8] then return finish('kept', lock, sample(lock)) end
  -- A grant that this node has not claimed leaves the place as it was: kept aside, where the client is to come back.
  if how == 'park' and h.state == 'P' then park(name, describe(h), h.line, h.meta, h.ticket) end
  drop(lock, h, 'released')
  return finish('returned', lock, sample(lock))
end
local raw = redis.call('HGET', lock.waiters, member)
if raw then
  local d, _, line, meta = request(raw)
  if d.lockId ~= id then return finish('none', lock, sample(lock)) end
  if how == 'park' then
    park(name, d, line, meta, digits(redis.call('ZSCORE', lock.queue, member)))
  else
    emit('dequeued', name, d, 0)
  end
  leave(lock, member)
  return finish('left', lock, sample(lock))
end
if how == 'leave' then
  local parked = base .. PARKED .. name .. '\n' .. member
  local value = redis.call('GET', parked)
  if value and cjson.decode(string.match(value, '\n([^\n]*)')).lockId == id then redis.call('DEL', parked) end
end
return finish('none', lock, sample(lock))
