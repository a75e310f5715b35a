#!lua
-- acquire.lua: take the lock, or a place in its line, or find what the same request had before.
--
-- ARGV  4 name, 5 member ("client\nrequest"), 6 wait (ms, 0 to try once), 7 the longest line allowed
--       8 "1" to look for an earlier outcome of the same request, 9 a ticket to come back with after loss of
--       data (0 for none), 10 descriptor, 11 metadata
-- Answers
--       granted   lockId, token, since (us), end (ms), and for a grant made before, the holder's value
--       queued    position, ticket, then holders as rows of lockId and value
--       held      holders: it is taken, and the request does not wait
--       full      the line is as long as it may be
--       limit     the live lock's limit, which the request's is not
--       mismatch  the same request was made before with another body
local name, member, wait, most = ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local given, restore, line, meta = ARGV[8] == '1', tonumber(ARGV[9]), ARGV[10], ARGV[11]
local want, lock = cjson.decode(line), open(name)

local function granted(h, value)
  return finish('granted', lock, {h.id, int(h.token), int(h.since), int(h.ends), value})
end

-- A live grant of the same request: the grant again. From now on no late cancel of the first call may take it.
local ticket, waited
if given then
  for _, h in pairs(lock.holders) do
    local d = describe(h)
    if d.client == want.client and d.request == want.request then
      if d.print ~= want.print then return finish('mismatch', lock) end
      if h.state == 'P' then
        redis.call('SREM', base .. GRANTS .. d.node, name .. '\n' .. h.id)
        h.since, h.ends = micros, now + d.lease
        emit('granted', name, d, h.token)
      end
      h.state = 'K'
      store(lock, h)
      return granted(h, h.value)
    end
  end
  local parked = base .. PARKED .. name .. '\n' .. member
  local raw = redis.call('HGET', lock.waiters, member)
  local before
  if raw then
    waited, before = string.match(raw, '^%d+ (%d+)\n([^\n]*)')
    ticket = tonumber(redis.call('ZSCORE', lock.queue, member))
  else
    raw = redis.call('GET', parked)
    if raw then
      ticket, before = string.match(raw, '^(%d+)\n([^\n]*)')
      ticket = tonumber(ticket)
    end
  end
  if before and cjson.decode(before).print ~= want.print then return finish('mismatch', lock) end
  if before and wait > 0 then redis.call('DEL', parked) end
end

if not ticket and lock.count > 0 and lock.limit ~= want.limit then return finish('limit', lock, {int(lock.limit)}) end

-- Dead weight at the head must not keep out somebody who is there.
lock.waiting = redis.call('ZCARD', lock.queue)
if lock.waiting > 0 and not full(lock) then
  pump(lock)
  lock.waiting = lock.waiting or redis.call('ZCARD', lock.queue)
end
local mine = lock.holders[want.lockId]
if mine then return granted(mine) end

if not ticket and lock.waiting == 0 and fits(lock, want) then
  return granted(give(lock, want, line, line .. '\n' .. meta, 0))
end
if wait == 0 then return finish('held', lock, sample(lock)) end

local fresh = not ticket
if fresh then
  if lock.waiting >= most and restore == 0 then return finish('full', lock, sample(lock)) end
  ticket = restore > 0 and restore or draw()
end
redis.call('ZADD', lock.queue, int(ticket), member)
redis.call('HSET', lock.waiters, member, int(now + wait) .. ' ' .. (waited or int(micros)) .. '\n' .. line .. '\n' .. meta)
redis.call('PEXPIRE', lock.queue, QUEUE_TTL)
redis.call('PEXPIRE', lock.waiters, QUEUE_TTL)
if lock.waiting == 0 then redis.call('SADD', base .. CONTENDED, name) end
if fresh then emit('queued', name, want, ticket) end

local position = lock.waiting + 1
lock.waiting = nil
if not fresh or restore > 0 then
  if not full(lock) then pump(lock) end
  mine = lock.holders[want.lockId]
  if mine then return granted(mine) end
  position = redis.call('ZRANK', lock.queue, member) + 1
end
local rest = sample(lock)
table.insert(rest, 1, int(ticket))
table.insert(rest, 1, int(position))
return finish('queued', lock, rest)
