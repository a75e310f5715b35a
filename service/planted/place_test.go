package planted

// placeMistakes are of the scripts: cancelled and repeated requests, places kept, sessions, deadlocks.
func placeMistakes() []mistake {
	return []mistake{
		{name: "a cancelled request stays in line", breaks: "no grant after cancel", room: "queue", test: "TestCancelScript", says: "a waiting request leaves:", edits: []edit{
			{"queue/lua/cancel.lua", "  leave(lock, member)\n", ""},
		}},
		{name: "a cancel leaves the grant that came first", breaks: "no grant after cancel", room: "queue", test: "TestModel", says: "but the model says", args: modelArgs, edits: []edit{
			{"queue/lua/cancel.lua", "local h = lock.holders[id]\nif h then", "local h = lock.holders[id]\nif false then"},
		}},
		{name: "a cancel takes a place that a repeat has taken over", breaks: "same request, same outcome", room: "queue", test: "TestCancelScript",
			says: "a place that a repeat has taken over is left alone:", edits: []edit{
				{"queue/lua/cancel.lua", "  if d.id ~= id then return finish('none', lock, sample(lock)) end\n", ""},
			}},
		{name: "a cancel gives back a grant that a repeat has taken", breaks: "same request, same outcome: a client loses what it was told it has", room: "queue", test: "TestCancelScript",
			says: "a grant that a repeat has taken is kept:", edits: []edit{
				{"queue/lua/cancel.lua", "if h.state ~= 'P' and ARGV[8] ~= '' and not string.find(ARGV[8], h.state, 1, true) then", "if false then"},
			}},
		{name: "a repeated request is a new one", breaks: "same request, same outcome: two places, two grants", room: "queue", test: "TestRepeatedAcquire",
			says: "a live grant is found again:", edits: []edit{
				{"queue/lua/acquire.lua", "  if given then\n", "  if false then\n"},
				{"queue/lua/short.lua", "if ARGV[at + 3] == '1' and (holder == member", "if false and (holder == member"},
			}},
		{name: "a repeated request may have another body", breaks: "same request, same outcome", room: "queue", test: "TestRepeatedAcquire", says: "another lease is another body:", edits: []edit{
			{"queue/lua/acquire.lua", "if d.print ~= want.print then", "if false then"},
		}},
		{name: "a place is not kept", breaks: "dead weight: a client that comes back begins at the end", room: "queue", test: "TestBuryScript", says: "a dead node's requests are put aside:", edits: []edit{
			{"queue/lua/lib.lua", "  redis.call('SET', base .. PARKED .. name .. '\\n' .. d.client .. '\\n' .. d.request,\n    ticket .. ' ' .. int(deadline) .. ' ' .. since .. '\\n' .. text, 'PX', d.grace)\n", ""},
		}},
		{name: "a grant that nobody claimed is an expired one", breaks: "a place lost, and an event of what never was", room: "queue", test: "TestDueScript",
			says: "a grant that nobody claimed goes to the next, and its node counts as gone:", edits: []edit{
				{"queue/lua/lib.lua", "  if h.state == 'P' then\n    local d = describe(h)\n    redis.call('DEL'", "  if false then\n    local d = describe(h)\n    redis.call('DEL'"},
			}},
		{name: "a node that lives is buried", breaks: "order: its requests are put aside", room: "queue", test: "TestBuryScript", says: "a node that shows itself is not buried:", edits: []edit{
			{"queue/lua/bury.lua", "if redis.call('EXISTS', base .. NODE .. gone) == 1 then", "if false then"},
		}},
		{name: "a claimed grant's lease began when it was made", breaks: "a lease shorter than was asked for", room: "queue", test: "TestModel", says: "but the model says", args: modelArgs, edits: []edit{
			{"queue/lua/claim.lua", "h.state, h.since, h.ends, h.till = 'H', int(micros), now + d.lease, 0", "h.state, h.till = 'H', 0"},
		}},
		{name: "renewal knows no longest hold", breaks: "a hung client holds for ever", room: "queue", test: "TestDueScript", says: "a late renewal ends with the longest hold:", edits: []edit{
			{"queue/lua/due.lua", "  if d.hold > 0 then ends = math.min(ends, math.floor(h.since / 1000) + d.hold) end\n", ""},
		}},
		{name: "a session's locks renew themselves after its grace", breaks: "dead weight", room: "queue", test: "TestSessionScripts", says: "its renewals end with its grace:", edits: []edit{
			{"queue/lua/head.lua", " and\n    (not h.till or h.till == 0 or now < h.till)", ""},
		}},
		{name: "a session is not told that it lost a lock", breaks: "a holder works on without its lock", room: "queue", test: "TestSessionScripts", says: "its lock is forced while it is there:", edits: []edit{
			{"queue/lua/lib.lua", "      bereave(lock.name, h, kind)\n", "      forget(lock.name, d)\n"},
		}},
		{name: "a session is anybody's", breaks: "a stranger takes over locks and places", room: "queue", test: "TestHomeScripts", says: "another client asks for it:", edits: []edit{
			{"queue/lua/session.lua", "(not node or owner ~= client)", "not node"},
		}},
		{name: "a session that moved on is put aside by its old node", breaks: "its places are lost to it", room: "queue", test: "TestSessionScripts", says: "its connection to another node ended:", edits: []edit{
			{"queue/lua/detach.lua", "    if d.node ~= me then\n      elsewhere = true\n    elseif", "    if"},
		}},
		{name: "a deadlock's victim is failed whatever became of it", breaks: "deadlocks: one outside a circle is failed", room: "queue", test: "TestFailScript",
			says: "another call of the same request is left alone:", edits: []edit{
				{"queue/lua/fail.lua", "d.id ~= id or lock.freed", "lock.freed"},
			}},
		{name: "a failed request's node is not told", breaks: "deadlocks: the victim waits on", room: "queue", test: "TestFailScript", says: "a waiting request leaves, and its node is told:", edits: []edit{
			{"queue/lua/fail.lua", "bells[d.node] = true\n", ""},
		}},
		{name: "an unknown outcome is passed off as none", breaks: "honesty: a grant may be left behind", room: "queue", test: "TestWokenRedisRefusesOldCommands", says: "redis is not available", edits: []edit{
			{"queue/script.go", "\tdefault:\n\t\treturn fmt.Errorf(\"%w: %s: %w\", ErrUnknown, what, err)\n", "\tcase {PLANTED}:\n\t\treturn fmt.Errorf(\"%w: %s: %w\", ErrUnavailable, what, err)\n\tdefault:\n\t\treturn fmt.Errorf(\"%w: %s: %w\", ErrUnknown, what, err)\n"},
		}},
	}
}
