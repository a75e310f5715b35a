#!lua flags=allow-oom
-- bury.lua: a node is gone; its waiting requests leave a lock's line, their places kept aside for the grace.
--
-- ARGV  4 name, 5 the node
-- Answers
--       buried   how many
--       alive    the node shows itself again, and nothing was done
-- include clock
-- include head
-- include lib
local gone = ARGV[5]
if redis.call('EXISTS', base .. NODE .. gone) == 1 then return answer('alive', 0, 0) end
local lock, theirs = open(ARGV[4]), {}
local flat = redis.call('HGETALL', lock.waiters)
for i = 1, #flat, 2 do
  local d, deadline, text, since = request(flat[i + 1])
  if d.node == gone then
    theirs[#theirs + 1] = {flat[i], d, text, digits(redis.call('ZSCORE', lock.queue, flat[i])), deadline, since}
  end
end
table.sort(theirs, function(a, b) return tonumber(a[4]) < tonumber(b[4]) end)
for _, w in ipairs(theirs) do
  park(lock.name, unpack(w, 2, 6))
  leave(lock, w[1])
end
return finish('buried', lock, {#theirs})
