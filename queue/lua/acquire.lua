#!lua
-- acquire.lua: take the lock, or a place in its line, or find what the same request had before.
--
-- ARGV  4 name, 5 member ("client\nrequest"), 6 wait (ms, 0 to try once), 7 the longest line allowed
--       8 "1" to look for an earlier outcome of the same request, 9 the ticket of a node that asks for a place of
--       its own again, maybe after loss of data (0 for none), 10 descriptor, 11 metadata
-- Answers
--       granted   lockId, token, since (us), end (ms), and for a grant made before, the holder's value
--       queued    position, ticket, then holders as rows of lockId and value
--       held      holders: it is taken, and the request does not wait
--       full      the line is as long as it may be
--       limit     the live lock's limit, which the request's is not
--       mismatch  the same request was made before with another body
-- include head
local name, member, wait, most = ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local given, restore, line, meta = ARGV[8] == '1', tonumber(ARGV[9]), ARGV[10], ARGV[11]
local parked = base .. PARKED .. name .. '\n' .. member
local want = cjson.decode(line)

-- stand puts the request in line, behind so many.
local function stand(ticket, since, before)
  redis.call('ZADD', base .. QUEUE .. name, ticket, member)
  redis.call('HSET', base .. WAITERS .. name, member, int(now + wait) .. ' ' .. since .. '\n' .. line .. '\n' .. meta)
  if before == 0 then redis.call('SADD', base .. CONTENDED, name) end
end

-- The usual case by the shortest way: nobody holds the lock, nobody waits, no place is kept.
if redis.call('EXISTS', base .. LOCK .. name, base .. QUEUE .. name, parked) == 0 then
  local h = {id = want.lockId, line = line, meta = meta, d = want, ticket = '0', token = draw(), since = int(micros),
    ends = now + want.lease, state = 'H', mode = want.mode == 'shared' and 's' or 'x', limit = want.limit}
  put(name, h)
  redis.call('PEXPIREAT', base .. LOCK .. name, int(h.ends + RETAIN))
  redis.call('ZADD', base .. NAMES, '0', name)
  emit('granted', name, want, h.token)
  return {'granted', micros, h.ends, 0, 0, 0, h.id, h.token, micros, h.ends}
end

-- The next usual case: one holder has it all, and the request is new.
local flat = redis.call('HGETALL', base .. LOCK .. name)
if #flat == 2 and want.mode == 'exclusive' and want.limit == 1 then
  local h = parse(flat[1], flat[2])
  local d = given and describe(h)
  if h.ends > now and h.mode == 'x' and h.limit == 1 and (not given or not (d.client == want.client and d.request == want.request)
    and redis.call('EXISTS', parked) == 0 and redis.call('HEXISTS', base .. WAITERS .. name, member) == 0) then
    local waiting = redis.call('ZCARD', base .. QUEUE .. name)
    if wait == 0 then return {'held', micros, h.ends, 0, waiting, 0, h.id, flat[2]} end
    if waiting < most and restore == 0 then
      local ticket = draw()
      stand(ticket, int(micros), waiting)
      emit('queued', name, want, ticket)
      return {'queued', micros, h.ends, 0, waiting + 1, 0, waiting + 1, ticket, h.id, flat[2]}
    end
  end
end

-- include lib
local lock = open(name, flat)

local function granted(h, again)
  return finish('granted', lock, {h.id, h.token, h.since, h.ends, again and value(h)})
end

-- A live grant of the same request: the grant again. From now on no late cancel of an earlier call may take it.
local function again()
  for _, h in pairs(lock.holders) do
    local d = describe(h)
    if d.client == want.client and d.request == want.request then
      if d.print ~= want.print then return finish('mismatch', lock) end
      if h.state == 'P' then
        redis.call('SREM', base .. GRANTS .. d.node, name .. '\n' .. h.id)
        h.since, h.ends = int(micros), now + d.lease
        emit('granted', name, d, h.token)
      end
      h.state = string.match('HKLMNOQRSTUVWXYZK', (h.state == 'P' and 'H' or h.state) .. '(.)')
      store(lock, h)
      return granted(h, true)
    end
  end
end

-- A place of the same request is taken over before the line is served, or the line would serve the call before it.
local ticket
if given then
  local had = again()
  if had then return had end
  local since, before
  local raw = redis.call('HGET', lock.waiters, member)
  if raw then
    since, before = string.match(raw, '^%d+ (%d+)\n([^\n]*)')
    ticket = digits(redis.call('ZSCORE', lock.queue, member))
    -- A node that asks for a place of its own again does not take it from the call that has it now.
    if restore > 0 and cjson.decode(before).lockId ~= want.lockId then
      return finish('queued', lock, {redis.call('ZRANK', lock.queue, member) + 1, ticket})
    end
  else
    raw = redis.call('GET', parked)
    if raw then
      ticket, before = string.match(raw, '^(%d+)\n([^\n]*)')
    end
  end
  if before and cjson.decode(before).print ~= want.print then return finish('mismatch', lock) end
  if ticket and wait > 0 then
    redis.call('DEL', parked)
    stand(ticket, since or int(micros), since and 1 or 0)
  end
end

if not ticket and lock.count > 0 and lock.limit ~= want.limit then return finish('limit', lock, {lock.limit}) end

-- Dead weight at the head must not keep out somebody who is there.
lock.waiting = redis.call('ZCARD', lock.queue)
if lock.waiting > 0 and not full(lock) then
  pump(lock)
  lock.waiting = lock.waiting or redis.call('ZCARD', lock.queue)
end
local mine = lock.holders[want.lockId]
if mine then return granted(mine) end
if ticket and wait == 0 then
  local had = again() -- the line has just served the call before this one
  if had then return had end
end

if (not ticket or wait == 0) and lock.waiting == 0 and fits(lock, want) then
  if ticket then redis.call('DEL', parked) end
  return granted(give(lock, want, line, meta, '0'))
end
if wait == 0 then return finish('held', lock, sample(lock)) end

local position
if ticket then
  position = redis.call('ZRANK', lock.queue, member) + 1
else
  if lock.waiting >= most and restore == 0 then return finish('full', lock, sample(lock)) end
  ticket = restore > 0 and int(restore) or draw()
  stand(ticket, int(micros), lock.waiting)
  emit('queued', name, want, ticket)
  position = lock.waiting + 1
  lock.waiting = nil
  if restore > 0 then
    if not full(lock) then pump(lock) end
    mine = lock.holders[want.lockId]
    if mine then return granted(mine) end
    position = redis.call('ZRANK', lock.queue, member) + 1
  end
end
local rest = sample(lock)
table.insert(rest, 1, ticket)
table.insert(rest, 1, position)
return finish('queued', lock, rest)
