#!lua flags=allow-oom
-- force.lua: take a lock from all its holders, and hand it on.
--
-- ARGV  4 name, 5 the reason given
-- Answers
--       forced   the holders that lost it, as rows of lockId and value
--       free     nobody held it
-- include clock
-- include head
-- include lib
local lock = open(ARGV[4])
local lost, rows = {}, {}
for _, h in pairs(lock.holders) do
  if h.state ~= 'P' then lost[#lost + 1] = h end
end
if #lost == 0 then return finish('free', lock) end
table.sort(lost, function(a, b) return a.token < b.token end)
for _, h in ipairs(lost) do
  rows[#rows + 1] = h.id
  rows[#rows + 1] = value(h)
  drop(lock, h, 'force_released', ARGV[5])
end
return finish('forced', lock, rows)
