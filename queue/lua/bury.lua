#!lua flags=allow-oom
-- bury.lua: a node is gone; its waiting requests leave a lock's line, their places kept aside for the grace.
--
-- ARGV  4 name, 5 the node
-- Answers
--       buried   how many
--       alive    the node shows itself again, and nothing was done
-- include head
-- include lib
local gone = ARGV[5]
if redis.call('EXISTS', base .. NODE .. gone) == 1 then return answer('alive', 0, 0) end
local lock, buried = open(ARGV[4]), 0
local flat = redis.call('HGETALL', lock.waiters)
for i = 1, #flat, 2 do
  local d, _, line, meta = request(flat[i + 1])
  if d.node == gone then
    park(lock.name, d, line, meta, digits(redis.call('ZSCORE', lock.queue, flat[i])))
    leave(lock, flat[i])
    buried = buried + 1
  end
end
return finish('buried', lock, {buried})
