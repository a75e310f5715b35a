package service

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"distributedlock/queue"
)

// free sees that a lock comes free: the next one that tries gets it.
func free(t *testing.T, n *member, name string) {
	t.Helper()
	end := time.Now().Add(time.Second)
	for {
		q := request(name, "next", time.Minute, 0)
		_, _, err := n.Acquire(context.Background(), q)
		if err == nil {
			if _, err := n.Release(context.Background(), name, "next", q.LockID); err != nil {
				t.Error(err)
			}
			return
		}
		if time.Now().After(end) {
			st, _ := n.Status(context.Background(), name, 10)
			t.Errorf("%s is left held: %v; %+v", name, err, st)
			return
		}
		time.Sleep(time.Millisecond) // a poll of a condition, bounded above
	}
}

// TestGoneAtTheGrant has a waiting client go away at the very moment of its grant, 200 times over two nodes.
func TestGoneAtTheGrant(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := []*member{f.node(), f.node()}
	var granted, gone atomic.Int32
	var wg sync.WaitGroup
	for lane := range 4 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(7, uint64(lane)))
			for i := range 50 {
				name := fmt.Sprint("lane-", lane)
				holder := request(name, "holder", time.Minute, 0)
				if _, _, err := nodes[0].Acquire(t.Context(), holder); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				waiter, q := nodes[i%2], request(name, "waiter", time.Minute, time.Minute)
				go func() {
					defer close(done)
					if _, _, err := waiter.Acquire(ctx, q); err == nil {
						granted.Add(1)
						waiter.Abandon(q) // its client is gone, and the answer cannot be delivered
					} else if gone.Add(1); !errors.Is(err, context.Canceled) {
						t.Errorf("a client that went away: %v", err)
					}
				}()
				f.queue(nodes[0], name, 1)
				jitter := time.NewTimer(time.Duration(rnd.IntN(1200)) * time.Microsecond)
				go func() {
					<-jitter.C
					cancel()
				}()
				if _, err := nodes[i/2%2].Release(t.Context(), name, "holder", holder.LockID); err != nil {
					t.Error(err)
				}
				<-done
				free(t, nodes[1], name)
			}
		})
	}
	wg.Wait()
	t.Logf("%d were granted, %d had gone", granted.Load(), gone.Load())
	if granted.Load() < 10 || gone.Load() < 10 {
		t.Error("the moments were not mixed")
	}
}

// repeated is a request with an id of its client's.
func repeated(name, client, id string, wait time.Duration) *queue.Request {
	q := request(name, client, time.Minute, wait)
	q.ID, q.Known = id, true
	return q
}

// TestSameRequestOnOneNode has calls repeat a request while it waits: they share one place and one grant, and one
// that goes away leaves the others their place.
func TestSameRequestOnOneNode(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	n := f.node()
	holder := request("x", "holder", time.Minute, 0)
	if _, _, err := n.Acquire(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	got := make(chan answer, 3)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range 3 {
		c := t.Context()
		if i == 0 {
			c = ctx
		}
		go func() {
			g, _, err := n.Acquire(c, repeated("x", "c", "r", time.Minute))
			got <- answer{"c", g, err}
		}()
	}
	ps := &n.parts[n.store.Partition("x")].places
	f.eventually("three calls on one place", 5*time.Second, func() bool {
		ps.mu.Lock()
		defer ps.mu.Unlock()
		p := ps.byKey["x\nc\nr"]
		return p != nil && p.calls == 3 && len(ps.byID) == 1
	})
	f.queue(n, "x", 1)
	cancel()
	if a := <-got; !errors.Is(a.err, context.Canceled) {
		t.Fatalf("the call that went away: %v", a.err)
	}
	f.queue(n, "x", 1)
	if _, err := n.Release(t.Context(), "x", "holder", holder.LockID); err != nil {
		t.Fatal(err)
	}
	a, b := <-got, <-got
	if a.err != nil || b.err != nil || a.Token != b.Token || a.LockID != b.LockID || a.RenewalToken != b.RenewalToken {
		t.Errorf("two answers to one request: %+v, %+v", a, b)
	}
	if _, err := n.Release(t.Context(), "x", "c", a.LockID); err != nil {
		t.Error(err)
	}
	free(t, n, "x")
}

// TestSameRequestOnTwoNodes has the second node take the place over.
func TestSameRequestOnTwoNodes(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	holder := request("x", "holder", time.Minute, 0)
	if _, _, err := a.Acquire(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	first, second := make(chan answer, 1), make(chan answer, 1)
	go func() {
		g, _, err := a.Acquire(context.Background(), repeated("x", "c", "r", 700*time.Millisecond))
		first <- answer{"c", g, err}
	}()
	f.queue(a, "x", 1)
	go func() {
		g, _, err := b.Acquire(context.Background(), repeated("x", "c", "r", time.Minute))
		second <- answer{"c", g, err}
	}()
	part := b.store.Partition("x")
	f.eventually("the second node has the place", 5*time.Second, func() bool { return len(b.parts[part].places.inLine()) == 1 })
	f.queue(a, "x", 1)
	var busy *queue.BusyError
	if got := <-first; !errors.As(got.err, &busy) || !busy.TimedOut {
		t.Errorf("the first call, its wait over: %+v", got)
	}
	f.queue(a, "x", 1) // its end has not taken the place away
	if _, err := a.Release(t.Context(), "x", "holder", holder.LockID); err != nil {
		t.Fatal(err)
	}
	g := <-second
	if g.err != nil {
		t.Fatal(g.err)
	}
	if again, _, err := a.Acquire(t.Context(), repeated("x", "c", "r", 0)); err != nil || again.Token != g.Token || again.LockID != g.LockID {
		t.Errorf("the same request once more: %+v, %v", again, err)
	}
	if _, err := a.Release(t.Context(), "x", "c", g.LockID); err != nil {
		t.Error(err)
	}
	free(t, b, "x")
}

// TestDrain turns the waiting requests of a node away: they come back elsewhere, in any order, to their old places.
func TestDrain(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	holder := request("x", "holder", time.Minute, 0)
	if _, _, err := b.Acquire(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	const clients = 6
	turned := make(chan error, clients)
	for i := range clients {
		go func() {
			_, _, err := a.Acquire(context.Background(), repeated("x", fmt.Sprint("c", i), "r", time.Minute))
			turned <- err
		}()
		f.queue(b, "x", i+1)
	}
	a.Drain()
	for range clients {
		if err := <-turned; !errors.Is(err, queue.ErrDraining) {
			t.Fatalf("a waiting request of a node that drains: %v", err)
		}
	}
	if _, _, err := a.Acquire(t.Context(), request("y", "c", time.Minute, 0)); !errors.Is(err, queue.ErrDraining) {
		t.Errorf("a new request to a node that drains: %v", err)
	}
	f.queue(b, "x", 0)
	got := make(chan answer, clients+1)
	come := func(client string, length int) {
		go func() {
			g, _, err := b.Acquire(context.Background(), repeated("x", client, "r", time.Minute))
			got <- answer{client, g, err}
		}()
		f.queue(b, "x", length)
	}
	come(fmt.Sprint("c", clients), 1) // one that was not there before, and is last
	for n, i := range []int{3, 0, 5, 1, 4, 2} {
		come(fmt.Sprint("c", i), n+2)
	}
	if _, err := b.Release(t.Context(), "x", "holder", holder.LockID); err != nil {
		t.Fatal(err)
	}
	expect(t, got, clients+1, 5*time.Second, func(g answer) {
		if _, err := b.Release(t.Context(), "x", g.client, g.LockID); err != nil {
			t.Error(err)
		}
	})
}

// TestGoneAfterALostAnswer has a grant come to a node by asking again, as the first answer was lost. Then it turns
// out that the client is gone.
func TestGoneAfterALostAnswer(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	p := newProxy(t, f, "x")
	n, other := f.node(p.through), f.node()
	for _, wait := range []time.Duration{0, time.Minute} {
		p.lose.Store(1)
		q := request("x", "c", time.Minute, wait)
		if _, _, err := n.Acquire(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		n.Abandon(q) // the answer could not be delivered
		free(t, other, "x")
	}
}

// TestGoneWhileUnsettled has a client go away while the node still asks for an answer that was lost.
func TestGoneWhileUnsettled(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	p := newProxy(t, f, "x")
	n, other := f.node(p.through), f.node()
	free(t, n, "y") // Redis knows the scripts
	for _, wait := range []time.Duration{0, time.Minute} {
		f.eventually("the node serves", 5*time.Second, n.up.Load)
		ctx, cancel := context.WithCancel(t.Context())
		p.lost.Store(0)
		p.lose.Store(1000)
		got := make(chan error, 1)
		go func() {
			err := queue.ErrUnavailable
			for errors.Is(err, queue.ErrUnavailable) && ctx.Err() == nil { // until the node sees that Redis is there
				_, _, err = n.Acquire(ctx, request("x", "c", time.Minute, wait))
			}
			got <- err
		}()
		f.eventually("an answer is lost", 5*time.Second, func() bool { return p.lost.Load() > 0 })
		cancel()
		err := <-got
		p.lose.Store(0)
		if err == nil {
			t.Error("a grant without an answer")
		}
		f.eventually("the lock is free", 3*time.Second, func() bool {
			st, err := other.Status(context.Background(), "x", 0)
			return err == nil && !st.Locked()
		})
	}
}

// TestGoneWhileInDoubt has a grant found by looking the place up again, at the moment that its client goes away.
func TestGoneWhileInDoubt(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(silent), f.node() // the grant comes by looking it up, not by the bell
	holder := request("x", "holder", time.Minute, 0)
	if _, _, err := a.Acquire(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	q := request("x", "c", time.Minute, time.Minute)
	got := make(chan error, 1)
	go func() {
		_, _, err := b.Acquire(context.Background(), q)
		got <- err
	}()
	f.queue(a, "x", 1)
	if _, err := a.Release(t.Context(), "x", "holder", holder.LockID); err != nil {
		t.Fatal(err)
	}
	b.parts[b.store.Partition("x")].doubt()
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	b.Abandon(q) // the answer could not be delivered
	free(t, a, "x")
}

// TestOneOfTwoAnswersLost has two calls get one grant; that one of them cannot be answered takes nothing from the other.
func TestOneOfTwoAnswersLost(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	n := f.node()
	holder := request("x", "holder", time.Minute, 0)
	if _, _, err := n.Acquire(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	calls := []*queue.Request{repeated("x", "c", "r", time.Minute), repeated("x", "c", "r", time.Minute)}
	got := make(chan answer, 2)
	for _, q := range calls {
		go func() {
			g, _, err := n.Acquire(context.Background(), q)
			got <- answer{"c", g, err}
		}()
	}
	f.eventually("both calls wait", 5*time.Second, func() bool { return n.waiting.Load() == 2 })
	f.queue(n, "x", 1)
	if _, err := n.Release(t.Context(), "x", "holder", holder.LockID); err != nil {
		t.Fatal(err)
	}
	answers := []answer{<-got, <-got}
	if i := slices.IndexFunc(answers, func(a answer) bool { return a.err != nil }); i >= 0 {
		t.Fatal(answers[i].err)
	}
	n.Abandon(calls[1])
	n.tasks.Wait() // the cancel, which the node carries out in the background
	if _, err := n.Release(t.Context(), "x", "c", answers[0].LockID); err != nil {
		t.Errorf("the call that was answered lost its lock: %v", err)
	}
}
