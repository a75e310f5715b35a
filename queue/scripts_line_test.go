package queue

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func cancels(node string, q *Request, park bool) func(*world) string {
	return func(w *world) string {
		c, err := w.store(node).Cancel(context.Background(), q, park)
		return sayGrants("held by", c.Holders) + sayResult(c.Word, c.Effects, err)
	}
}

func TestCancelScript(t *testing.T) {
	c2, again := ask("x", "c2", wait(time.Minute)), ask("x", "c2", wait(time.Minute), known, ids("L-again", "R-again"))
	runCases(t, "cancel", []scriptCase{
		{"a waiting request leaves", then(heldBy("c1"), queued("b", c2), queued("b", ask("x", "c3"))), cancels("b", c2, false)},
		{"the last waiting request leaves", then(heldBy("c1"), queued("b", c2)), cancels("b", c2, false)},
		{"a waiting request's place is kept", then(heldBy("c1"), queued("b", c2)), cancels("b", c2, true)},
		{"a head that leaves lets the readers behind it in", then(taken("a", ask("x", "c1", shared)), queued("b", c2),
			queued("b", ask("x", "c3", shared)), queued("a", ask("x", "c4", shared)), queued("b", ask("x", "c5"))), cancels("b", c2, false)},
		{"a head that is put aside lets the readers behind it in", then(taken("a", ask("x", "c1", shared)), queued("b", c2),
			queued("b", ask("x", "c3", shared))), cancels("b", c2, true)},
		{"a grant that nobody took is given back", heldBy("c1"), cancels("a", ask("x", "c1"), false)},
		{"a grant that nobody claimed is given back, to the next", then(heldBy("c1"), queued("b", c2), queued("a", ask("x", "c3")), freed("a", "c1")),
			cancels("b", c2, false)},
		{"a grant not yet claimed goes back, its place kept", then(heldBy("c1"), queued("b", c2), freed("a", "c1")), cancels("b", c2, true)},
		{"a grant that a repeat has taken is kept", then(heldBy("c1"), taken("b", ask("x", "c1", known, ids("L-again", "R-again")))),
			cancels("a", ask("x", "c1"), false)},
		{"a place that a repeat has taken over is left alone", then(heldBy("c1"), queued("b", c2), queued("a", again)), cancels("b", c2, false)},
		{"a place that a repeat has taken over is left by the repeat", then(heldBy("c1"), queued("b", c2), queued("a", again)), cancels("a", again, false)},
		{"a parked place is given up", then(heldBy("c1"), queued("b", c2), parked("b", c2)), cancels("b", c2, false)},
		{"a parked place stays parked", then(heldBy("c1"), queued("b", c2), parked("b", c2)), cancels("b", c2, true)},
		{"what is not there is none", heldBy("c1"), cancels("b", c2, false)},
		{"what was released is none", then(heldBy("c1"), freed("a", "c1")), cancels("a", ask("x", "c1"), false)},
	})
}

func claims(node string) func(*world) string {
	return func(w *world) string {
		w.unordered = true // a set has no order
		e, err := w.store(node).Claim(context.Background(), 0)
		said := "claimed"
		for _, f := range e.Failed {
			said += fmt.Sprintf("; %s failed, cycle %+v", f.LockID, f.Cycle)
		}
		return sayResult(said, e.Effects, err)
	}
}

func TestClaimScript(t *testing.T) {
	offered := then(heldBy("c1"), queued("b", ask("x", "c2")), queued("a", ask("x", "c3")), freed("a", "c1"))
	runCases(t, "claim", []scriptCase{
		{"nothing to claim", heldBy("c1"), claims("b")},
		{"a grant: its lease begins now", offered, claims("b")},
		{"another node's grant is not there to claim", offered, claims("a")},
		{"a second time there is nothing", then(offered, claimed("b")), claims("b")},
		{"one that renews itself", then(heldBy("c1"), queued("b", ask("x", "c2", autoRenew(5*time.Second, time.Hour))), freed("a", "c1")), claims("b")},
		{"a claim too late: the request is put aside, the next one served", then(offered, later(3*time.Second)), claims("b")},
		{"a claim too late, while another of the node is next", then(heldBy("c1"), queued("b", ask("x", "c2")), queued("b", ask("x", "c3")), freed("a", "c1"), later(3*time.Second)), claims("b")},
		{"two readers at once", then(heldBy("c1"), queued("b", ask("x", "c2", shared)), queued("b", ask("x", "c3", shared)), freed("a", "c1")), claims("b")},
		{"a grant given back meanwhile", then(offered, func(w *world) {
			if _, err := w.store("b").Cancel(context.Background(), ask("x", "c2"), false); err != nil {
				w.t.Fatal(err)
			}
		}), claims("b")},
	})
}

func looks(node string) func(*world) string {
	return func(w *world) string {
		r, err := w.store(node).Due(context.Background(), 0)
		return sayResult(fmt.Sprintf("%d renewed, next look in %s, mine %t", r.Renewed, r.Next, r.Mine), r.Effects, err)
	}
}

func TestDueScript(t *testing.T) {
	short := autoRenew(300*time.Millisecond, 2*time.Second)
	looked := func(w *world) { looks("b")(w) }
	runCases(t, "due", []scriptCase{
		{"nothing is due", heldBy("c1"), looks("a")},
		{"nothing is there", nil, looks("a")},
		{"a lease is over", then(heldBy("c1", meta(`{"k":1}`)), later(30*time.Second)), looks("b")},
		{"a lease is over, and a request of the node waits", then(heldBy("c1"), queued("b", ask("x", "c2")), later(30*time.Second)), looks("b")},
		{"a lease is over, and a request of another node waits", then(heldBy("c1"), queued("b", ask("x", "c2")), later(30*time.Second)), looks("a")},
		{"one of two permits is over", then(taken("a", ask("x", "c1", limit(2), lease(5*time.Second))), taken("a", ask("x", "c2", limit(2))), later(5*time.Second)), looks("b")},
		{"a grant that nobody claimed goes to the next, and its node counts as gone", then(heldBy("c1"), queued("b", ask("x", "c2")),
			queued("b", ask("x", "c3")), queued("a", ask("x", "c4")), freed("a", "c1"), later(3*time.Second)), looks("a")},
		{"a lease renews itself", then(heldBy("c1", autoRenew(5*time.Second, time.Hour)), later(5*time.Second)), looks("b")},
		{"a lease shorter than the time between two looks renews itself", then(taken("a", ask("x", "c1", lease(time.Second), short)), later(-700*time.Millisecond)), looks("a")},
		{"renewal ends with the longest hold", then(taken("a", ask("x", "c1", lease(time.Second), short)), later(-500*time.Millisecond), looked, later(-500*time.Millisecond)), looks("a")},
		{"a late renewal ends with the longest hold", then(taken("a", ask("x", "c1", lease(time.Second), short)), later(-500*time.Millisecond), looked, later(-100*time.Millisecond)), looks("a")},
		{"past the longest hold nothing is renewed", then(taken("a", ask("x", "c1", lease(time.Second), short)), later(-500*time.Millisecond), looked,
			later(-500*time.Millisecond), looked, later(-500*time.Millisecond)), looks("a")},
		{"a lease that should have been renewed and was not is over", then(taken("a", ask("x", "c1", lease(time.Second), short)), later(time.Second)), looks("a")},
		{"the record is gone, the index is not", then(heldBy("c1"), func(w *world) { w.do("DEL", "dl:{0}:lock:x") }, later(30*time.Second)), looks("a")},
	})
}

func buries(w *world) string {
	e, err := w.store("a").Bury(context.Background(), "x", "b")
	return sayResult("buried", e, err)
}

func TestBuryScript(t *testing.T) {
	runCases(t, "bury", []scriptCase{
		{"a node that shows itself is not buried", then(heldBy("c1"), queued("b", ask("x", "c2"))), buries},
		{"a dead node's requests are put aside", then(heldBy("c1"), queued("b", ask("x", "c2", meta(`{"k":1}`))), queued("a", ask("x", "c3")),
			queued("b", ask("x", "c4")), dead("b")), buries},
		{"the last ones are put aside", then(heldBy("c1"), queued("b", ask("x", "c2")), dead("b")), buries},
		{"readers behind a dead writer get in", then(taken("a", ask("x", "c1", shared)), queued("b", ask("x", "c2")), queued("a", ask("x", "c3", shared)), dead("b")), buries},
		{"a dead node's locks stay until their leases end", then(taken("b", ask("x", "c1")), dead("b")), buries},
	})
}
