#!lua flags=no-writes
-- look.lua: who holds locks and who waits for them, for the wait-for graph. It changes nothing.
--
-- ARGV  4 how many of the first in each line to tell of; then for each lock its name, how many of its requests to look
--       for wherever they stand, and for each "client\nrequest"
-- Answers
--       looked   for each lock how many hold it, rows of lockId and value, how many waiters follow, and rows of ticket
--                and value, those at the head of the line first and in order
-- include clock
local out, at, first = {'looked', micros, 0, 0, 0, 0}, 5, tonumber(ARGV[4])

local function holders(name)
  local flat, count = redis.call('HGETALL', base .. LOCK .. name), #out + 1
  out[count] = 0
  for i = 1, #flat, 2 do
    if tonumber(string.match(flat[i + 1], '^%d+')) > now then
      out[count] = out[count] + 1
      out[#out + 1] = flat[i]
      out[#out + 1] = flat[i + 1]
    end
  end
end

while at <= #ARGV do
  local name, wanted = ARGV[at], tonumber(ARGV[at + 1])
  holders(name)
  local members, tickets, known = {}, {}, {}
  local head = redis.call('ZRANGE', base .. QUEUE .. name, '0', int(first - 1), 'WITHSCORES')
  for i = 1, #head, 2 do
    members[#members + 1], tickets[#tickets + 1] = head[i], head[i + 1]
    known[head[i]] = true
  end
  for i = at + 2, at + 1 + wanted do
    local ticket = not known[ARGV[i]] and redis.call('ZSCORE', base .. QUEUE .. name, ARGV[i])
    if ticket then members[#members + 1], tickets[#tickets + 1] = ARGV[i], ticket end
  end
  local count, values = #out + 1, {}
  out[count] = 0
  if #members > 0 then values = redis.call('HMGET', base .. WAITERS .. name, unpack(members)) end
  for i, value in ipairs(values) do
    if value then
      out[count] = out[count] + 1
      out[#out + 1] = tonumber(tickets[i])
      out[#out + 1] = value
    end
  end
  at = at + 2 + wanted
end
return out
