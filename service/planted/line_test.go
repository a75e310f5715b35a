package planted

// lineMistakes are of the scripts: who holds a lock, who is next, and with which token.
func lineMistakes() []mistake {
	return []mistake{
		{name: "release does not ask whose the lock is", breaks: "exclusion", room: "queue", test: "TestReleaseScript", says: "another client's lock stays:", edits: []edit{
			{"queue/lua/release.lua", "describe(h).client ~= client", "false"},
			{"queue/lua/short.lua", "string.match(member, '^[^\\n]*') ~= ARGV[at + 1]", "false"},
		}},
		{name: "renew does not ask whose the lock is", breaks: "exclusion", room: "queue", test: "TestRenewScript", says: "another client's:", edits: []edit{
			{"queue/lua/renew.lua", "d.client ~= ARGV[5]", "false"},
		}},
		{name: "release takes whatever is held", breaks: "exclusion: a late release frees the successor's lock", room: "queue", test: "TestReleaseScript",
			says: "a second release leaves the successor's lock alone:", edits: []edit{
				{"queue/lua/short.lua", "if #flat ~= 2 or flat[1] ~= id then return end", "if #flat ~= 2 then return end\n  id = flat[1]"},
				{"queue/lua/short.lua", "string.match(member, '^[^\\n]*') ~= ARGV[at + 1]", "false"},
			}},
		{name: "a lease has no end", breaks: "exclusion: a late holder still renews and releases", room: "queue", test: "TestRenewScript", says: "what is over is lost:", edits: []edit{
			{"queue/lua/lib.lua", "if h.ends > now then admit(lock, h)", "if true then admit(lock, h)"},
		}},
		{name: "the short way does not look at the lease's end", breaks: "exclusion: a late release counts", room: "queue", test: "TestReleaseScript",
			says: "what is over is lost, and its end takes effect:", edits: []edit{
				{"queue/lua/short.lua", "tonumber(ends) <= now or string.match", "string.match"},
			}},
		{name: "a script may run as late as it likes", breaks: "exclusion: a Redis that slept acts on old commands", room: "queue", test: "TestWokenRedisRefusesOldCommands",
			says: "something was done", edits: []edit{
				{"queue/lua/clock.lua", "if now > notAfter then", "if false then"},
			}},
		{name: "a reader beside a writer", breaks: "exclusion", room: "queue", test: "TestModel", says: "but the model says", args: modelArgs, edits: []edit{
			{"queue/lua/lib.lua", "if d.mode == 'shared' then return lock.mode == 'shared' end", "if d.mode == 'shared' then return true end"},
		}},
		{name: "a writer beside readers", breaks: "exclusion", room: "queue", test: "TestAcquireScript", says: "c2 on b: granted", edits: []edit{
			{"queue/lua/lib.lua", "return lock.mode == 'exclusive' and lock.count < lock.limit", "return lock.mode == 'shared' or lock.count < lock.limit"},
		}},
		{name: "the limit is off by one", breaks: "exclusion: one holder too many", room: "queue", test: "TestAcquireScript", says: "a semaphore is full:", edits: []edit{
			{"queue/lua/lib.lua", "return lock.mode == 'exclusive' and lock.count < lock.limit", "return lock.mode == 'exclusive' and lock.count <= lock.limit"},
			{"queue/lua/lib.lua", "lock.mode == 'exclusive' and lock.count >= lock.limit end", "lock.mode == 'exclusive' and lock.count > lock.limit end"},
		}},
		{name: "last in, first out", breaks: "order", room: "queue", test: "TestModel", says: "but the model says", args: modelArgs, edits: []edit{
			{"queue/lua/lib.lua", "redis.call('ZRANGE', lock.queue, 0, 0", "redis.call('ZREVRANGE', lock.queue, 0, 0"},
			{"queue/lua/short.lua", "redis.call('ZRANGE', queue, '0', '0'", "redis.call('ZREVRANGE', queue, '0', '0'"},
		}},
		{name: "a newcomer overtakes the line where it fits", breaks: "order: writers starve", room: "queue", test: "TestAcquireScript",
			says: "a reader behind a waiting writer waits:", edits: []edit{
				{"queue/lua/acquire.lua", "and lock.waiting == 0 and fits(lock, want)", "and fits(lock, want)"},
			}},
		{name: "a place taken up again goes to the end of the line", breaks: "order", room: "queue", test: "TestRepeatedAcquire", says: "a parked place is taken up:", edits: []edit{
			{"queue/lua/acquire.lua", "      stand(ticket, since)\n", "      ticket = draw()\n      stand(ticket, since)\n"},
		}},
		{name: "the token is the place in line", breaks: "tokens: a place that comes back has a lower one", room: "queue", test: "TestModel", says: "but the model says", args: modelArgs, edits: []edit{
			{"queue/lua/lib.lua", "token = draw(), since", "token = ticket ~= '0' and ticket or draw(), since"},
			{"queue/lua/short.lua", "local token = draw()\n  ends = now + lease", "local token = string.format('%d', tonumber(head[2]))\n  ends = now + lease"},
		}},
		{name: "the last token is not looked at", breaks: "tokens: one twice in a microsecond, or a lower one after the clock went back", room: "queue", test: "TestModel",
			says: "but the model says", args: modelArgs, edits: []edit{
				{"queue/lua/clock.lua", "if last and tonumber(last) >= t then", "if false then"},
			}},
		{name: "the floor under tokens is dropped", breaks: "tokens: lower ones after loss of data", room: "queue", test: "TestTokensRise",
			says: "data lost, clock an hour back: token", edits: []edit{
				{"queue/lua/clock.lua", "math.max(micros, floor + 1)", "micros"},
			}},
		{name: "a node does not note the tokens that it sees", breaks: "tokens: lower ones after loss of data", room: "queue", test: "TestTokensRise",
			says: "data lost, clock an hour back: token", edits: []edit{
				{"queue/script.go", "\t\tif token <= seen ||", "\t\tif {PLANTED} || token <= seen ||"},
			}},
		{name: "tokens are floating point", breaks: "tokens: digits lost", room: "queue", test: "TestLongTokens", says: "token", edits: []edit{
			{"queue/lua/clock.lua", "local function int(n) return string.format('%d', n) end", "local function int(n) return tostring(n) end"},
		}},
		{name: "a lease that ends hands nothing on", breaks: "wake-ups: the next waits for somebody else's call", room: "queue", test: "TestDueScript",
			says: "a lease is over, and a request of the node waits:", edits: []edit{
				{"queue/lua/lib.lua", "  lock.freed = lock.freed or h.ends * 1000\n", ""},
				{"queue/lua/lib.lua", "  lock.changed, lock.freed = true, lock.freed or micros\n", "  lock.changed = true\n  if lock.holders[h.id] then lock.freed = lock.freed or micros end\n"},
			}},
		{name: "a head that leaves lets nobody in", breaks: "wake-ups: readers behind a writer that gave up", room: "queue", test: "TestCancelScript",
			says: "a head that leaves lets the readers behind it in:", edits: []edit{
				{"queue/lua/lib.lua", "if lock.freed or lock.moved then pump(lock) end", "if lock.freed then pump(lock) end"},
			}},
		{name: "only one of the readers at the head is let in", breaks: "wake-ups", room: "queue", test: "TestReleaseScript", says: "all readers at the head are let in:", edits: []edit{
			{"queue/lua/lib.lua", "      give(lock, d, text, digits(head[2]), deadline)\n", "      give(lock, d, text, digits(head[2]), deadline)\n      return\n"},
		}},
		{name: "a grant to another node needs no claim", breaks: "dead weight: a dead node's grant lasts a whole lease", room: "queue", test: "TestReleaseScript",
			says: "a lock is handed to a request of another node, to be claimed:", edits: []edit{
				{"queue/lua/lib.lua", "h.state, h.ends, h.since, h.till = 'P', now + CLAIM,", "h.state, h.ends, h.since, h.till = 'P', now + d.lease,"},
			}},
		{name: "a dead node's requests are served", breaks: "dead weight", room: "queue", test: "TestReleaseScript", says: "one past its wait and one of a dead node are skipped:", edits: []edit{
			{"queue/lua/lib.lua", "if d and deadline > now and lives(d.node) then", "if d and deadline > now then"},
		}},
		{name: "a wait that is over is served", breaks: "no grant after the end of a wait", room: "queue", test: "TestReleaseScript",
			says: "one past its wait and one of a dead node are skipped:", edits: []edit{
				{"queue/lua/lib.lua", "if d and deadline > now and lives(d.node) then", "if d and lives(d.node) then"},
			}},
	}
}

// modelArgs keep the model's runs short: what is planted shows at once, and needs no smallest example.
var modelArgs = []string{"-rapid.nofailfile", "-rapid.shrinktime=1ms", "-rapid.checks=200"}
