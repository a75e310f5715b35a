#!lua
-- stats.lua: what a partition holds at this moment.
--
-- ARGV  none of its own
-- Answers
--       stats   locks held, locks waited for, requests waiting, the oldest waiting request's ticket (us, 0 for none)
-- include clock
-- include head
-- include lib
local waiting, contended, oldest = 0, 0, 0
for _, name in ipairs(redis.call('SMEMBERS', base .. CONTENDED)) do
  local n = redis.call('ZCARD', base .. QUEUE .. name)
  if n == 0 then
    redis.call('SREM', base .. CONTENDED, name)
  else
    local head = tonumber(redis.call('ZRANGE', base .. QUEUE .. name, '0', '0', 'WITHSCORES')[2])
    if oldest == 0 or head < oldest then oldest = head end
    waiting, contended = waiting + n, contended + 1
  end
end
return answer('stats', 0, 0, {redis.call('ZCARD', base .. NAMES), contended, waiting, oldest})
