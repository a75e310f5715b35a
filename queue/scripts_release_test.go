package queue

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func releases(node, client, lockID string) func(*world) string {
	return func(w *world) string {
		held, e, err := w.store(node).Release(context.Background(), "x", client, lockID)
		return sayResult("released after "+held.String(), e, err)
	}
}

func TestReleaseScript(t *testing.T) {
	minute := wait(time.Minute)
	runCases(t, "release", []scriptCase{
		{"a lock nobody waits for", heldBy("c1"), releases("b", "c1", "L-c1")},
		{"a lock is handed to a request of the same node", then(heldBy("c1"), queued("a", ask("x", "c2", meta(`{"k":1}`))), queued("b", ask("x", "c3"))),
			releases("a", "c1", "L-c1")},
		{"a lock is handed to a request of another node, to be claimed", then(heldBy("c1"), queued("b", ask("x", "c2"))), releases("a", "c1", "L-c1")},
		{"all readers at the head are let in", then(heldBy("c1"), queued("a", ask("x", "c2", shared)), queued("b", ask("x", "c3", shared)),
			queued("a", ask("x", "c4")), queued("a", ask("x", "c5", shared))), releases("a", "c1", "L-c1")},
		{"a permit of a semaphore goes to the head", then(taken("a", ask("x", "c1", limit(2))), taken("a", ask("x", "c2", limit(2))),
			queued("a", ask("x", "c3", limit(2))), queued("a", ask("x", "c4", limit(2)))), releases("a", "c2", "L-c2")},
		{"a writer waits for the last reader", then(taken("a", ask("x", "c1", shared)), taken("a", ask("x", "c2", shared)),
			queued("a", ask("x", "c3"))), releases("a", "c1", "L-c1")},
		{"the last reader lets the writer in", then(taken("a", ask("x", "c1", shared)), queued("a", ask("x", "c3"))), releases("a", "c1", "L-c1")},
		{"one past its wait and one of a dead node are skipped", then(heldBy("c1"), queued("a", ask("x", "c2", wait(time.Second))),
			queued("b", ask("x", "c3")), queued("a", ask("x", "c4")), dead("b")), releases("a", "c1", "L-c1")},
		{"what is not there is lost", heldBy("c1"), releases("a", "c1", "invented")},
		{"what nobody ever held is lost", nil, releases("a", "c1", "invented")},
		{"what is over is lost, and its end takes effect", then(heldBy("c1"), queued("a", ask("x", "c2")), later(30*time.Second)), releases("a", "c1", "L-c1")},
		{"a late release leaves the successor's lock alone", then(heldBy("c1", lease(time.Second)), taken("b", ask("x", "c2"))), releases("a", "c1", "L-c1")},
		{"a second release leaves the successor's lock alone", then(heldBy("c1"), queued("a", ask("x", "c2")), freed("a", "c1")), releases("a", "c1", "L-c1")},
		{"another client's lock stays", heldBy("c1"), releases("a", "c2", "L-c1")},
		{"a grant that is not claimed yet is nobody's to release", then(heldBy("c1"), queued("b", ask("x", "c2", minute)), freed("a", "c1")),
			releases("a", "c2", "L-c2")},
		{"a grant found again is released as any", then(heldBy("c1"), taken("b", ask("x", "c1", known))), releases("b", "c1", "L-c1")},
	})
}

func renews(client, token string, lease time.Duration) func(*world) string {
	return func(w *world) string {
		g, e, err := w.store("b").Renew(context.Background(), "x", client, token, lease)
		if err != nil {
			return sayResult("", e, err)
		}
		return sayResult(fmt.Sprintf("renewed %s token %d since %d ends %d ttl %s", g.LockID, g.Token, g.Since.UnixMicro(), g.End.UnixMilli(), g.TTL), e, nil)
	}
}

func TestRenewScript(t *testing.T) {
	runCases(t, "renew", []scriptCase{
		{"the lease's own length", heldBy("c1"), renews("c1", "R-c1", 0)},
		{"another length", heldBy("c1"), renews("c1", "R-c1", 2*time.Minute)},
		{"a shorter length", heldBy("c1"), renews("c1", "R-c1", time.Second)},
		{"one that renews itself is due at the next renewal", heldBy("c1", autoRenew(5*time.Second, time.Hour)), renews("c1", "R-c1", 0)},
		{"one of two readers", then(taken("a", ask("x", "c1", shared)), taken("b", ask("x", "c2", shared))), renews("c1", "R-c1", 0)},
		{"the end of the record follows the last lease", then(taken("a", ask("x", "c1", shared)), taken("b", ask("x", "c2", shared))), renews("c2", "R-c2", time.Second)},
		{"what is over is lost", then(heldBy("c1"), later(30*time.Second)), renews("c1", "R-c1", 0)},
		{"what is invented is lost", heldBy("c1"), renews("c1", "invented", 0)},
		{"another client's", heldBy("c1"), renews("c2", "R-c1", 0)},
		{"a grant that is not claimed yet", then(heldBy("c1"), queued("b", ask("x", "c2")), freed("a", "c1")), renews("c2", "R-c2", 0)},
	})
}

func forces(w *world) string {
	lost, e, err := w.store("b").ForceRelease(context.Background(), "x", "stuck")
	return sayGrants("lost by", lost) + sayResult("forced", e, err)
}

func TestForceScript(t *testing.T) {
	runCases(t, "force", []scriptCase{
		{"a free lock", nil, forces},
		{"one holder, and one waits", then(heldBy("c1", meta(`{"k":1}`)), queued("a", ask("x", "c2"))), forces},
		{"all holders, in the order of their tokens", then(taken("a", ask("x", "c1", limit(3))), taken("b", ask("x", "c2", limit(3))),
			taken("a", ask("x", "c3", limit(3)))), forces},
		{"a lease that is over is no holder", then(heldBy("c1"), later(30*time.Second)), forces},
		{"a grant that is not claimed yet is left to its node", then(heldBy("c1"), queued("a", ask("x", "c2")), func(w *world) {
			if _, _, err := w.store("b").Release(context.Background(), "x", "c1", "L-c1"); err != nil {
				w.t.Fatal(err)
			}
		}), forces},
	})
}
