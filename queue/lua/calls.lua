#!lua
-- calls.lua: acquires and releases of one partition that came together, one after the other. Each goes by the shortest
-- way where it is one of the usual cases, and otherwise the long way to the same end.
--
-- ARGV  4 and on: for each call "acquire" and its 11 arguments, or "release" and its 3: see acquire.lua, release.lua
-- Answers with a list, for each call an answer as of any script
-- include clock
-- include short

-- library is the long way. Most calls do without, and making its functions takes time.
local function library()
  -- include head
  -- include lib
  -- include acquire
  -- include release
  return function(how, at)
    handed, bells, ended = {}, {}, 0
    if how == 'acquire' then return acquire(at) end
    return release(at)
  end
end

local out, at, long = {}, 4, nil
while at <= #ARGV do
  local how, answer = ARGV[at], nil
  if how == 'acquire' then answer = takes(at + 1) else answer = gives(at + 1) end
  if not answer then
    long = long or library()
    answer = long(how, at + 1)
  end
  out[#out + 1] = answer
  at = at + (how == 'acquire' and 12 or 4)
end
return out
