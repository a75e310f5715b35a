#!lua flags=no-writes
-- status.lua: a lock's live holders and the head of its line. It changes nothing.
--
-- ARGV  4 name, 5 how many waiters to tell of
-- Answers
--       status   how many holders, rows of lockId and value, then rows of ticket and value of the waiters in order
-- include clock
-- include head
-- include lib
local key, queue = base .. LOCK .. ARGV[4], base .. QUEUE .. ARGV[4]
local flat, rows = redis.call('HGETALL', key), {}
for i = 1, #flat, 2 do
  if parse(flat[i], flat[i + 1]).ends > now then
    rows[#rows + 1] = flat[i]
    rows[#rows + 1] = flat[i + 1]
  end
end
local waiting = redis.call('ZCARD', queue)
local out = {'status', micros, 0, 0, waiting, 0, #rows / 2}
for _, v in ipairs(rows) do out[#out + 1] = v end
if waiting == 0 or ARGV[5] == '0' then return out end
local line = redis.call('ZRANGE', queue, '0', int(tonumber(ARGV[5]) - 1), 'WITHSCORES')
local members = {}
for i = 1, #line, 2 do members[#members + 1] = line[i] end
local values = redis.call('HMGET', base .. WAITERS .. ARGV[4], unpack(members))
for i, value in ipairs(values) do
  if value then
    out[#out + 1] = tonumber(line[2 * i])
    out[#out + 1] = value
  end
end
return out
