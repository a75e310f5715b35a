package queue

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"distributedlock/queue/embedded"
)

var someCycle = []CycleStep{{Client: "c2", Owner: "o", Holds: "y", HeldSince: time.UnixMilli(1_000).UTC(), WaitsFor: "x", WaitingSince: time.UnixMilli(2_000).UTC()}}

func waitFor(q *Request) Wait {
	return Wait{Owner: Owner{Client: q.Client, ID: q.Owner}, Name: q.Name, Request: q.ID}
}

func fails(node string, q *Request) func(*world) string {
	return func(w *world) string {
		failed, e, err := w.store(node).Fail(context.Background(), waitFor(q), q.LockID, someCycle)
		return sayResult(fmt.Sprintf("failed %t", failed), e, err)
	}
}

func failed(node string, q *Request) func(*world) {
	return func(w *world) {
		if did, _, err := w.store(node).Fail(context.Background(), waitFor(q), q.LockID, someCycle); err != nil || !did {
			w.t.Fatal(did, err)
		}
	}
}

func TestFailScript(t *testing.T) {
	c2 := ask("x", "c2")
	c2.Session = "S"
	c3 := ask("x", "c3", wait(500*time.Millisecond))
	runCases(t, "fail", []scriptCase{
		{"a waiting request leaves, and its node is told", then(heldBy("c1"), queued("b", c2)), fails("a", c2)},
		{"one of the node that calls", then(heldBy("c1"), queued("a", c2)), fails("a", c2)},
		{"the next in line stay", then(heldBy("c1"), queued("b", c2), queued("b", ask("x", "c3"))), fails("a", c2)},
		{"a head that leaves lets the readers behind it in", then(taken("a", ask("x", "c1", shared)), queued("b", c2),
			queued("b", ask("x", "c3", shared)), queued("a", ask("x", "c4", shared)), queued("b", ask("x", "c5"))), fails("a", c2)},
		{"one that does not wait is left alone", heldBy("c1"), fails("a", c2)},
		{"one that was granted is left alone", then(heldBy("c1"), queued("b", c2), freed("a", "c1")), fails("a", c2)},
		{"another call of the same request is left alone", then(heldBy("c1"), queued("b", ask("x", "c2", ids("L-again", "R-again")))), fails("a", c2)},
		{"where a lease has just ended nobody is failed", then(heldBy("c1"), queued("b", c2), later(30*time.Second)), fails("a", c2)},
		{"its node claims it", then(heldBy("c1"), queued("b", c2), failed("a", c2)), claims("b")},
		{"its node claims it with a grant", then(heldBy("c1"), queued("b", c2), queued("b", ask("x", "c3")), failed("a", c2), freed("a", "c1")), claims("b")},
		{"one whose wait is over", then(heldBy("c1"), queued("b", c3), later(10*time.Second)), fails("a", c3)},
	})
}

func saysLook(first int, glances ...Glance) func(*world) string {
	return func(w *world) string {
		states, err := w.store("a").Look(context.Background(), glances, first)
		if err != nil {
			return errorName(err)
		}
		var b strings.Builder
		for _, st := range states {
			fmt.Fprintf(&b, "%s\n%s", st.Name, sayGrants("held by", st.Holders))
			for _, q := range st.Waiters {
				fmt.Fprintf(&b, "%s %s/%s/%s %s%d ticket %d since %d\n", q.LockID, q.Client, q.Owner, q.Request, q.Mode, q.Limit, q.Ticket, q.Since.UnixMicro())
			}
		}
		return b.String()
	}
}

func TestLookScript(t *testing.T) {
	far := ask("x", "c4")
	line := then(heldBy("c1", meta(`{"k":1}`)), queued("b", ask("x", "c2")), queued("a", ask("x", "c3", shared)), queued("b", far),
		taken("a", ask("y", "c5", shared)), taken("a", ask("y", "c6", shared)), queued("a", ask("y", "c7")))
	runCases(t, "look", []scriptCase{
		{"nothing there", nil, saysLook(8, Glance{Name: "x"})},
		{"two locks and their lines", line, saysLook(8, Glance{Name: "x"}, Glance{Name: "y"}, Glance{Name: "z"})},
		{"the head, and one from further behind", line, saysLook(1, Glance{Name: "x", Waits: []Wait{waitFor(far)}})},
		{"the one asked for is the head, another is not there", line, saysLook(1, Glance{Name: "x", Waits: []Wait{waitFor(ask("x", "c2")), waitFor(ask("x", "c9"))}})},
		{"a lease that is over is no holder, and nothing is changed", then(line, later(30*time.Second)), saysLook(8, Glance{Name: "x"})},
	})
}

// TestLookAtMany: more than go into one run of the script come back in the order asked for.
func TestLookAtMany(t *testing.T) {
	t.Parallel()
	w := newRealTime(t)
	w.alive("a")
	var glances []Glance
	for i := range 300 {
		name := fmt.Sprintf("lock-%d", i)
		w.take("a", ask(name, "c1"))
		w.stand("a", ask(name, fmt.Sprintf("w%d", i)))
		glances = append(glances, Glance{Name: name, Waits: []Wait{waitFor(ask(name, fmt.Sprintf("w%d", i)))}})
	}
	states, err := w.store("a").Look(t.Context(), glances, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, st := range states {
		if len(st.Holders) != 1 || len(st.Waiters) != 1 || st.Waiters[0].Client != fmt.Sprintf("w%d", i) || st.Holders[0].Name != glances[i].Name {
			t.Fatalf("lock %d: %+v", i, st)
		}
	}
}

func TestWaitsAreNoted(t *testing.T) {
	t.Parallel()
	for kind, opt := range map[string]embedded.Option{"redis-server": embedded.RealOnly(), "miniredis": embedded.InProcess()} {
		t.Run(kind, func(t *testing.T) { testWaits(t, newWorld(t, opt)) })
	}
}

func testWaits(t *testing.T, w *world) {
	ctx := t.Context()
	a, b := w.store("a"), w.store("b*[x]")
	o, other := Owner{"c", "o"}, Owner{"c", "o2"}
	one, two, three := Noted{Wait{o, "x", "r1"}, other, ""}, Noted{Wait{o, "ü/y z", "r2"}, Owner{}, ""}, Noted{Wait{other, "x", "r3"}, Owner{"ü", "o"}, ""}
	find := func(want ...Noted) {
		t.Helper()
		got, err := a.WaitsOf(ctx, []Owner{o, {"nobody", "o"}, other})
		slices.SortFunc(got, func(a, b Noted) int { return strings.Compare(a.Request, b.Request) })
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("found %v, %v; want %v", got, err, want)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	find()
	must(a.NoteWaits(ctx, []Noted{one, three}))
	must(a.NoteWaits(ctx, []Noted{one}))
	must(b.NoteWaits(ctx, []Noted{two}))
	find(one, two, three)
	must(a.StrikeWaits(ctx, []Noted{two, three})) // two is the other node's own
	find(one, two)
	must(a.StrikeNode(ctx, "bx"))
	find(one, two)
	must(a.StrikeNode(ctx, "b*[x]"))
	find(one)
	must(a.StrikeWaits(ctx, []Noted{one}))
	find()
	if w.int("EXISTS", "dl:{0}:waits") != 0 {
		t.Errorf("something is left of the notes")
	}
}

func TestTurns(t *testing.T) {
	t.Parallel()
	w := newRealTime(t)
	a, b, ctx := w.store("a"), w.store("b"), t.Context()
	turn := func(s *Store, what string, want bool) {
		t.Helper()
		if got, err := s.Turn(ctx, what, time.Minute); err != nil || got != want {
			t.Fatalf("turn %t, %v; want %t", got, err, want)
		}
	}
	turn(a, "break", true)
	turn(b, "break", false)
	turn(a, "break", false)
	turn(b, "sweep", true)
	if err := a.EndTurn(ctx, "break"); err != nil {
		t.Fatal(err)
	}
	turn(b, "break", true)
}
