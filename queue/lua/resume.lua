#!lua flags=allow-oom
-- resume.lua: a session is on the calling node from now on, or still. Its locks renew themselves again, and it is
-- told what it has here.
--
-- ARGV  4 session, 5 "take", or "keep" to touch only what is this node's already, 6 how many of its own to skip
-- Answers
--       resumed   how many there are, the skipped ones among them; then for each of at most BATCH
--                 name, member, kind, text:   holds, lockId and then the holder's value in lines;
--                 waits, the waiter's value;  parked, the parked value (a grant not yet claimed too);
--                 lost, lockId and why;       none: it is gone
-- include clock
-- include head
-- include lib
local session, taking, skip = ARGV[4], ARGV[5] == 'take', tonumber(ARGV[6])
local key = base .. SESSION .. session
local own, rows = redis.call('HKEYS', key), {}
redis.call('PERSIST', key)
table.sort(own)

local function row(name, member, kind, text)
  local n = #rows
  rows[n + 1], rows[n + 2], rows[n + 3], rows[n + 4] = name, member, kind, text
end

local function held(lock, member)
  for _, h in pairs(lock.holders) do
    local d = describe(h)
    if d.session == session and d.client .. '\n' .. d.request == member then return h, d end
  end
end

for i = skip + 1, math.min(#own, skip + BATCH) do
  local name, member = string.match(own[i], '^([^\n]*)\n(.*)$')
  local lock = open(name)
  local h, d = held(lock, member)
  local raw = not h and redis.call('HGET', lock.waiters, member)
  local parked = not h and not raw and redis.call('GET', base .. PARKED .. name .. '\n' .. member)
  if h and h.state == 'P' then
    row(name, member, 'parked', h.ticket .. ' ' .. int(h.till) .. ' ' .. h.ticket .. '\n' .. h.text)
  elseif h then
    if taking then take(h) end
    if taking or d.node == me then rebind(lock, h, me, session) end
    if taking then store(lock, h) end
    row(name, member, 'holds', h.id .. '\n' .. value(h))
  elseif raw then
    row(name, member, 'waits', raw)
  elseif parked then
    row(name, member, 'parked', parked)
  else
    local lost = redis.call('HGET', key, own[i])
    row(name, member, lost and lost ~= '' and 'lost' or 'none', lost or '')
  end
  finish('', lock)
end
for i = 1, #rows, 4 do
  if rows[i + 2] == 'lost' or rows[i + 2] == 'none' then redis.call('HDEL', key, rows[i] .. '\n' .. rows[i + 1]) end
end
table.insert(rows, 1, #own)
return answer('resumed', 0, 0, rows)
