#!lua
-- era.lua: which life of which master this is. Where the partition's data were last seen on another, or are gone, a
-- quarantine begins: leases may run that were given there and are not known here.
--
-- ARGV  4 why to begin a quarantine whatever the era, "" for not to
-- Answers
--       era    the era, until when nothing is granted (ms, 0 where it is), why
-- include clock
local info = redis.call('INFO', 'server', 'replication')
local era = string.match(info, 'run_id:(%x+)') .. ' ' .. string.match(info, 'master_replid:(%x+)')
local before = redis.call('GET', base .. ERA)
if not redis.call('GET', base .. TICKET) then draw() end
if before ~= era then
  if not barred then withhold(before and 'instance_changed' or 'data_lost') end
  redis.call('SET', base .. ERA, era)
end
if ARGV[4] ~= '' then withhold(ARGV[4]) end
local till, why = string.match(redis.call('GET', base .. QUARANTINE) or '0 ', '^(%d+) (.*)$')
return {'era', micros, 0, 0, 0, 0, era, tonumber(till), why}
