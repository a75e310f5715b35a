#!lua flags=allow-oom
-- claim.lua: take what other nodes did to waiters of this one: the grants that they made, whose leases begin now, and
-- the requests that were failed.
--
-- A quarantine does not keep it from that: a grant that is here was made before, and none but its own node or the end of
-- its claim can have ended it since.
--
-- ARGV  none of its own
-- Answers
--       claimed   how many were taken, and for each request that was failed lockId and cycle (see fail.lua); the grants
--                 stand in the head of the answer, freed being when the lock came free
-- include clock
-- include head
-- include lib
local mine = redis.call('SPOP', base .. GRANTS .. me, int(BATCH))
local rest = {#mine}

-- Readers let in together are claimed in the order of their tokens, so that watchers hear of them in that order.
if #mine > 1 then
  local tokens = {}
  for _, entry in ipairs(mine) do
    local name, id = string.match(entry, '^([^\n]*)\n([^\n]*)')
    tokens[entry] = string.match(redis.call('HGET', base .. LOCK .. name, id) or '', '^%d+ %a (%d+)') or '0'
  end
  table.sort(mine, function(a, b) return tonumber(tokens[a]) < tonumber(tokens[b]) end)
end

for _, entry in ipairs(mine) do
  local name, id, cycle = string.match(entry, '^([^\n]*)\n([^\n]*)\n?(.*)$')
  if cycle ~= '' then
    rest[#rest + 1] = id
    rest[#rest + 1] = cycle
  else
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
end
return answer('claimed', 0, 0, rest)
