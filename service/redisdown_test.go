package service

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"distributedlock/queue"
	"distributedlock/queue/embedded"
)

// answer is what became of an acquire.
type answer struct {
	client string
	queue.Grant
	err error
}

// waits lets clients wait for a lock, one after another, over the nodes in turn.
func waits(f *fleet, nodes []*member, name string, clients int, lease time.Duration) chan answer {
	f.t.Helper()
	got := make(chan answer, clients)
	for i := range clients {
		q := request(name, fmt.Sprint("c", i), lease, time.Minute)
		go func() {
			g, _, err := nodes[i%len(nodes)].Acquire(context.Background(), q)
			got <- answer{q.Client, g, err}
		}()
		f.eventually("the node knows its place", 5*time.Second, func() bool {
			n := 0
			for _, m := range nodes {
				n += len(m.parts[m.store.Partition(name)].places.inLine())
			}
			return n == i+1
		})
	}
	return got
}

// expect takes the answers as they come: they must be grants, in the order of the line, each within a time.
func expect(t *testing.T, got chan answer, clients int, within time.Duration, release func(answer)) {
	t.Helper()
	last := int64(0)
	for i := range clients {
		select {
		case a := <-got:
			if a.err != nil || a.client != fmt.Sprint("c", i) || a.Token <= last {
				t.Fatalf("%d. answer: %s, %v, token %d after %d", i, a.client, a.err, a.Token, last)
			}
			last = a.Token
			release(a)
		case <-time.After(within):
			t.Fatalf("%d. grant not within %s", i, within)
		}
	}
}

// away sees how a node answers while Redis is away.
func away(t *testing.T, n *member) {
	t.Helper()
	for i := range 3 {
		begin := time.Now()
		_, _, err := n.Acquire(t.Context(), request("new", fmt.Sprint("new", i), time.Minute, time.Duration(i)*time.Second))
		took := time.Since(begin)
		if !errors.Is(err, queue.ErrUnavailable) && !errors.Is(err, queue.ErrUnknown) {
			t.Errorf("%d. acquire without redis: %v", i, err)
		}
		if took > 5*time.Second {
			t.Errorf("%d. acquire without redis took %s", i, took)
		}
		t.Logf("%s: %v", took.Round(time.Millisecond), err)
	}
	if _, err := n.Release(t.Context(), "new", "nobody", "nothing"); !errors.Is(err, queue.ErrUnavailable) && !errors.Is(err, queue.ErrUnknown) {
		t.Errorf("release without redis: %v", err)
	}
}

// back waits until a node serves again.
func back(t *testing.T, f *fleet, n *member, name string) {
	t.Helper()
	begin := time.Now()
	f.eventually("the node serves again", 5*time.Second, func() bool {
		q := request(name, "again", time.Second, 0)
		_, _, err := n.Acquire(context.Background(), q)
		return err == nil
	})
	t.Logf("served again after %s", time.Since(begin).Round(time.Millisecond))
}

// TestRedisPaused stops Redis for so long that nodes count as gone, and has it go on.
func TestRedisPaused(t *testing.T) {
	t.Parallel()
	f := newFleet(t, embedded.TCP())
	nodes := []*member{f.node(), f.node()}
	holder := request("x", "holder", time.Minute, 0)
	if _, _, err := nodes[0].Acquire(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	got := waits(f, nodes, "x", 4, time.Minute)
	if err := f.redis.Pause(); err != nil {
		t.Fatal(err)
	}
	away(t, nodes[0])
	away(t, nodes[1])
	if err := f.redis.Resume(); err != nil {
		t.Fatal(err)
	}
	back(t, f, nodes[0], "other")
	back(t, f, nodes[1], "another")
	if _, err := nodes[1].Release(t.Context(), "x", "holder", holder.LockID); err != nil {
		t.Fatal(err)
	}
	expect(t, got, 4, 5*time.Second, func(a answer) {
		if _, err := nodes[0].Release(t.Context(), "x", a.client, a.LockID); err != nil {
			t.Error(err)
		}
	})
	f.queue(nodes[0], "new", 0)
	back(t, f, nodes[0], "new") // no acquire that failed has left anything
}

// TestRedisKilled kills Redis with all its data, and starts it again: the line stands again, in its order.
func TestRedisKilled(t *testing.T) {
	t.Parallel()
	f := newFleet(t, embedded.TCP())
	nodes := []*member{f.node(), f.node()}
	holder := request("x", "holder", time.Minute, 0)
	if _, _, err := nodes[0].Acquire(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	got := waits(f, nodes, "x", 4, 700*time.Millisecond)
	if err := f.redis.Kill(); err != nil {
		t.Fatal(err)
	}
	away(t, nodes[0])
	if err := f.redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	back(t, f, nodes[1], "other")
	last := int64(0)
	for range 4 { // the places come back node by node, and so not all in one order; each is granted once
		select {
		case a := <-got:
			if a.err != nil || a.Token <= last {
				t.Fatalf("%s: %v, token %d after %d", a.client, a.err, a.Token, last)
			}
			last = a.Token
		case <-time.After(5 * time.Second):
			t.Fatal("no grant within 5 s")
		}
	}
	if _, err := nodes[0].Release(t.Context(), "x", "holder", holder.LockID); !errors.Is(err, queue.ErrLost) {
		t.Errorf("release of what was lost: %v", err)
	}
}

// TestLostAnswers loses the answers of Redis to a node and sees that each call comes out once, and right.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	p := newProxy(t, f, "x")
	n, other := f.node(p.through), f.node()
	for i := range 6 {
		q := request("x", "c", time.Minute, time.Duration(i%2)*10*time.Second)
		p.lose.Store(int32(1 + i%3/2)) // also two in a row
		g, _, err := n.Acquire(t.Context(), q)
		if err != nil || p.lose.Load() != 0 {
			t.Fatalf("%d. acquire: %v, %d answers still to lose", i, err, p.lose.Load())
		}
		st, err := other.Status(t.Context(), "x", 10)
		if err != nil || len(st.Holders) != 1 || st.Holders[0].LockID != g.LockID || st.Holders[0].Token != g.Token || st.Queue != 0 {
			t.Fatalf("%d. after a lost answer: %+v, %v", i, st, err)
		}
		again := request("x", "c", time.Minute, 0)
		again.ID, again.Known = q.ID, true
		if g2, _, err := other.Acquire(t.Context(), again); err != nil || g2.Token != g.Token || g2.LockID != g.LockID {
			t.Fatalf("%d. the same request: %v, token %d, not %d", i, err, g2.Token, g.Token)
		}
		p.lose.Store(1)
		if _, err := n.Release(t.Context(), "x", "c", g.LockID); err != nil {
			t.Fatalf("%d. release: %v", i, err)
		}
		if st, err := other.Status(t.Context(), "x", 10); err != nil || st.Locked() {
			t.Fatalf("%d. after a release whose answer was lost: %+v, %v", i, st, err)
		}
	}
	if p.lost.Load() == 0 {
		t.Error("no answer was lost")
	}
}

// TestLostAnswerInLine loses the answer that gives a place, and the one that hands a lock over to the node's own.
func TestLostAnswerInLine(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	p := newProxy(t, f, "x")
	n, other := f.node(p.through), f.node()
	holder := request("x", "holder", time.Minute, 0)
	if _, _, err := n.Acquire(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	p.lose.Store(1)
	got := make(chan answer, 2)
	for i, m := range []*member{n, other} {
		q := request("x", fmt.Sprint("c", i), time.Minute, time.Minute)
		go func() {
			g, _, err := m.Acquire(context.Background(), q)
			got <- answer{q.Client, g, err}
		}()
		f.queue(other, "x", i+1)
		f.eventually("settled", 5*time.Second, func() bool { return len(n.parts[n.store.Partition("x")].places.inLine()) == 1 })
	}
	p.lose.Store(1)
	if _, err := n.Release(t.Context(), "x", "holder", holder.LockID); err != nil {
		t.Fatal(err)
	}
	expect(t, got, 2, 5*time.Second, func(a answer) {
		st, err := other.Status(t.Context(), "x", 10)
		if err != nil || len(st.Holders) != 1 || st.Holders[0].LockID != a.LockID {
			t.Errorf("granted to %s: %+v, %v", a.client, st, err)
		}
		if _, err := other.Release(t.Context(), "x", a.client, a.LockID); err != nil {
			t.Error(err)
		}
	})
	if n := p.lost.Load(); n != 2 {
		t.Errorf("%d answers were lost", n)
	}
}

// TestUndo has requests end while Redis is away: what could not be cancelled then is cancelled as it comes back.
func TestUndo(t *testing.T) {
	t.Parallel()
	f := newFleet(t, embedded.TCP())
	n, other := f.node(), f.node()
	holder := request("x", "holder", time.Minute, 0)
	if _, _, err := other.Acquire(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 2)
	go func() {
		_, _, err := n.Acquire(ctx, request("x", "gone", time.Minute, time.Minute))
		got <- err
	}()
	f.queue(other, "x", 1)
	if err := f.redis.Pause(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("a client that went away: %v", err)
	}
	f.eventually("it is noted what must be undone", 10*time.Second, func() bool {
		n.undone.mu.Lock()
		defer n.undone.mu.Unlock()
		return len(n.undone.list) > 0
	})
	if err := f.redis.Resume(); err != nil {
		t.Fatal(err)
	}
	f.queue(other, "x", 0)
}

// TestWaitEndsWithoutRedis has a wait run out while Redis is away.
func TestWaitEndsWithoutRedis(t *testing.T) {
	t.Parallel()
	f := newFleet(t, embedded.TCP())
	n := f.node()
	holder := request("x", "holder", time.Minute, 0)
	if _, _, err := n.Acquire(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		_, _, err := n.Acquire(t.Context(), request("x", "tired", time.Minute, 2*time.Second))
		got <- err
	}()
	f.queue(n, "x", 1)
	if err := f.redis.Pause(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-got:
		var busy *queue.BusyError
		if !errors.As(err, &busy) || !busy.TimedOut {
			t.Errorf("a wait that ran out: %v", err)
		}
	case <-time.After(7 * time.Second):
		t.Error("the wait goes on past its end")
	}
	if err := f.redis.Resume(); err != nil {
		t.Fatal(err)
	}
	f.queue(n, "x", 0)
}
