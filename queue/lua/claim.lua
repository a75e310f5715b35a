#!lua flags=allow-oom
-- claim.lua: take the grants that other nodes made to waiters of this one; the leases begin now.
--
-- ARGV  none of its own
-- Answers
--       claimed   nothing of its own; the grants stand in the head of the answer, freed being when the lock came free
-- include clock
-- include head
-- include lib
local mine = redis.call('SPOP', base .. GRANTS .. me, int(BATCH))

-- Readers let in together are claimed in the order of their tokens, so that watchers hear of them in that order.
if #mine > 1 then
  local tokens = {}
  for _, entry in ipairs(mine) do
    local name, id = string.match(entry, '^(.*)\n(.*)$')
    tokens[entry] = string.match(redis.call('HGET', base .. LOCK .. name, id) or '', '^%d+ %a (%d+)') or '0'
  end
  table.sort(mine, function(a, b) return tonumber(tokens[a]) < tonumber(tokens[b]) end)
end

for _, entry in ipairs(mine) do
  local name, id = string.match(entry, '^(.*)\n(.*)$')
  local lock = open(name)
  local h = lock.holders[id]
  if h and h.state == 'P' then
    local freed, d = h.since, describe(h)
    h.state, h.since, h.ends, h.till = 'H', int(micros), now + d.lease, 0
    store(lock, h)
    emit('granted', name, d, h.token)
    tell(name, h, freed)
    lock.waiting = 0
  end
  finish('', lock)
end
return answer('claimed', 0, 0)
