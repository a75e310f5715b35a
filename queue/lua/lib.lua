-- lib.lua: a lock's record, its line, and handing the one to the other; taken in by a line "-- include lib".
local handed, bells, ended, living = {}, {}, 0, {[me] = true}

local function store(lock, h)
  put(lock.name, h)
  lock.changed = true
end

local function admit(lock, h)
  lock.holders[h.id] = h
  lock.count = lock.count + 1
  lock.mode, lock.limit = describe(h).mode, describe(h).limit
end

local function forget(name, d)
  if d.session ~= '-' then redis.call('HDEL', base .. SESSION .. d.session, name .. '\n' .. d.client .. '\n' .. d.request) end
end

-- noted is whether a holder is among its session's own.
local function noted(h) return describe(h).session ~= '-' and (h.ticket ~= '0' or describe(h).every > 0) end

-- park takes a request that nobody listens for out of the line, and keeps its place for its client to take up
-- again within the grace.
local function park(name, d, text, ticket, deadline, since)
  redis.call('SET', base .. PARKED .. name .. '\n' .. d.client .. '\n' .. d.request,
    ticket .. ' ' .. int(deadline) .. ' ' .. since .. '\n' .. text, 'PX', d.grace)
  if d.session ~= '-' then redis.call('PEXPIRE', base .. SESSION .. d.session, d.grace) end
  emit('dequeued', name, d, 0, 'away')
end

-- bereave tells a session that it lost a lock: whatever node it is on hears it, and one that is away finds it noted.
local function bereave(name, h, why)
  local d = describe(h)
  if d.session == '-' then return end
  if noted(h) and h.till > 0 then
    local own = base .. SESSION .. d.session
    if redis.call('EXISTS', own) == 1 then redis.call('HSET', own, name .. '\n' .. d.client .. '\n' .. d.request, h.id .. ' ' .. why) end
    return
  end
  redis.call('PUBLISH', string.match(base, '^(.*){') .. LOST, d.session .. '\n' .. h.id .. '\n' .. why .. '\n' .. name)
  if noted(h) then forget(name, d) end
end

-- drop takes a holder out of the record. kind is the event that tells of it.
local function drop(lock, h, kind, reason)
  local d = describe(h)
  redis.call('HDEL', lock.key, h.id)
  redis.call('ZREM', base .. DUE, due(lock.name, h))
  if h.state == 'P' then
    redis.call('SREM', base .. GRANTS .. d.node, lock.name .. '\n' .. h.id)
  else
    emit(kind, lock.name, d, h.token, reason)
    if kind ~= 'released' then
      bereave(lock.name, h, kind)
    elseif noted(h) then
      forget(lock.name, d)
    end
  end
  if lock.holders[h.id] then
    lock.holders[h.id] = nil
    lock.count = lock.count - 1
  end
  lock.changed, lock.freed = true, lock.freed or micros
end

-- slept asks whether Redis was away until just now, so that no node could show itself or claim what was granted to it: some
-- node says so (see Store.beat), or the calling one has not been there itself since.
local sleeping
local function slept()
  if sleeping == nil then
    local left = redis.call('PTTL', base .. NODE .. me)
    sleeping = redis.call('EXISTS', base .. AWAY) == 1 or left < LIVELY
  end
  return sleeping
end

-- lapse ends a lease that is over. A grant that its node never claimed was none: that node is not there, so its
-- request keeps its place aside, and its other requests are skipped until it shows itself again.
local function lapse(lock, h)
  lock.freed = lock.freed or h.ends * 1000
  if h.state == 'P' then
    local d = describe(h)
    redis.call('DEL', base .. NODE .. d.node)
    if d.node ~= me then living[d.node] = false end -- the one that calls is there, and will find that it missed something
    drop(lock, h)
    park(lock.name, d, h.text, h.ticket, h.till, h.ticket)
  else
    ended = ended + 1
    drop(lock, h, 'expired')
  end
end

-- open reads a lock's record and ends the leases in it that are over, oldest first. flat is the record where it was
-- read before.
local function open(name, flat)
  local lock = {name = name, key = base .. LOCK .. name, queue = base .. QUEUE .. name,
    waiters = base .. WAITERS .. name, holders = {}, count = 0}
  flat = flat or redis.call('HGETALL', lock.key)
  local over = {}
  lock.listed = #flat > 0
  for i = 1, #flat, 2 do
    local h = parse(flat[i], flat[i + 1])
    if h.ends <= now and h.state == 'P' and slept() then
      h.ends = now + CLAIM
      store(lock, h)
    end
    if h.ends > now then admit(lock, h) else over[#over + 1] = h end
  end
  table.sort(over, function(a, b) return a.token < b.token end)
  for _, h in ipairs(over) do lapse(lock, h) end
  return lock
end

local function fits(lock, d)
  if lock.count == 0 then return true end
  if lock.limit ~= d.limit then return false end
  if d.mode == 'shared' then return lock.mode == 'shared' end
  return lock.mode == 'exclusive' and lock.count < lock.limit
end

local function full(lock) return lock.count > 0 and lock.mode == 'exclusive' and lock.count >= lock.limit end

-- tell puts a grant for the calling node into the answer.
local function tell(name, h, freed)
  local n = #handed
  handed[n + 1], handed[n + 2], handed[n + 3] = name, h.id, h.token
  handed[n + 4], handed[n + 5], handed[n + 6] = h.since, h.ends, freed
end

-- give makes the request a holder: at once if its node is the one that calls, else until it claims. A request from
-- the line has its ticket and deadline, any other has the ticket '0'.
local function give(lock, d, text, ticket, deadline)
  local h = {id = d.id, text = text, d = d, ticket = ticket, token = draw(), since = int(micros), till = 0}
  if d.node == me then
    h.state, h.ends = 'H', now + d.lease
    emit('granted', lock.name, d, h.token)
    tell(lock.name, h, lock.freed or micros)
  else
    h.state, h.ends, h.since, h.till = 'P', now + CLAIM, int(lock.freed or micros), deadline
    redis.call('SADD', base .. GRANTS .. d.node, lock.name .. '\n' .. h.id)
    bells[d.node] = true
  end
  if ticket == '0' and noted(h) then note(lock.name, d) end
  admit(lock, h)
  store(lock, h)
  return h
end

-- lives asks whether a node shows itself, and in the same step leaves it a word to look for grants at its next beat.
local function lives(node)
  if living[node] == nil then
    living[node] = redis.call('SET', base .. NODE .. node, 'claim', 'XX', 'KEEPTTL') ~= false or slept()
  end
  return living[node]
end

local function leave(lock, member)
  redis.call('ZREM', lock.queue, member)
  redis.call('HDEL', lock.waiters, member)
  lock.moved, lock.waiting = true, nil
end

-- request reads a waiter: what it asks for, until when, the text that says so, and since when.
local function request(raw)
  local deadline, since, text = string.match(raw, '^(%d+) (%d+)\n(.*)$')
  return terms(text), tonumber(deadline), text, since
end

-- digits is a score of the line, whichever way this Redis prints it.
local function digits(score) return int(tonumber(score)) end

-- withheld is until when nothing of this partition may be granted (ms), false where it may. Data that are gone took the
-- last ticket with them.
local function withheld()
  if barred == nil then
    local there = redis.call('MGET', base .. QUARANTINE, base .. TICKET)
    barred = tonumber(string.match(there[1] or '', '^%d+') or 0) > now and tonumber(string.match(there[1], '^%d+'))
    if WITHHOLD > 0 and not there[2] and not drawn then withhold('data_lost') end
  end
  return barred
end

-- bar has the line served as soon as the quarantine is over.
local function bar(lock)
  redis.call('ZADD', base .. DUE, int(withheld()), lock.name .. '\n\n')
  lock.barred = withheld()
end

-- pump hands the lock to those at the head of its line, in order, as long as it has room for them. It looks at a
-- bounded number and leaves a note for the rest, so that no call is long.
local function pump(lock)
  for _ = 1, BATCH do
    if full(lock) then return end
    local head = redis.call('ZRANGE', lock.queue, 0, 0, 'WITHSCORES')
    if #head == 0 then
      lock.waiting = 0
      return
    end
    local member, raw = head[1], redis.call('HGET', lock.waiters, head[1])
    local d, deadline, text, since
    if raw then d, deadline, text, since = request(raw) end
    if d and deadline > now and lives(d.node) then
      if not fits(lock, d) then return end
      if withheld() then return bar(lock) end
      leave(lock, member)
      give(lock, d, text, digits(head[2]), deadline)
    else
      leave(lock, member)
      if d and deadline > now then
        park(lock.name, d, text, digits(head[2]), deadline, since)
      elseif d then
        forget(lock.name, d)
        emit('dequeued', lock.name, d, 0, 'timeout')
      end
    end
  end
  if redis.call('EXISTS', lock.queue) == 1 then redis.call('ZADD', base .. DUE, int(now), lock.name .. '\n\n') end
end

local function answer(word, first, waiting, rest)
  local out = {word, micros, first, ended, waiting, #handed / 6}
  for i = 1, #handed do out[#out + 1] = handed[i] end
  if rest then
    for i = 1, #rest do out[#out + 1] = rest[i] end
  end
  return out
end

-- earliest and latest end of the lock's leases.
local function span(lock)
  local first, last = 0, 0
  for _, h in pairs(lock.holders) do
    if first == 0 or h.ends < first then first = h.ends end
    if h.ends > last then last = h.ends end
  end
  if lock.barred and (first == 0 or lock.barred < first) then first = lock.barred end
  return first, last
end

-- ring sends a word to the channel of a node.
local function ring(node, word) redis.call('PUBLISH', string.match(base, '^(.*){') .. NODE .. node, word) end

-- finish serves the line if something came free, brings the indexes up to date, rings the nodes that have grants
-- to claim or asked to hear of the line's next move, and makes the answer.
local function finish(word, lock, rest)
  if lock.freed or lock.moved then pump(lock) end
  local first, last = span(lock)
  if lock.changed then
    if lock.count > 0 then
      redis.call('PEXPIREAT', lock.key, int(last + RETAIN))
      if not lock.listed then redis.call('ZADD', base .. NAMES, 0, lock.name) end
    elseif lock.listed then
      redis.call('ZREM', base .. NAMES, lock.name)
    end
  end
  local waiting, partition = lock.waiting or redis.call('ZCARD', lock.queue), string.match(base, '{(%d+)}')
  if lock.moved and waiting == 0 then redis.call('SREM', base .. CONTENDED, lock.name) end
  for node in pairs(bells) do ring(node, partition) end
  bells = {}
  if lock.moved and waiting > 0 then
    for _, node in ipairs(redis.call('SPOP', base .. MOVES, int(BATCH))) do ring(node, 'moved ' .. partition) end
  end
  return answer(word, first, waiting, rest)
end

-- sample is up to 100 of the lock's holders, as rows of lockId and value.
local function sample(lock)
  local rows = {}
  for id, h in pairs(lock.holders) do
    if #rows >= 200 then break end
    rows[#rows + 1] = id
    rows[#rows + 1] = value(h)
  end
  return rows
end

-- take notes that a grant is taken up again: no late cancel of whoever had it before may give it back.
local function take(h) h.state = string.match('HKLMNOQRSTUVWXYZK', (h.state == 'P' and 'H' or h.state) .. '(.)') end

-- rebind has a holder belong to a node and a session from now on.
local function rebind(lock, h, node, session)
  local d, was = describe(h), noted(h)
  if d.node == node and d.session == session and h.till == 0 then return end
  redis.call('ZREM', base .. DUE, due(lock.name, h))
  if was and d.session ~= session then forget(lock.name, d) end
  local ids, rest = string.match(h.text, '^(%S+ %S+) %S+ %S+(.*)$')
  h.text, h.d, h.till = ids .. ' ' .. node .. ' ' .. session .. rest, nil, 0
  if noted(h) then note(lock.name, describe(h)) end
  store(lock, h)
end
