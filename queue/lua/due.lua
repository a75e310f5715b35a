#!lua flags=allow-oom
-- due.lua: do what the partition's clock asks for: renew the leases that renew themselves, end those that are
-- over, hand their locks on, go on with a line that was too long for one call. Any node may call it at any time.
--
-- ARGV  none of its own
-- Answers
--       due   when the next thing is due (ms, 0 for nothing), the node that will see to it, how many were renewed
-- include head
-- include lib
local renewed = 0

local function renew(lock, h)
  local d = describe(h)
  local over = math.floor(h.since / 1000) + d.maxHold
  if now >= over then return end
  h.ends = math.max(h.ends, math.min(now + d.lease, over))
  emit('renewed', lock.name, d, h.token)
  renewed = renewed + 1
end

local due = redis.call('ZRANGEBYSCORE', base .. DUE, '-inf', int(now), 'LIMIT', '0', int(BATCH))
for _, entry in ipairs(due) do
  local name, id = string.match(entry, '^([^\n]*)\n([^\n]*)\n')
  local lock = open(name)
  local h = lock.holders[id]
  if h and h.state ~= 'P' and describe(h).autoRenew then renew(lock, h) end
  if h then
    store(lock, h)
  else
    redis.call('ZREM', base .. DUE, entry)
    if not lock.listed then redis.call('ZREM', base .. NAMES, name) end
    lock.changed, lock.freed = true, lock.freed or micros
  end
  finish('', lock)
end
local first = redis.call('ZRANGE', base .. DUE, '0', '0', 'WITHSCORES')
return answer('due', 0, 0, {tonumber(first[2] or 0), string.match(first[1] or '', '([^\n]*)$'), renewed})
