#!lua flags=allow-oom
-- claim.lua: take the grants that other nodes made to waiters of this one; the leases begin now.
--
-- ARGV  none of its own
-- Answers
--       claimed   nothing of its own; the grants stand in the head of the answer, freed being when the lock came free
local mine = redis.call('SPOP', base .. GRANTS .. me, int(BATCH))
for _, entry in ipairs(mine) do
  local name, id = string.match(entry, '^(.*)\n(.*)$')
  local lock = open(name)
  local h = lock.holders[id]
  if h and h.state == 'P' then
    local freed, d = h.since, describe(h)
    h.state, h.since, h.ends = 'H', micros, now + d.lease
    store(lock, h)
    emit('granted', name, d, h.token)
    for _, v in ipairs({name, id, int(h.token), int(h.since), int(h.ends), int(freed)}) do handed[#handed + 1] = v end
    lock.waiting = 0
  end
  finish('', lock)
end
local out = {'claimed', int(micros), '0', '0', '0', int(#handed / 6)}
for _, v in ipairs(handed) do out[#out + 1] = v end
return out
