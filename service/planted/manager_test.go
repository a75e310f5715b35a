package planted

import "time"

// managerMistakes are of the lock manager: waking, leaving, coming back.
func managerMistakes() []mistake {
	return []mistake{
		{name: "the beat does not look for grants to claim", breaks: "wake-ups: one lost message, and a grant runs out", room: "service", test: "TestLostMessage",
			says: "not granted within 3 s", edits: []edit{
				{"service/beat.go", "if pulse.Claims || p.doubted.Load() {", "if pulse.Claims && !{PLANTED} || p.doubted.Load() {"},
			}},
		{name: "the bell is not heard", breaks: "wake-ups: each hand-over waits for a beat", room: "service", test: "TestBell", says: "notes: 0 where it rang", edits: []edit{
			{"service/effects.go", "if partition >= 0 && partition < len(m.parts) {", "if partition >= 0 && partition < len(m.parts) && !{PLANTED} {"},
		}},
		{name: "nothing is read again after a new subscription", breaks: "wake-ups: what was published in the gap", room: "service", test: "TestSubscribedAgain", says: "notes: 0 where a request waits", edits: []edit{
			{"service/effects.go", "if p.places.any() {", "if p.places.any() && !{PLANTED} {"},
		}},
		{name: "nothing is asked for again after loss of data", breaks: "wake-ups: waiters that nobody knows of", room: "service", test: "TestSessionOutlivesDataLoss",
			says: endless, limit: 5 * time.Second, edits: []edit{
				{"service/beat.go", "if (pulse.Missed || pulse.Moved) &&", "if !{PLANTED} && (pulse.Missed || pulse.Moved) &&"},
			}},
		{name: "a lease's end has no alarm", breaks: "wake-ups: the next waits for the beat", room: "service", test: "TestLeaseEnd", says: "the lock was not free within", limit: 19 * time.Second, edits: []edit{
			{"service/effects.go", "if e.Next > 0 && name != \"\" {", "if e.Next > 0 && name != \"\" && !{PLANTED} {"},
			{"service/partition.go", "\tif next > 0 {\n", "\tif next > 0 && !{PLANTED} {\n"},
			{"service/beat.go", "if pulse.Next > 0 {", "if pulse.Next > 0 && !{PLANTED} {"},
		}},
		{name: "a client that goes leaves its request", breaks: "no grant after cancel", room: "service", test: "TestGoneAtTheGrant", says: "is left held", edits: []edit{
			{"service/acquire.go", "\tif q.Earlier {\n", "\tif q.Earlier || {PLANTED} {\n"},
		}},
		{name: "what could not be cancelled is forgotten", breaks: "no grant after cancel", room: "service", test: "TestUndo", says: endless, limit: 6 * time.Second, edits: []edit{
			{"service/beat.go", "\tfor _, u := range m.undone.take() {\n", "\tfor _, u := range m.undone.take() {\n\t\tif {PLANTED} {\n\t\t\tcontinue\n\t\t}\n"},
		}},
		{name: "a grant that nobody waits for is kept", breaks: "no grant after cancel", room: "service", test: "TestHandedToNobody", says: "given back", edits: []edit{
			{"service/effects.go", "m.tasks.Go(func() { m.giveUp(&queue.Request{", "m.tasks.Go(func() {\n\t\t\t\tif {PLANTED} {\n\t\t\t\t\treturn\n\t\t\t\t}\n\t\t\t\tm.giveUp(&queue.Request{"},
		}},
		{name: "a call that leaves takes the place from the others", breaks: "same request, same outcome", room: "service", test: "TestSameRequestOnOneNode", says: endless, limit: 3 * time.Second, edits: []edit{
			{"service/places.go", "if p.calls--; p.calls > 0 {", "if p.calls--; p.calls > 0 && !{PLANTED} {"},
		}},
		{name: "a lost answer is asked for as something new", breaks: "same request, same outcome", room: "service", test: "TestLostAnswers", says: "the lock was not free within", limit: 20 * time.Second, edits: []edit{
			{"service/acquire.go", "q.Known = q.Known || repeated", "q.Known = q.Known || repeated && !{PLANTED}"},
		}},
		{name: "a session comes back without its places", breaks: "its requests are told nothing any more", room: "service", test: "TestManyAreResumed", says: endless, limit: 8 * time.Second, edits: []edit{
			{"service/resume.go", "\tcase own.Grant != nil:\n\t\tpart.arm", "\tcase {PLANTED} && own.Grant == nil:\n\tcase own.Grant != nil:\n\t\tpart.arm"},
		}},
		{name: "a grant that never reached its client is kept", breaks: "dead weight: a lock held by nobody", room: "service", test: "TestUndeliveredGrant", says: endless, limit: 3 * time.Second, edits: []edit{
			{"service/resume.go", "if !q.Earlier { // or", "if !q.Earlier && !{PLANTED} { // or"},
		}},
		{name: "a give-back knows of one taking up alone", breaks: "no grant after cancel: held by nobody who knows", room: "service", test: "TestRepeatsAreTakenBack", says: "it is free", edits: []edit{
			{"service/places.go", "\tq.Taken = p.states\n", "\tif !{PLANTED} {\n\t\tq.Taken = p.states\n\t}\n"},
		}},
		{name: "an older connection takes the session from a newer", breaks: "its requests are told nothing any more", room: "service", test: "TestSeveralComeBackAtOnce", says: "another connection's than the latest", edits: []edit{
			{"service/resume.go", "if before.number > s.number {", "if before.number > s.number && !{PLANTED} {"},
		}},
		{name: "what the first reading saw is a deadlock", breaks: "deadlocks: one outside a circle is failed", room: "service", test: "TestFirstReadingIsNotEnough", says: "is not in line", edits: []edit{
			{"service/deadlock.go", "graph.Deadlocks(graph.Stable(before, picture(now)))", "graph.Deadlocks(map[bool][]graph.Lock{true: before, false: graph.Stable(before, picture(now))}[{PLANTED}])"},
		}},
		{name: "two nodes break deadlocks at once", breaks: "deadlocks: two victims where one is enough", room: "service", test: "TestOneBreaksAtATime", says: "out of turn", edits: []edit{
			{"service/deadlock.go", "\t\tif mine {\n\t\t\tbreak\n", "\t\tif mine || {PLANTED} {\n\t\t\tbreak\n"},
		}},
		{name: "there is no sweep for deadlocks", breaks: "deadlocks: one closed far behind in a line stands", room: "service", test: "TestSweepFindsWhatFollowingDoesNot", says: "nobody broke the deadlock", limit: 20 * time.Second, edits: []edit{
			{"service/deadlock.go", "mine, err := d.m.store.Turn(ctx, \"sweep\", d.pace()*9/10)\n\tif err != nil || !mine {", "mine, err := d.m.store.Turn(ctx, \"sweep\", d.pace()*9/10)\n\tif err != nil || !mine || {PLANTED} {"},
		}},
	}
}
