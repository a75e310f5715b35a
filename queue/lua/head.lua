-- head.lua: the beginning of every script of this folder, which takes it in by a line "-- include head".
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
--       name, lockId, token, since (us), end (ms), freed (us); then the script's own. Numbers are integers.
--
-- A holder is a field of the lock's hash, its lockId the name, three lines the value:
--       end(ms) state token since(us) ticket mode limit     state: P provisional until its node claims it, H held;
--       the request's descriptor, JSON                             each time the same request takes the grant up again
--       its metadata, JSON                                         it moves on: K, L … Z, K
-- A waiter is a field of the queue's hash, "client\nrequest" the name, three lines the value:
--       deadline(ms) since(us), then descriptor and metadata as above.
-- An event is lines: kind, lock, token (0 for none), Redis's time (ms), client, owner, and a reason where there is one.

local base, notAfter, floor, me = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local clock = redis.call('TIME')
local micros = clock[1] * 1000000 + clock[2]
local now = math.floor(micros / 1000)

-- int prints a number in full where it goes into a command or a string: Lua's own conversion rounds 16 digits. (The
-- store has checked that this Redis prints 53 bits.) In an answer, a number becomes an integer by itself.
local function int(n) return string.format('%d', n) end

-- A master that slept must not act on what was asked before it slept.
if now > notAfter then return {'late', micros, 0, 0, 0, 0} end

-- draw takes the partition's next ticket, as digits: above all before it, and above all that any node remembers.
local drawn
local function draw()
  local t = math.max(micros, floor + 1)
  local digits = int(t)
  local last = drawn or redis.call('SET', base .. TICKET, digits, 'GET')
  if last and tonumber(last) >= t then
    digits = int(tonumber(last) + 1)
    redis.call('SET', base .. TICKET, digits)
  end
  drawn = digits
  return digits
end

local function emit(kind, name, d, token, reason)
  redis.call('PUBLISH', base .. EVENTS, string.format('%s\n%s\n%s\n%d\n%s\n%s\n', kind, name, token, now,
    d.client, d.owner) .. (reason or ''))
end

-- parse reads a holder. Token, since and ticket stay digits: nothing is reckoned with them.
local function parse(id, value)
  local e, state, token, since, ticket, mode, limit, line, meta =
    string.match(value, '^(%d+) (%a) (%d+) (%d+) (%d+) (%a) (%d+)\n([^\n]*)\n(.*)$')
  return {id = id, ends = tonumber(e), state = state, token = token, since = since, ticket = ticket, mode = mode,
    limit = tonumber(limit), line = line, meta = meta}
end

-- describe is the descriptor of a holder.
local function describe(h)
  if not h.d then h.d = cjson.decode(h.line) end
  return h.d
end

local function value(h)
  return string.format('%d %s %s %s %s %s %d\n', h.ends, h.state, h.token, h.since, h.ticket, h.mode, h.limit) ..
    h.line .. '\n' .. h.meta
end

-- due is how the partition's clock knows a lease.
local function due(name, h) return name .. '\n' .. h.id .. '\n' .. describe(h).node end

-- put writes a holder, and notes when somebody must next look at its lease: at its renewal, or at its end.
local function put(name, h)
  local d, at = describe(h), h.ends
  if d.autoRenew and h.state ~= 'P' and h.ends < math.floor(h.since / 1000) + d.maxHold then
    at = math.min(at, now + d.renewEvery)
  end
  redis.call('HSET', base .. LOCK .. name, h.id, value(h))
  redis.call('ZADD', base .. DUE, int(at), due(name, h))
end
