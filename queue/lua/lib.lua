-- lib.lua: what every script of this folder shares. The store puts it in front of each of them.
--
-- KEYS  1 the partition's base, "dl:{7}:". Every other key is the base and a suffix from keys.go, so that all a
--         script touches lies in one slot.
-- ARGV  1 notAfter: the last millisecond of Redis's clock at which this call may still run
--       2 floor: the highest token the calling node has ever seen
--       3 the calling node's id
--       4 and on: the script's own
-- Every answer begins with
--       1 a word, 2 Redis's time (us), 3 the earliest end of a lease of the lock (ms, 0 for none), 4 how many
--       leases ended, 5 the length of the queue, 6 how many grants for the calling node follow; then for each
--       name, lockId, token, since (us), end (ms), freed (us); then the script's own.
--
-- A holder is a field of the lock's hash, its lockId the name, three lines the value:
--       end(ms) state token since(us) ticket mode limit     state: H held, K held and asked for again by the same
--       the request's descriptor, JSON                             request, P provisional until its node claims it
--       its metadata, JSON
-- A waiter is a field of the queue's hash, "client\nrequest" the name, three lines the value:
--       deadline(ms) since(us), then descriptor and metadata as above.

local base, notAfter, floor, me = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local clock = redis.call('TIME')
local micros = clock[1] * 1000000 + clock[2]
local now = math.floor(micros / 1000)

-- int prints a number in full: Lua's own conversion would round 16 digits away.
local function int(n) return string.format('%.0f', n) end

-- A master that slept must not act on what was asked before it slept.
if now > notAfter then return {'late', int(micros), '0', '0', '0', '0'} end

local handed, bells, ended, drawn, living = {}, {}, 0, false, {[me] = true}

-- draw takes the partition's next ticket: above all before it, and above all that any node remembers.
local function draw()
  local t = math.max(micros, floor + 1)
  local last = drawn or redis.call('SET', base .. TICKET, int(t), 'GET')
  if last and tonumber(last) >= t then
    t = tonumber(last) + 1
    redis.call('SET', base .. TICKET, int(t))
  end
  drawn = t
  return t
end

local function emit(kind, name, d, token, reason)
  redis.call('PUBLISH', base .. EVENTS, cjson.encode({event = kind, lockName = name, clientId = d.client,
    ownerId = d.owner, token = int(token), at = now, reason = reason}))
end

local function parse(id, value)
  local e, state, token, since, ticket, mode, limit, line =
    string.match(value, '^(%d+) (%a) (%d+) (%d+) (%d+) (%a) (%d+)\n([^\n]*)')
  return {id = id, value = value, ends = tonumber(e), state = state, token = tonumber(token),
    since = tonumber(since), ticket = tonumber(ticket), mode = mode, limit = tonumber(limit), line = line}
end

local function describe(h)
  if not h.d then h.d = cjson.decode(h.line) end
  return h.d
end

local function body(value) return string.sub(value, string.find(value, '\n', 1, true) + 1) end

local function dueMember(lock, h) return lock.name .. '\n' .. h.id .. '\n' .. describe(h).node end

-- schedule notes when somebody must next look at a lease: at its renewal, or at its end.
local function schedule(lock, h)
  local d, at = describe(h), h.ends
  if d.autoRenew and h.state ~= 'P' and h.ends < math.floor(h.since / 1000) + d.maxHold then
    at = math.min(at, now + d.renewEvery)
  end
  redis.call('ZADD', base .. DUE, int(at), dueMember(lock, h))
end

local function store(lock, h)
  local first = table.concat({int(h.ends), h.state, int(h.token), int(h.since), int(h.ticket), h.mode, int(h.limit)}, ' ')
  h.value = first .. '\n' .. body(h.value)
  redis.call('HSET', lock.key, h.id, h.value)
  schedule(lock, h)
  lock.changed = true
end

local function admit(lock, h)
  lock.holders[h.id] = h
  lock.count = lock.count + 1
  lock.mode, lock.limit = h.mode, h.limit
end

-- park takes a request that nobody listens for out of the line, and keeps its place for its client to take up
-- again within the grace.
local function park(name, line, rest, ticket)
  local d = cjson.decode(line)
  redis.call('SET', base .. PARKED .. name .. '\n' .. d.client .. '\n' .. d.request,
    int(ticket) .. '\n' .. rest, 'PX', int(d.grace))
end

-- drop takes a holder out of the record. kind is the event that tells of it, nil for none.
local function drop(lock, h, kind, reason)
  redis.call('HDEL', lock.key, h.id)
  redis.call('ZREM', base .. DUE, dueMember(lock, h))
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
    park(lock.name, h.line, body(h.value), h.ticket)
    redis.call('DEL', base .. NODE .. describe(h).node)
    living[describe(h).node] = false
    drop(lock, h)
  else
    ended = ended + 1
    drop(lock, h, 'expired')
  end
end

-- open reads a lock's record and ends the leases in it that are over, oldest first.
local function open(name)
  local lock = {name = name, key = base .. LOCK .. name, queue = base .. QUEUE .. name,
    waiters = base .. WAITERS .. name, holders = {}, count = 0}
  local flat, over = redis.call('HGETALL', lock.key), {}
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

-- give makes the request a holder: at once if its node is the one that calls, else until it claims.
local function give(lock, d, line, rest, ticket)
  local h = {id = d.lockId, value = '\n' .. rest, line = line, d = d, ticket = ticket, token = draw(),
    since = micros, mode = string.sub(d.mode, 1, 1) == 's' and 's' or 'x', limit = d.limit}
  if d.node == me then
    h.state, h.ends = 'H', now + d.lease
    emit('granted', lock.name, d, h.token)
    for _, v in ipairs({lock.name, h.id, int(h.token), int(h.since), int(h.ends), int(lock.freed or micros)}) do
      handed[#handed + 1] = v
    end
  else
    h.state, h.ends, h.since = 'P', now + CLAIM, lock.freed or micros
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

local function split(raw)
  local deadline, line = string.match(raw, '^(%d+) %d+\n([^\n]*)')
  return tonumber(deadline), line
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
    local deadline, line, d = 0, nil, nil
    if raw then
      deadline, line = split(raw)
      d = cjson.decode(line)
    end
    if raw and deadline > now and lives(d.node) then
      if not fits(lock, d) then return end
      leave(lock, member)
      give(lock, d, line, body(raw), tonumber(head[2]))
    else
      leave(lock, member)
      if raw and deadline > now then
        park(lock.name, line, body(raw), tonumber(head[2]))
      elseif raw then
        emit('dequeued', lock.name, d, 0, 'timeout')
      end
    end
  end
  if redis.call('EXISTS', lock.queue) == 1 then redis.call('ZADD', base .. DUE, int(now), lock.name .. '\n\n') end
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
  local out = {word, int(micros), int(first), int(ended), int(waiting), int(#handed / 6)}
  for _, v in ipairs(handed) do out[#out + 1] = v end
  for _, v in ipairs(rest or {}) do out[#out + 1] = v end
  return out
end

-- sample is up to 100 of the lock's holders, as rows of lockId and value.
local function sample(lock)
  local rows = {}
  for id, h in pairs(lock.holders) do
    if #rows >= 200 then break end
    rows[#rows + 1] = id
    rows[#rows + 1] = h.value
  end
  return rows
end
