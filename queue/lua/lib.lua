-- lib.lua: a lock's record, its line, and handing the one to the other; taken in by a line "-- include lib".
local handed, bells, ended, living = {}, {}, 0, {[me] = true}

local function store(lock, h)
  put(lock.name, h)
  lock.changed = true
end

local function admit(lock, h)
  lock.holders[h.id] = h
  lock.count = lock.count + 1
  lock.mode, lock.limit = h.mode, h.limit
end

-- park takes a request that nobody listens for out of the line, and keeps its place for its client to take up
-- again within the grace.
local function park(name, d, line, meta, ticket)
  redis.call('SET', base .. PARKED .. name .. '\n' .. d.client .. '\n' .. d.request,
    ticket .. '\n' .. line .. '\n' .. meta, 'PX', int(d.grace))
end

-- drop takes a holder out of the record. kind is the event that tells of it, nil for none.
local function drop(lock, h, kind, reason)
  redis.call('HDEL', lock.key, h.id)
  redis.call('ZREM', base .. DUE, due(lock.name, h))
  if h.state == 'P' then
    redis.call('SREM', base .. GRANTS .. describe(h).node, lock.name .. '\n' .. h.id)
  elseif kind then
    emit(kind, lock.name, describe(h), h.token, reason)
  end
  if lock.holders[h.id] then
    lock.holders[h.id] = nil
    lock.count = lock.count - 1
  end
  lock.changed, lock.freed = true, lock.freed or micros
end

-- lapse ends a lease that is over. A grant that its node never claimed was none: that node is not there, so its
-- request keeps its place aside, and its other requests are skipped until it shows itself again.
local function lapse(lock, h)
  lock.freed = lock.freed or h.ends * 1000
  if h.state == 'P' then
    park(lock.name, describe(h), h.line, h.meta, h.ticket)
    local node = describe(h).node
    redis.call('DEL', base .. NODE .. node)
    if node ~= me then living[node] = false end -- the one that calls is there, and will find that it missed something
    drop(lock, h)
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
    if h.ends > now then admit(lock, h) else over[#over + 1] = h end
  end
  table.sort(over, function(a, b) return a.token < b.token end)
  for _, h in ipairs(over) do lapse(lock, h) end
  return lock
end

local function fits(lock, d)
  if lock.count == 0 then return true end
  if lock.limit ~= d.limit then return false end
  if d.mode == 'shared' then return lock.mode == 's' end
  return lock.mode == 'x' and lock.count < lock.limit
end

local function full(lock) return lock.count > 0 and lock.mode == 'x' and lock.count >= lock.limit end

-- tell puts a grant for the calling node into the answer.
local function tell(name, h, freed)
  local n = #handed
  handed[n + 1], handed[n + 2], handed[n + 3] = name, h.id, h.token
  handed[n + 4], handed[n + 5], handed[n + 6] = h.since, h.ends, freed
end

-- give makes the request a holder: at once if its node is the one that calls, else until it claims.
local function give(lock, d, line, meta, ticket)
  local h = {id = d.lockId, line = line, meta = meta, d = d, ticket = ticket, token = draw(), since = int(micros),
    mode = d.mode == 'shared' and 's' or 'x', limit = d.limit}
  if d.node == me then
    h.state, h.ends = 'H', now + d.lease
    emit('granted', lock.name, d, h.token)
    tell(lock.name, h, lock.freed or micros)
  else
    h.state, h.ends, h.since = 'P', now + CLAIM, int(lock.freed or micros)
    redis.call('SADD', base .. GRANTS .. d.node, lock.name .. '\n' .. h.id)
    bells[d.node] = true
  end
  admit(lock, h)
  store(lock, h)
  return h
end

-- lives asks whether a node shows itself, and in the same step leaves it a word to look for grants at its next beat.
local function lives(node)
  if living[node] == nil then
    living[node] = redis.call('SET', base .. NODE .. node, 'claim', 'XX', 'KEEPTTL') ~= false
  end
  return living[node]
end

local function leave(lock, member)
  redis.call('ZREM', lock.queue, member)
  redis.call('HDEL', lock.waiters, member)
  lock.moved, lock.waiting = true, nil
end

-- request reads a waiter: what it asks for, until when, and the two lines that say so.
local function request(raw)
  local deadline, line, meta = string.match(raw, '^(%d+) %d+\n([^\n]*)\n(.*)$')
  return cjson.decode(line), tonumber(deadline), line, meta
end

-- digits is a score of the line, whichever way this Redis prints it.
local function digits(score) return int(tonumber(score)) end

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
    local d, deadline, line, meta
    if raw then d, deadline, line, meta = request(raw) end
    if d and deadline > now and lives(d.node) then
      if not fits(lock, d) then return end
      leave(lock, member)
      give(lock, d, line, meta, digits(head[2]))
    else
      leave(lock, member)
      if d and deadline > now then
        park(lock.name, d, line, meta, digits(head[2]))
      elseif d then
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
  return first, last
end

-- finish serves the line if something came free, brings the indexes up to date, rings the nodes that have grants
-- to claim, and makes the answer.
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
  local waiting = lock.waiting or redis.call('ZCARD', lock.queue)
  if lock.moved and waiting == 0 then redis.call('SREM', base .. CONTENDED, lock.name) end
  for node in pairs(bells) do
    redis.call('PUBLISH', string.match(base, '^(.*){') .. NODE .. node, string.match(base, '{(%d+)}'))
  end
  bells = {}
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
