-- acquire.lua: take the lock, or a place in its line, or find what the same request had before; a part of calls.lua.
--
-- at    where the call's own arguments begin: 1 name, 2 wait (ms, 0 to try once), 3 the longest line allowed
--       4 "1" to look for an earlier outcome of the same request, 5 the ticket of a node that asks for a place of
--       its own again, maybe after loss of data (0 for none), 6 the request; and out of it, for the shortest ways:
--       7 "client\nrequest", 8 lockId, 9 lease (ms), 10 session, 11 "1" for exclusive, of limit 1, without renewal
-- Answers
--       granted   lockId, token, since (us), end (ms), and for a grant made before, the holder's value
--       queued    position, ticket, then holders as rows of lockId and value
--       held      holders: it is taken, and the request does not wait
--       full      the line is as long as it may be
--       limit     the live lock's limit, which the request's is not
--       mismatch  the same request was made before with another body
--       withheld  until when (ms) nothing is granted here: the request would not wait so long
local function acquire(at)
  local name, wait, most = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local given, restore = ARGV[at + 3] == '1', tonumber(ARGV[at + 4])
  local text, member = ARGV[at + 5], ARGV[at + 6]
  local queue, parked = base .. QUEUE .. name, base .. PARKED .. name .. '\n' .. member
  local want, lock = terms(text), open(name)

  -- stand puts the request in line.
  local function stand(ticket, since)
    redis.call('ZADD', queue, ticket, member)
    redis.call('HSET', lock.waiters, member, int(now + wait) .. ' ' .. since .. '\n' .. text)
    redis.call('SADD', base .. CONTENDED, name)
    if want.session ~= '-' then note(name, want) end
  end

  local function granted(h, again)
    return finish('granted', lock, {h.id, h.token, h.since, h.ends, again and value(h)})
  end

  -- A live grant of the same request: the grant again. From now on no late cancel of an earlier call may take it, and
  -- it belongs to the session that asks.
  local function again()
    for _, h in pairs(lock.holders) do
      local d = describe(h)
      if d.client == want.client and d.request == want.request then
        if d.print ~= want.print then return finish('mismatch', lock) end
        if h.state == 'P' then
          redis.call('SREM', base .. GRANTS .. d.node, name .. '\n' .. h.id)
          h.since, h.ends, h.till = int(micros), now + d.lease, 0
          emit('granted', name, d, h.token)
        end
        take(h)
        if want.session ~= '-' then rebind(lock, h, me, want.session) end
        store(lock, h)
        return granted(h, true)
      end
    end
  end

  -- A place of the same request is taken over before the line is served, or the line would serve the call before it.
  local ticket, old
  if given then
    local had = again()
    if had then return had end
    local since, before
    local raw = redis.call('HGET', lock.waiters, member)
    if raw then
      since, before = string.match(raw, '^%d+ (%d+)\n(.*)$')
      ticket = digits(redis.call('ZSCORE', lock.queue, member))
      old = terms(before)
      -- A node that asks for a place of its own again does not take it from the call that has it now.
      if restore > 0 and old.id ~= want.id then
        return finish('queued', lock, {redis.call('ZRANK', lock.queue, member) + 1, ticket})
      end
    else
      raw = redis.call('GET', parked)
      if raw then
        ticket, since, before = string.match(raw, '^(%d+) %d+ (%d+)\n(.*)$')
        old = terms(before)
        if wait > 0 then emit('queued', name, want, 0) end
      end
    end
    if old and old.print ~= want.print then return finish('mismatch', lock) end
    if ticket and wait > 0 then
      redis.call('DEL', parked)
      if old.session ~= want.session then forget(name, old) end
      stand(ticket, since)
      if want.session ~= '-' then redis.call('PERSIST', base .. SESSION .. want.session) end
    end
  end

  if not ticket and lock.count > 0 and lock.limit ~= want.limit then return finish('limit', lock, {lock.limit}) end

  -- A place that is gone, or that came to a grant which ran out before anybody was told of it, is where its ticket says.
  if not ticket and restore > 0 then
    ticket = int(restore)
    stand(ticket, int(micros))
    emit('queued', name, want, 0)
  end

  -- Dead weight at the head must not keep out somebody who is there.
  lock.waiting = redis.call('ZCARD', lock.queue)
  if lock.waiting > 0 and not full(lock) then
    pump(lock)
    lock.waiting = lock.waiting or redis.call('ZCARD', lock.queue)
  end
  local mine = lock.holders[want.id]
  if mine then return granted(mine) end
  if ticket and wait == 0 then
    local had = again() -- the line has just served the call before this one
    if had then return had end
  end

  local till = (not ticket or wait == 0) and withheld()
  if till and (wait > 0 or not full(lock)) and now + wait <= till then return finish('withheld', lock, {till}) end
  if not till and (not ticket or wait == 0) and lock.waiting == 0 and fits(lock, want) then
    if ticket then
      redis.call('DEL', parked)
      forget(name, old)
    end
    return granted(give(lock, want, text, '0'))
  end
  if wait == 0 then return finish('held', lock, sample(lock)) end

  local position
  if ticket then
    position = redis.call('ZRANK', lock.queue, member) + 1
  else
    if lock.waiting >= most then return finish('full', lock, sample(lock)) end
    ticket = draw()
    stand(ticket, int(micros))
    emit('queued', name, want, 0)
    position = lock.waiting + 1
    lock.waiting = nil
    if till then bar(lock) end
  end
  local rest = sample(lock)
  table.insert(rest, 1, ticket)
  table.insert(rest, 1, position)
  return finish('queued', lock, rest)
end
