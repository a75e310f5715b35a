-- short.lua: the usual cases of acquire and release by the shortest way; a part of calls.lua. Each answers nothing where
-- the call is none of them, and has then changed nothing.

-- watchers reports whether there are any; who names a request for them.
local function watchers()
  if redis.call('EXISTS', base .. WATCHED) == 0 then return false end
  watched = true
  return true
end

local function who(text)
  local client, owner = string.match(text, '^[^\n]*\n([^\n]*)\n[^\n]*\n([^\n]*)\n')
  return {client = client, owner = owner}
end

local function takes(at)
  if ARGV[at + 10] ~= '1' then return end
  local name, member, id = ARGV[at], ARGV[at + 6], ARGV[at + 7]
  local key, queue = base .. LOCK .. name, base .. QUEUE .. name
  local there = redis.call('EXISTS', key, queue, base .. PARKED .. name .. '\n' .. member, base .. WATCHED, base .. QUARANTINE)

  -- Nobody holds the lock, nobody waits, no place is kept, nothing is withheld.
  local seen = there == 1 and watchers()
  if there == 0 or seen then
    local token, ends = draw(), now + ARGV[at + 8]
    if barred then return end -- all data are gone: nothing but a ticket was changed
    local last = int(ends)
    redis.call('HSET', key, id, string.format('%s H %s %d 0 0\n', last, token, micros) .. ARGV[at + 5])
    redis.call('PEXPIREAT', key, int(ends + RETAIN))
    redis.call('ZADD', base .. DUE, last, name .. '\n' .. id .. '\n' .. me)
    redis.call('ZADD', base .. NAMES, '0', name)
    if seen then emit('granted', name, who(ARGV[at + 5]), token) end
    return {'granted', micros, ends, 0, 0, 0, id, token, micros, ends}
  end

  -- One holder has it all, and the request is new and waits, or tries in vain.
  local flat = redis.call('HGETALL', key)
  if #flat ~= 2 or ARGV[at + 4] ~= '0' then return end
  local ends, holder = string.match(flat[2], '^(%d+) [^\n]*\n%S+ %S+ %S+ %S+ %d+ exclusive 1 [^\n]*\n([^\n]*\n[^\n]*)\n')
  ends = tonumber(ends or 0)
  if ends <= now then return end
  if ARGV[at + 3] == '1' and (holder == member or redis.call('HEXISTS', base .. WAITERS .. name, member) == 1) then return end
  local wait, waiting = tonumber(ARGV[at + 1]), redis.call('ZCARD', queue)
  local others = there - (waiting > 0 and 2 or 1)
  seen = others == 1 and watchers()
  if others ~= 0 and not seen then return end
  if wait == 0 then return {'held', micros, ends, 0, waiting, 0, flat[1], flat[2]} end
  if waiting >= tonumber(ARGV[at + 2]) then return end
  local ticket, session = draw(), ARGV[at + 9]
  redis.call('ZADD', queue, ticket, member)
  redis.call('HSET', base .. WAITERS .. name, member, string.format('%d %d\n', now + wait, micros) .. ARGV[at + 5])
  if waiting == 0 then redis.call('SADD', base .. CONTENDED, name) end
  if session ~= '-' then redis.call('HSET', base .. SESSION .. session, name .. '\n' .. member, '') end
  if seen then emit('queued', name, who(ARGV[at + 5]), 0) end
  return {'queued', micros, ends, 0, waiting + 1, 0, waiting + 1, ticket, flat[1], flat[2]}
end

local function gives(at)
  local name, id = ARGV[at], ARGV[at + 2]
  local key, queue, waiters = base .. LOCK .. name, base .. QUEUE .. name, base .. WAITERS .. name
  local flat = redis.call('HGETALL', key)
  if #flat ~= 2 or flat[1] ~= id then return end
  local ends, state, old, since, ticket, node, session, every, member, owner = string.match(flat[2],
    '^(%d+) (%a) (%d+) (%d+) (%d+) %d+\n%S+ %S+ (%S+) (%S+) %d+ %a+ %d+ (%d+) [^\n]*\n([^\n]*\n[^\n]*)\n([^\n]*)\n')
  if state == 'P' or tonumber(ends) <= now or string.match(member, '^[^\n]*') ~= ARGV[at + 1] then return end
  local others, client = redis.call('EXISTS', queue, base .. WATCHED, base .. MOVES, base .. QUARANTINE), ARGV[at + 1]
  local due, noted = name .. '\n' .. id .. '\n' .. node, session ~= '-' and (ticket ~= '0' or every ~= '0')

  -- It is the only holder, and nobody waits.
  local seen = others > 1 and watchers()
  local head = (others == 1 or others == 2 and seen) and redis.call('ZRANGE', queue, '0', '0', 'WITHSCORES')
  if others == 0 or head and not head[1] then
    if seen or others == 1 and watchers() then emit('released', name, {client = client, owner = owner}, old) end
    redis.call('DEL', key)
    redis.call('ZREM', base .. DUE, due)
    redis.call('ZREM', base .. NAMES, name)
    if noted then redis.call('HDEL', base .. SESSION .. session, name .. '\n' .. member) end
    return {'released', micros, 0, 0, 0, 0, since}
  end

  -- Or one of this node's own is next.
  local raw = head and redis.call('HGET', waiters, head[1])
  local deadline, text = string.match(raw or '', '^(%d+) %d+\n(.*)$')
  if not text or tonumber(deadline) <= now then return end
  local next, theirs, lease = string.match(text, '^(%S+) %S+ (%S+) %S+ (%d+) exclusive 1 0 ')
  if theirs ~= me then return end
  if seen then emit('released', name, {client = client, owner = owner}, old) end
  local token = draw()
  ends = now + lease
  local last = int(ends)
  redis.call('HDEL', key, id)
  redis.call('HSET', key, next, string.format('%s H %s %d %d 0\n', last, token, micros, tonumber(head[2])) .. text)
  redis.call('PEXPIREAT', key, int(ends + RETAIN))
  redis.call('ZREM', base .. DUE, due)
  redis.call('ZADD', base .. DUE, last, name .. '\n' .. next .. '\n' .. me)
  redis.call('ZREM', queue, head[1])
  redis.call('HDEL', waiters, head[1])
  if noted then redis.call('HDEL', base .. SESSION .. session, name .. '\n' .. member) end
  if seen then emit('granted', name, who(text), token) end
  local waiting = redis.call('ZCARD', queue)
  if waiting == 0 then redis.call('SREM', base .. CONTENDED, name) end
  return {'released', micros, ends, 0, waiting, 1, name, next, token, micros, ends, micros, since}
end
