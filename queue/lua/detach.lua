#!lua flags=allow-oom
-- detach.lua: a session's connection has ended. Its waiting requests are put aside, their places kept for the grace,
-- and its locks renew themselves no longer than that.
--
-- ARGV  4 session, 5 grace (ms), 6 how many of its own to skip
-- Answers
--       detached   how many there are, the skipped ones among them; this call has seen to no more than BATCH
-- include clock
-- include head
-- include lib
local session, grace, skip = ARGV[4], ARGV[5], tonumber(ARGV[6])
local key = base .. SESSION .. session
local own, elsewhere = redis.call('HKEYS', key), false
table.sort(own)
for i = skip + 1, math.min(#own, skip + BATCH) do
  local name, member = string.match(own[i], '^([^\n]*)\n(.*)$')
  local lock = open(name)
  local raw = redis.call('HGET', lock.waiters, member)
  if raw then
    local d, deadline, text, since = request(raw)
    if d.node ~= me then
      elsewhere = true
    elseif d.session == session then
      park(name, d, text, digits(redis.call('ZSCORE', lock.queue, member)), deadline, since)
      leave(lock, member)
    end
  end
  for _, h in pairs(lock.holders) do
    local d = describe(h)
    if d.session == session and h.state ~= 'P' and d.client .. '\n' .. d.request == member then
      if d.node == me then
        h.till = now + tonumber(grace)
        store(lock, h)
      else
        elsewhere = true
      end
    end
  end
  finish('', lock)
end
-- A connection may end here after the session has gone on over one to another node.
if not elsewhere then redis.call('PEXPIRE', key, grace) end
return answer('detached', 0, 0, {#own})
