#!lua flags=allow-oom
-- release.lua: end a grant and hand the lock to the next in line, in one step.
--
-- ARGV  4 name, 5 client, 6 lockId
-- Answers
--       released   since (us) of the grant
--       lost       no such grant lives: it expired, was released or was forced
--       not_owner  it lives, and is another client's
local lock = open(ARGV[4])
local h = lock.holders[ARGV[6]]
if not h or h.state == 'P' then return finish('lost', lock) end
if describe(h).client ~= ARGV[5] then return finish('not_owner', lock) end
drop(lock, h, 'released')
return finish('released', lock, {int(h.since)})
