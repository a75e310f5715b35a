package service

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"distributedlock/queue"
)

// TestGoneBeforeItsPlaceIsLookedUp has a client leave, its cancel done, just before the node asks for its place again.
func TestGoneBeforeItsPlaceIsLookedUp(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	n := f.node()
	part := n.parts[n.store.Partition("x")]
	for _, held := range []bool{false, true} {
		holder := request("x", "holder", time.Minute, 0)
		if held {
			if _, _, err := n.Acquire(t.Context(), holder); err != nil {
				t.Fatal(err)
			}
		}
		q := request("x", "gone", time.Minute, time.Minute)
		n.prepare(q)
		gone := part.places.join(q)
		part.places.queued(gone, 1)
		if !part.places.leave(gone) {
			t.Fatal("it was not the last call")
		}
		part.again(t.Context(), gone, 1)
		f.queue(n, "x", 0)
		if held {
			if _, err := n.Release(t.Context(), "x", "holder", holder.LockID); err != nil {
				t.Fatal(err)
			}
		}
		free(t, n, "x")
	}
}

// TestPlaceMovedOn has a node ask again for a place that a repeat of the request has taken up on another node: it stays there.
func TestPlaceMovedOn(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	holder := request("x", "holder", time.Minute, 0)
	if _, _, err := a.Acquire(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, _, err := a.Acquire(ctx, repeated("x", "c", "r", time.Minute))
		left <- err
	}()
	part := a.parts[a.store.Partition("x")]
	f.eventually("it stands in line", 5*time.Second, func() bool { return len(part.places.inLine()) == 1 })
	before := part.places.inLine()[0]
	got := make(chan error, 1)
	go func() {
		_, _, err := b.Acquire(t.Context(), repeated("x", "c", "r", time.Minute))
		got <- err
	}()
	f.eventually("it stands in line elsewhere", 5*time.Second, func() bool { return len(b.parts[part.number].places.inLine()) == 1 })
	part.again(t.Context(), before.place, before.ticket)
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	part.again(t.Context(), before.place, before.ticket)
	if _, err := a.Release(t.Context(), "x", "holder", holder.LockID); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-got:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the place was taken back from the call that has it")
	}
}

// stays looks at a lock for long enough for whatever would give it back, and finds it held.
func (f *fleet) stays(m *member, name string) {
	f.t.Helper()
	for end := time.Now().Add(30 * time.Millisecond); time.Now().Before(end); {
		if st, err := m.Status(f.t.Context(), name, 0); err != nil || !st.Locked() {
			f.t.Fatal("not held any more", name, err)
		}
	}
}

// A grant that a waiting request finds as it asks for its place again is that client's to keep.
func TestGrantFoundAgainIsKept(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a := f.node()
	const locks = 30
	grants := make(chan queue.Grant, locks)
	for i := range locks {
		name := fmt.Sprint("lock-", i)
		if _, _, err := a.Acquire(t.Context(), request(name, "holder", time.Minute, 0)); err != nil {
			t.Fatal(err)
		}
		go func() {
			g, _, err := a.Acquire(t.Context(), request(name, "c", time.Minute, time.Minute))
			if err != nil {
				t.Error(err)
			}
			grants <- g
		}()
	}
	f.eventually("all wait", 10*time.Second, func() bool { return a.waiting.Load() == locks })
	f.do(f.plain(), "FLUSHALL")
	for range locks {
		g := <-grants
		f.stays(a, g.Name)
		if _, err := a.Release(t.Context(), g.Name, g.Client, g.LockID); err != nil {
			t.Errorf("%s: %v", g.Name, err)
		}
	}
}
