#!lua flags=allow-oom
-- release.lua: end a grant and hand the lock to the next in line, in one step.
--
-- ARGV  4 name, 5 client, 6 lockId
-- Answers
--       released   since (us) of the grant
--       lost       no such grant lives: it expired, was released or was forced
--       not_owner  it lives, and is another client's
-- include head
local name, client, id = ARGV[4], ARGV[5], ARGV[6]
local key = base .. LOCK .. name
local flat = redis.call('HGETALL', key)

-- The usual case by the shortest way: it is the only holder, and nobody waits.
if #flat == 2 and flat[1] == id and redis.call('EXISTS', base .. QUEUE .. name) == 0 then
  local h = parse(id, flat[2])
  local d = describe(h)
  if h.state ~= 'P' and h.ends > now and d.client == client then
    redis.call('DEL', key)
    redis.call('ZREM', base .. DUE, due(name, h))
    redis.call('ZREM', base .. NAMES, name)
    emit('released', name, d, h.token)
    return {'released', micros, 0, 0, 0, 0, h.since}
  end
end

-- include lib
local lock = open(name, flat)
local h = lock.holders[id]
if not h or h.state == 'P' then return finish('lost', lock) end
if describe(h).client ~= client then return finish('not_owner', lock) end
drop(lock, h, 'released')
return finish('released', lock, {h.since})
