#!lua flags=allow-oom
-- orphan.lua: a node is gone; the sessions that were on it live on for their grace.
--
-- ARGV  4 the node, 5 grace (ms)
-- Answers
--       orphaned   how many are left to see to: this call has seen to no more than BATCH
--       alive      the node shows itself again, and nothing was done
-- include clock
-- include head
local gone = ARGV[4]
if redis.call('EXISTS', base .. NODE .. gone) == 1 then return {'alive', micros, 0, 0, 0, 0} end
for _, session in ipairs(redis.call('SPOP', base .. SESSIONS .. gone, int(BATCH))) do
  local key = base .. HOME .. session
  if string.match(redis.call('GET', key) or '', '^([^\n]*)\n') == gone then redis.call('PEXPIRE', key, ARGV[5]) end
end
return {'orphaned', micros, 0, 0, 0, 0, redis.call('SCARD', base .. SESSIONS .. gone)}
