package queue

import (
	"testing"
	"time"
)

func TestAcquireScript(t *testing.T) {
	minute := wait(time.Minute)
	runCases(t, "acquire", []scriptCase{
		{"a free lock is granted", nil, acquires("a", ask("x", "c1", meta(`{"k":"v"}`)), maxLine)},
		{"a free lock is granted to one that would wait", nil, acquires("a", ask("x", "c1", minute), maxLine)},
		{"a held lock is not given to one that tries", heldBy("c1"), acquires("b", ask("x", "c2"), maxLine)},
		{"one that waits is queued", heldBy("c1"), acquires("b", ask("x", "c2", minute, meta(`{"k":1}`)), maxLine)},
		{"the next one is queued behind", then(heldBy("c1"), queued("b", ask("x", "c2"))),
			acquires("a", ask("x", "c3", minute), maxLine)},
		{"one that tries does not overtake a line", then(taken("a", ask("x", "c1", shared)), queued("b", ask("x", "c2"))),
			acquires("a", ask("x", "c3", shared), maxLine)},
		{"a full line takes nobody", then(heldBy("c1"), queued("b", ask("x", "c2"))), acquires("a", ask("x", "c3", minute), 1)},
		{"another limit is refused", heldBy("c1"), acquires("a", ask("x", "c2", minute, limit(3)), maxLine)},
		{"another limit is fine on a free lock", then(heldBy("c1"), freed("a", "c1")), acquires("a", ask("x", "c2", limit(3)), maxLine)},
		{"readers share", then(taken("a", ask("x", "c1", shared))), acquires("b", ask("x", "c2", shared), maxLine)},
		{"a writer waits for readers", then(taken("a", ask("x", "c1", shared)), taken("b", ask("x", "c2", shared))),
			acquires("a", ask("x", "c3", minute), maxLine)},
		{"a reader waits for a writer", heldBy("c1"), acquires("b", ask("x", "c2", shared, minute), maxLine)},
		{"a reader behind a waiting writer waits", then(taken("a", ask("x", "c1", shared)), queued("b", ask("x", "c2"))),
			acquires("a", ask("x", "c3", shared, minute), maxLine)},
		{"a semaphore has room", then(taken("a", ask("x", "c1", limit(2)))), acquires("b", ask("x", "c2", limit(2)), maxLine)},
		{"a semaphore is full", then(taken("a", ask("x", "c1", limit(2))), taken("a", ask("x", "c2", limit(2)))),
			acquires("b", ask("x", "c3", limit(2), minute), maxLine)},
		{"a lease that is over makes room", then(heldBy("c1"), later(30*time.Second)), acquires("b", ask("x", "c2"), maxLine)},
		{"a lease that is over goes to the line first", then(heldBy("c1"), queued("b", ask("x", "c2")), later(30*time.Second)),
			acquires("a", ask("x", "c3", minute), maxLine)},
		{"a waiting request past its wait keeps nobody out", then(heldBy("c1"), queued("b", ask("x", "c2", wait(5*time.Second))), later(30*time.Second)),
			acquires("a", ask("x", "c3"), maxLine)},
		{"a dead node's request keeps nobody out", then(taken("a", ask("x", "c1", shared)), queued("b", ask("x", "c2")), dead("b")),
			acquires("a", ask("x", "c3", shared), maxLine)},
		{"a lock held alone renews itself", nil, acquires("a", ask("x", "c1", autoRenew(5*time.Second, time.Hour)), maxLine)},
	})
}

// TestRepeatedAcquire repeats requests: by the same call, by another one, on another node.
func TestRepeatedAcquire(t *testing.T) {
	minute, again := wait(time.Minute), ids("L-again", "R-again")
	runCases(t, "repeat", []scriptCase{
		{"a live grant is found again", heldBy("c1", meta(`{"k":1}`)), acquires("b", ask("x", "c1", known, again, meta(`{"k":1}`)), maxLine)},
		{"a live grant is found again by the call that has it", heldBy("c1"), acquires("a", ask("x", "c1", known), maxLine)},
		{"another wait is the same body", heldBy("c1"), acquires("b", ask("x", "c1", known, again, minute), maxLine)},
		{"another lease is another body", heldBy("c1"), acquires("b", ask("x", "c1", known, again, lease(time.Second)), maxLine)},
		{"another request of the client waits", heldBy("c1"), acquires("b", ask("x", "c1", known, again, minute, func(q *Request) { q.ID = "other" }), maxLine)},
		{"a released grant is not found", then(heldBy("c1"), freed("a", "c1")), acquires("b", ask("x", "c1", known, again), maxLine)},
		{"a waiting request's place is taken over", then(heldBy("c1"), queued("b", ask("x", "c2")), queued("b", ask("x", "c3"))),
			acquires("a", ask("x", "c2", known, again, wait(2*time.Minute)), maxLine)},
		{"a waiting request's body may not differ", then(heldBy("c1"), queued("b", ask("x", "c2"))),
			acquires("a", ask("x", "c2", known, again, minute, shared), maxLine)},
		{"one that tries leaves its waiting request alone", then(heldBy("c1"), queued("b", ask("x", "c2"))),
			acquires("a", ask("x", "c2", known, again), maxLine)},
		{"a grant not yet claimed is taken on another node", then(heldBy("c1"), queued("b", ask("x", "c2", minute)), freed("a", "c1")),
			acquires("a", ask("x", "c2", known, again, minute), maxLine)},
		{"a grant not yet claimed is taken by its own node's repeat", then(heldBy("c1"), queued("b", ask("x", "c2", minute)), freed("a", "c1")),
			acquires("b", ask("x", "c2", known, minute), maxLine)},
		{"the place is taken over before the line is served", then(heldBy("c1", lease(10*time.Second)), queued("b", ask("x", "c2", minute)), later(20*time.Second)),
			acquires("a", ask("x", "c2", known, again, minute), maxLine)},
		{"one that tries finds the grant that the line gives it", then(heldBy("c1", lease(10*time.Second)), queued("b", ask("x", "c2", minute)), later(20*time.Second)),
			acquires("a", ask("x", "c2", known, again), maxLine)},
		{"a dead node's place is taken over before the line is served", then(heldBy("c1", lease(10*time.Second)), queued("b", ask("x", "c2", minute)),
			queued("a", ask("x", "c3", minute)), dead("b"), later(20*time.Second)), acquires("a", ask("x", "c2", known, again, minute), maxLine)},
		{"a grant that its node did not claim in time is asked for again by that node", then(heldBy("c1"), queued("b", ask("x", "c2", minute)), freed("a", "c1"), later(3*time.Second)),
			acquires("b", ask("x", "c2", known, again, minute), maxLine)},
		{"a place whose node is gone is taken up by another", then(heldBy("c1"), queued("b", ask("x", "c2", minute)), dead("b"), later(3*time.Second)),
			acquires("a", ask("x", "c2", known, again, minute), maxLine)},
		{"a parked place is taken up", then(heldBy("c1"), queued("b", ask("x", "c2")), queued("b", ask("x", "c3")), parked("b", ask("x", "c2"))),
			acquires("a", ask("x", "c2", known, again, minute), maxLine)},
		{"a parked place stays parked for one that tries", then(heldBy("c1"), queued("b", ask("x", "c2")), parked("b", ask("x", "c2"))),
			acquires("a", ask("x", "c2", known, again), maxLine)},
		{"one that tries takes a free lock, whatever place was parked", then(heldBy("c1"), queued("b", ask("x", "c2")), parked("b", ask("x", "c2")), freed("a", "c1")),
			acquires("a", ask("x", "c2", known, again), maxLine)},
		{"a parked place's body may not differ", then(heldBy("c1"), queued("b", ask("x", "c2")), parked("b", ask("x", "c2"))),
			acquires("a", ask("x", "c2", known, again, minute, shared), maxLine)},
		{"a parked place is taken up after the lock came free", then(heldBy("c1"), queued("b", ask("x", "c2")), parked("b", ask("x", "c2")), freed("a", "c1")),
			acquires("a", ask("x", "c2", known, again, minute), maxLine)},
		{"a place is taken up after loss of data", heldBy("c1"), acquires("b", ask("x", "c2", known, minute, restored(epoch-5000)), maxLine)},
		{"a place comes back before a later one", then(heldBy("c1"), queued("b", ask("x", "c3"))),
			acquires("b", ask("x", "c2", known, minute, restored(epoch-5000)), maxLine)},
		{"a place comes back though the line is full", then(heldBy("c1"), queued("b", ask("x", "c3"))),
			acquires("b", ask("x", "c2", known, minute, restored(epoch-5000)), 1)},
	})
}
