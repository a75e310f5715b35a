#!lua flags=allow-oom
-- renew.lua: give a live grant a new end.
--
-- ARGV  4 name, 5 client, 6 renewalToken, 7 lease (ms, 0 for the grant's own)
-- Answers
--       renewed    lockId, token, since (us), end (ms)
--       lost, not_owner   as release.lua
-- include clock
-- include head
-- include lib
local lock = open(ARGV[4])
for _, h in pairs(lock.holders) do
  local d = describe(h)
  if d.secret == ARGV[6] and h.state ~= 'P' then
    if d.client ~= ARGV[5] then return finish('not_owner', lock) end
    local lease = tonumber(ARGV[7])
    if lease == 0 then lease = d.lease end
    h.ends = now + lease
    store(lock, h)
    emit('renewed', lock.name, d, h.token)
    return finish('renewed', lock, {h.id, h.token, h.since, h.ends})
  end
end
return finish('lost', lock)
