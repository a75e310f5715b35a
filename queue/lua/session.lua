#!lua flags=allow-oom
-- session.lua: where a session is, kept in the session's own partition.
--
-- ARGV  4 session, 5 client, 6 what to do, 7 grace (ms)
--       new     write it down, as on the calling node
--       take    move it here, where it lives and is that client's
--       keep    write it down again, after the node was thought gone or Redis lost its data
--       leave   its connection has ended: it lives on for the grace
-- Answers
--       here    it is on this node
--       gone    there is no such session (take), or it has moved on (keep, leave)
-- include clock
-- include head
local session, client, how, grace = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local key = base .. HOME .. session
local node, owner = string.match(redis.call('GET', key) or '', '^([^\n]*)\n(.*)$')

local function result(word) return {word, micros, 0, 0, 0, 0} end

if how == 'leave' then
  if node ~= me then return result('gone') end
  redis.call('PEXPIRE', key, grace)
  redis.call('SREM', base .. SESSIONS .. me, session)
  return result('here')
end
if how == 'take' and (not node or owner ~= client) or how == 'keep' and node and node ~= me then return result('gone') end
redis.call('SET', key, me .. '\n' .. client)
redis.call('SADD', base .. SESSIONS .. me, session)
if node and node ~= me then
  redis.call('SREM', base .. SESSIONS .. node, session)
  redis.call('PUBLISH', string.match(base, '^(.*){') .. NODE .. node, 'session ' .. session)
end
return result('here')
