#!lua flags=allow-oom
-- release.lua: end a grant and hand the lock to the next in line, in one step.
--
-- ARGV  4 name, 5 client, 6 lockId
-- Answers
--       released   since (us) of the grant
--       lost       no such grant lives: it expired, was released or was forced
--       not_owner  it lives, and is another client's
-- include clock
local name, client, id = ARGV[4], ARGV[5], ARGV[6]
local key, queue = base .. LOCK .. name, base .. QUEUE .. name
local flat = redis.call('HGETALL', key)

-- The usual cases by the shortest way: it is the only holder, nobody watches, and nobody waits, or one of this node's
-- own is next.
local ends, state, since, ticket, node, session, every, member
if #flat == 2 and flat[1] == id then
  ends, state, since, ticket, node, session, every, member = string.match(flat[2],
    '^(%d+) (%a) %d+ (%d+) (%d+) %d+\n%S+ %S+ (%S+) (%S+) %d+ %a+ %d+ (%d+) [^\n]*\n([^\n]*\n[^\n]*)\n')
end
if state and state ~= 'P' and tonumber(ends) > now and string.match(member, '^[^\n]*') == client then
  local others = redis.call('EXISTS', queue, base .. WATCHED, base .. MOVES)
  local noted = session ~= '-' and (ticket ~= '0' or every ~= '0')
  if others == 0 then
    redis.call('DEL', key)
    redis.call('ZREM', base .. DUE, name .. '\n' .. id .. '\n' .. node)
    redis.call('ZREM', base .. NAMES, name)
    if noted then redis.call('HDEL', base .. SESSION .. session, name .. '\n' .. member) end
    return {'released', micros, 0, 0, 0, 0, since}
  end
  local head = others == 1 and redis.call('ZRANGE', queue, '0', '0', 'WITHSCORES')
  local raw = head and head[1] and redis.call('HGET', base .. WAITERS .. name, head[1])
  local deadline, text = string.match(raw or '', '^(%d+) %d+\n(.*)$')
  if text and tonumber(deadline) > now then
    local next, theirs, lease = string.match(text, '^(%S+) %S+ (%S+) %S+ (%d+) exclusive 1 0 ')
    if theirs == me then
      local token = draw()
      ends = now + lease
      local last = int(ends)
      redis.call('HDEL', key, id)
      redis.call('HSET', key, next, string.format('%s H %s %d %d 0\n', last, token, micros, tonumber(head[2])) .. text)
      redis.call('PEXPIREAT', key, int(ends + RETAIN))
      redis.call('ZREM', base .. DUE, name .. '\n' .. id .. '\n' .. node)
      redis.call('ZADD', base .. DUE, last, name .. '\n' .. next .. '\n' .. me)
      redis.call('ZREM', queue, head[1])
      redis.call('HDEL', base .. WAITERS .. name, head[1])
      if noted then redis.call('HDEL', base .. SESSION .. session, name .. '\n' .. member) end
      local waiting = redis.call('ZCARD', queue)
      if waiting == 0 then redis.call('SREM', base .. CONTENDED, name) end
      return {'released', micros, ends, 0, waiting, 1, name, next, token, micros, ends, micros, since}
    end
  end
end

-- include head
-- include lib
local lock = open(name, flat)
local h = lock.holders[id]
if not h or h.state == 'P' then return finish('lost', lock) end
if describe(h).client ~= client then return finish('not_owner', lock) end
drop(lock, h, 'released')
return finish('released', lock, {h.since})
