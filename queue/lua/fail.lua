#!lua flags=allow-oom
-- fail.lua: take a waiting request out of the line to break a deadlock, and have its node tell it why.
--
-- ARGV  4 name, 5 "client\nrequest", 6 its lockId, 7 the cycle, JSON on one line
-- Answers
--       failed   it waited, and waits no more
--       gone     that request does not wait any more, or a holder's lease has just ended: nothing was done to it
-- include clock
-- include head
-- include lib
local lock, member, id, cycle = open(ARGV[4]), ARGV[5], ARGV[6], ARGV[7]
local raw = redis.call('HGET', lock.waiters, member)
local d = raw and request(raw)
if not d or d.id ~= id or lock.freed then return finish('gone', lock) end
leave(lock, member)
forget(lock.name, d)
emit('deadlock', lock.name, d, 0, cycle)
emit('dequeued', lock.name, d, 0, 'deadlock')
redis.call('SADD', base .. GRANTS .. d.node, lock.name .. '\n' .. id .. '\n' .. cycle)
redis.call('SET', base .. NODE .. d.node, 'claim', 'XX', 'KEEPTTL')
bells[d.node] = true
return finish('failed', lock)
