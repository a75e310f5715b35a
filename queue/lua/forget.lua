#!lua flags=allow-oom
-- forget.lua: take a dead node out of the fleet, in one step with the look whether it is back: a node that comes back
-- shows itself first, and joins the fleet then.
--
-- ARGV  4 the node
-- Answers
--       forgotten
--       alive       the node shows itself again, and nothing was done
-- include clock
if redis.call('EXISTS', base .. NODE .. ARGV[4]) == 1 then return {'alive', micros, 0, 0, 0, 0} end
redis.call('HDEL', base .. FLEET, ARGV[4])
return {'forgotten', micros, 0, 0, 0, 0}
