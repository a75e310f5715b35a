-- release.lua: end a grant and hand the lock to the next in line, in one step; a part of calls.lua.
--
-- at    where the call's own arguments begin: 1 name, 2 client, 3 lockId
-- Answers
--       released   since (us) of the grant
--       lost       no such grant lives: it expired, was released or was forced
--       not_owner  it lives, and is another client's
local function release(at)
  local name, client, id = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local lock = open(name)
  local h = lock.holders[id]
  if not h or h.state == 'P' then return finish('lost', lock) end
  if describe(h).client ~= client then return finish('not_owner', lock) end
  drop(lock, h, 'released')
  return finish('released', lock, {h.since})
end
