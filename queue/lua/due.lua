#!lua flags=allow-oom
-- due.lua: do what the partition's clock asks for: renew the leases that renew themselves, end those that are
-- over, hand their locks on, go on with a line that was too long for one call. Any node may call it at any time.
--
-- ARGV  none of its own
-- Answers
--       due   when the next thing is due (ms, 0 for nothing), the node that will see to it, how many were renewed
-- include clock
-- include head
-- include lib
local renewed, gone = 0, {[me] = false}

-- away asks whether a holder's node is no more, and its session therefore in its grace.
local function away(d)
  if gone[d.node] == nil then gone[d.node] = redis.call('EXISTS', base .. NODE .. d.node) == 0 end
  return gone[d.node]
end

local function renew(lock, h)
  local d = describe(h)
  if d.session ~= '-' and h.till == 0 and away(d) then
    h.till = now + d.grace
    redis.call('PEXPIRE', base .. SESSION .. d.session, d.grace)
  end
  if not renews(h, d) then return end
  local ends = now + d.lease
  if d.hold > 0 then ends = math.min(ends, math.floor(h.since / 1000) + d.hold) end
  h.ends = math.max(h.ends, ends)
  emit('renewed', lock.name, d, h.token)
  renewed = renewed + 1
end

local due = redis.call('ZRANGEBYSCORE', base .. DUE, '-inf', int(now), 'LIMIT', '0', int(BATCH))
for _, entry in ipairs(due) do
  local name, id = string.match(entry, '^([^\n]*)\n([^\n]*)\n')
  local lock = open(name)
  local h = lock.holders[id]
  if h and h.state ~= 'P' and describe(h).every > 0 then renew(lock, h) end
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
