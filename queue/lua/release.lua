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

-- The usual cases by the shortest way: it is the only holder, and nobody waits, or one of this node's own is next.
if #flat == 2 and flat[1] == id then
  local queue, waiters = base .. QUEUE .. name, base .. WAITERS .. name
  local h = parse(id, flat[2])
  local d = describe(h)
  local mine = h.state ~= 'P' and h.ends > now and d.client == client
  local head = mine and redis.call('ZRANGE', queue, '0', '0', 'WITHSCORES')
  if mine and not head[1] then
    redis.call('DEL', key)
    redis.call('ZREM', base .. DUE, due(name, h))
    redis.call('ZREM', base .. NAMES, name)
    emit('released', name, d, h.token)
    return {'released', micros, 0, 0, 0, 0, h.since}
  end
  local raw = mine and redis.call('HGET', waiters, head[1])
  local deadline, line, meta = string.match(raw or '', '^(%d+) %d+\n([^\n]*)\n(.*)$')
  local g = line and {line = line, meta = meta, ticket = int(tonumber(head[2])), since = int(micros), state = 'H',
    mode = 'x', limit = 1}
  local w = g and describe(g)
  if w and w.node == me and tonumber(deadline) > now and w.mode == 'exclusive' and w.limit == 1 then
    redis.call('HDEL', key, id)
    redis.call('ZREM', base .. DUE, due(name, h))
    emit('released', name, d, h.token)
    redis.call('ZREM', queue, head[1])
    redis.call('HDEL', waiters, head[1])
    g.id, g.token, g.ends = w.lockId, draw(), now + w.lease
    put(name, g)
    redis.call('PEXPIREAT', key, int(g.ends + RETAIN))
    emit('granted', name, w, g.token)
    local waiting = redis.call('ZCARD', queue)
    if waiting == 0 then redis.call('SREM', base .. CONTENDED, name) end
    return {'released', micros, g.ends, 0, waiting, 1, name, g.id, g.token, micros, g.ends, micros, h.since}
  end
end

-- include lib
local lock = open(name, flat)
local h = lock.holders[id]
if not h or h.state == 'P' then return finish('lost', lock) end
if describe(h).client ~= client then return finish('not_owner', lock) end
drop(lock, h, 'released')
return finish('released', lock, {h.since})
