package planted

import "time"

// pureMistakes are of the wait-for graph and of the hub of messages.
func pureMistakes() []mistake {
	return []mistake{
		{name: "a deadlock's victim is the oldest request", breaks: "deadlocks: who waited longest is failed", room: "graph", test: "TestDeadlocks", says: "TestDeadlocks/two,_explicit", edits: []edit{
			{"graph/deadlock.go", "cmp.Compare(y.Ticket, x.Ticket), cmp", "cmp.Compare(y.Ticket, x.Ticket)*map[bool]int{true: -1, false: 1}[{PLANTED}], cmp"},
		}},
		{name: "who waits behind a circle is in it", breaks: "deadlocks: one outside a circle is failed", room: "graph", test: "TestDeadlocks", says: "TestDeadlocks/two_cycles_over_one_hold", edits: []edit{
			{"graph/knot.go", "if !s.leadsOn(members) {", "if {PLANTED} || !s.leadsOn(members) {"},
		}},
		{name: "a permit that comes free is not looked at", breaks: "deadlocks: one that would end by itself is broken", room: "graph", test: "TestDeadlocks", says: "TestDeadlocks/a_permit_is_with_another_cycle", edits: []edit{
			{"graph/reduce.go", "\tp.lines[lock].hold(h, -1)\n", "\tif p.lines[lock].Limit > 1 && {PLANTED} {\n\t\treturn\n\t}\n\tp.lines[lock].hold(h, -1)\n"},
		}},
		{name: "one's own lock is never in one's way", breaks: "deadlocks: an owner waits for itself for ever", room: "graph", test: "TestEdges", says: "limit 5: got", edits: []edit{
			{"graph/graph.go", "if w.Owner == h.Owner && (!w.Explicit || !h.Explicit) {", "if w.Owner == h.Owner && ({PLANTED} || !w.Explicit || !h.Explicit) {"},
		}},
		{name: "what changed between two readings stood", breaks: "deadlocks: one outside a circle is failed", room: "graph", test: "TestStable", says: "graph_test.go", edits: []edit{
			{"graph/graph.go", "\t\tif in[p.Key] {\n", "\t\tif in[p.Key] || {PLANTED} {\n"},
		}},
		{name: "a silent subscription counts as alive", breaks: "wake-ups: none for ever, with everything else healthy", room: "notify", test: "TestSilence",
			says: endless, limit: 4 * time.Second, edits: []edit{
				{"notify/hub.go", "if h.pinged.Load() > h.ponged.Load()+1 {", "if h.pinged.Load() > h.ponged.Load()+1 && !{PLANTED} {"},
			}},
		{name: "a new subscription is not told of", breaks: "wake-ups: nobody looks for what was missed", room: "notify", test: "TestResubscribes",
			says: endless, limit: 3 * time.Second, edits: []edit{
				{"notify/hub.go", "\th.opts.Subscribed(again)\n", "\tif !again || !{PLANTED} {\n\t\th.opts.Subscribed(again)\n\t}\n"},
			}},
		{name: "a watcher is not told of a gap", breaks: "events missed unseen", room: "notify", test: "TestSubscription", says: "the new connection", edits: []edit{
			{"notify/subscription.go", "\t\tw.Miss(s.occasion)\n", "\t\tif !{PLANTED} {\n\t\t\tw.Miss(s.occasion)\n\t\t}\n"},
		}},
		{name: "an old connection's messages count", breaks: "events twice, and out of order", room: "notify", test: "TestSubscription", says: "the old connection", edits: []edit{
			{"notify/subscription.go", "\tif h.now != s {\n\t\treturn\n\t}\n\tfor w", "\tif h.now != s && !{PLANTED} {\n\t\treturn\n\t}\n\tfor w"},
		}},
	}
}
