package service

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"distributedlock/queue"
	"distributedlock/queue/embedded"
	"distributedlock/queue/redistest"
)

// longest is the longest lease in the tests of quarantines, and so how long one lasts.
const longest = 1500 * time.Millisecond

func careful(o *queue.Options) { o.Quarantine = longest }

// out waits until a node knows of no quarantine.
func (f *fleet) out(n *member) {
	f.t.Helper()
	f.eventually("the quarantine is over", 10*time.Second, func() bool { return n.up.Load() && n.store.Quarantine().Left == 0 })
}

// users take locks in turn and hold each for nearly all of its lease, until stop is called.
func users(ctx context.Context, l *ledger, nodes []*member, locks, each int) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	for i := range locks * each {
		n, name := nodes[i%len(nodes)], fmt.Sprint("lock-", i%locks)
		done.Go(func() {
			for ctx.Err() == nil {
				q := request(name, fmt.Sprint("user-", i), longest, time.Minute)
				g, _, err := insist(ctx, n, q, 5*time.Millisecond)
				if ctx.Err() != nil || err != nil {
					continue
				}
				l.grant(name, q.Client, g.Token)
				// Not to its very end: the node knows Redis's clock only as well as answers are quick.
				n.pause(ctx, min(rand.N(longest), g.End.Sub(n.Now())-100*time.Millisecond))
				l.end(name, q.Client)
				_ = giveBack(ctx, n, name, q.Client, g.LockID, 5*time.Millisecond) // lost, as often as not
			}
		})
	}
	return func() {
		cancel()
		done.Wait()
	}
}

// TestQuarantineUnderLoad has Redis lose all its data again and again while locks are held and waited for: by FLUSHALL, and
// by kill and a start without any data. No lock is ever held twice, and no token falls.
func TestQuarantineUnderLoad(t *testing.T) {
	t.Parallel()
	f := newFleet(t, embedded.TCP())
	nodes := []*member{f.node(careful), f.node(careful)}
	f.out(nodes[0])
	l := newLedger(t)
	stop := users(t.Context(), l, nodes, 8, 3)
	defer stop()
	for round := range 2 * *rounds {
		f.eventually("locks are granted", 15*time.Second, func() bool { return !l.firstGrant().IsZero() })
		if round%2 == 0 {
			f.do(f.plain(), "FLUSHALL")
		} else {
			if err := f.redis.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := f.redis.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		lost := time.Now()
		l.mark() // after the loss: an answer on its way would count otherwise
		f.eventually("locks are granted again", 15*time.Second, func() bool { return !l.firstGrant().IsZero() })
		t.Logf("%d. round: granted again after %s", round, l.firstGrant().Sub(lost).Round(time.Millisecond))
	}
}

// TestQuarantineKeepsTheLine empties Redis under a holder and a line: one who would not wait is told when to come back, and
// those in line are served in their order.
func TestQuarantineKeepsTheLine(t *testing.T) {
	t.Parallel()
	f := newFleet(t, embedded.TCP())
	nodes := []*member{f.node(careful), f.node(careful)}
	f.out(nodes[0])
	f.out(nodes[1])
	holder := request("x", "holder", longest, 0)
	if _, _, err := nodes[0].Acquire(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	got := waits(f, nodes, "x", 6, longest)
	lost := time.Now()
	f.do(f.plain(), "FLUSHALL")
	for i, wait := range []time.Duration{0, longest / 10} {
		_, _, err := nodes[i].Acquire(t.Context(), request("x", fmt.Sprint("impatient", i), longest, wait))
		if e, ok := errors.AsType[*queue.QuarantineError](err); !ok || e.Left <= wait || e.Left > longest {
			t.Errorf("waits for %s: %v", wait, err)
		}
	}
	f.eventually("the nodes know", 5*time.Second, func() bool {
		h, err := nodes[1].Health(t.Context())
		return err == nil && h.Quarantine.Why == "data_lost" && h.Quarantine.Partitions == nodes[1].store.Partitions()
	})
	expect(t, got, 6, 10*time.Second, func(a answer) {
		if since := time.Since(lost); since < longest {
			t.Errorf("%s is granted the lock after %s", a.client, since)
		}
		if _, err := nodes[0].Release(t.Context(), "x", a.client, a.LockID); err != nil {
			t.Error(err)
		}
	})
	f.out(nodes[1])
}

// TestQuarantineAfterFailover kills the master under a line: what its replica knows is renewed and released, and nothing is
// granted before the quarantine is over.
func TestQuarantineAfterFailover(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinels(t, redistest.SentinelOptions{})
	const lasts = 6 * time.Second
	f := &fleet{t: t, grace: 10 * time.Second}
	careful := func(o *queue.Options) {
		behind(s)(o)
		o.Quarantine = lasts
	}
	nodes := []*member{f.node(careful), f.node(careful)}
	f.out(nodes[0])
	holder := request("x", "holder", lasts, time.Minute)
	if _, _, err := nodes[0].Acquire(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	got := waits(f, nodes, "x", 4, lasts)
	was := s.Master()
	redistest.Until(t, "the replicas have it all", 10*time.Second, func() bool {
		n, err := s.Do(was, "WAIT", "2", "1000").AsInt64()
		return err == nil && n == 2
	})
	killed := time.Now()
	if err := was.Kill(); err != nil {
		t.Fatal(err)
	}
	s.Promoted(was)
	f.eventually("it is renewed", 10*time.Second, func() bool {
		_, err := nodes[1].Renew(t.Context(), "x", "holder", holder.RenewalToken, 0)
		return err == nil
	})
	if err := giveBack(t.Context(), nodes[1], "x", "holder", holder.LockID, time.Millisecond); err != nil {
		t.Errorf("release: %v", err)
	}
	if q := nodes[1].store.Quarantine(); q.Why != "instance_changed" {
		t.Errorf("renewed and released in no quarantine: %+v", q)
	}
	expect(t, got, 4, 2*lasts, func(a answer) {
		if since := time.Since(killed); since < lasts {
			t.Errorf("%s is granted the lock %s after the kill", a.client, since)
		}
		if _, err := nodes[0].Release(t.Context(), "x", a.client, a.LockID); err != nil {
			t.Error(err)
		}
	})
}
