-- clock.lua: the beginning of every script of this folder, which takes it in by a line "-- include clock".
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
-- A request is text of its own, six lines, which the store writes and which never changes while it waits or holds:
--       lockId renewalToken node session lease mode limit every hold grace explicit print (in base 36)
--       client / request / owner / frame / metadata, a line each
--   with times in ms: every, how often the lease renews itself (0 for never); hold, for how long it does (0 for as
--   long as the session lives); grace, how long its place is kept. session is "-" where there is none.
-- A holder is a field of the lock's hash, its lockId the name, the value a line and then the request:
--       end(ms) state token since(us) ticket until(ms)
--   state is P while provisional, until its node claims it, then H; each time the same request takes the grant up
--   again, it moves on: K, L … Z, K. until is, for a P, when the request's wait ends; for others, the moment after
--   which the lease renews itself no more as the session is away, 0 while it is there.
-- A waiter is a field of the queue's hash, "client\nrequest" the name, the value a line, deadline(ms) since(us), and
-- then the request. A parked place is a line, ticket deadline since, and then the request.
-- An event is lines: kind, lock, token (0 for none), Redis's time (ms), client, owner, sequence, and a reason or "".

local base, notAfter, floor, me = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local clock = redis.call('TIME')
local micros = clock[1] * 1000000 + clock[2]
local now = math.floor(micros / 1000)

-- int prints a number in full where it goes into a command or a string: Lua's own conversion rounds 16 digits. (The
-- store has checked that this Redis prints 53 bits.) In an answer, a number becomes an integer by itself.
local function int(n) return string.format('%d', n) end

-- A master that slept must not act on what was asked before it slept.
if now > notAfter then return {'late', micros, 0, 0, 0, 0} end

-- withhold begins a quarantine, or has the one there is last longer: from here on, nothing of this partition is granted
-- for as long as a lease may run that nobody here knows of. barred is until when (ms), false for now, nil before anybody
-- has looked.
local barred
local function withhold(why)
  local till, before = now + WITHHOLD, redis.call('GET', base .. QUARANTINE)
  barred = math.max(till, tonumber(string.match(before or '0', '^%d+')))
  if barred == till then redis.call('SET', base .. QUARANTINE, int(till) .. ' ' .. why, 'PXAT', int(till)) end
end

-- draw takes the partition's next ticket, as digits: above all before it, and above all that any node remembers. Where
-- there was none before it, Redis has lost the partition's data; the nodes see to it that each begins with one.
local drawn
local function draw()
  local t = math.max(micros, floor + 1)
  local digits = int(t)
  local last = drawn or redis.call('SET', base .. TICKET, digits, 'GET')
  if not last and WITHHOLD > 0 then withhold('data_lost') end
  if last and tonumber(last) >= t then
    digits = int(tonumber(last) + 1)
    redis.call('SET', base .. TICKET, digits)
  end
  drawn = digits
  return digits
end

-- emit tells the watchers, where there are any.
local watched
local function emit(kind, name, d, token, reason)
  if watched == nil then watched = redis.call('EXISTS', base .. WATCHED) == 1 end
  if watched then
    redis.call('PUBLISH', base .. EVENTS, string.format('%s\n%s\n%s\n%d\n%s\n%s\n%s\n', kind, name, token, now,
      d.client, d.owner, draw()) .. (reason or ''))
  end
end
