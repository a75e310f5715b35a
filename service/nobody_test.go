package service

import (
	"context"
	"testing"
	"time"

	"distributedlock/queue"
)

// TestHandedToNobody has the line give a lock to a request of this node that no call waits for: the lock goes back.
func TestHandedToNobody(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	n := f.node()
	holder := request("x", "holder", time.Minute, 0)
	if _, _, err := n.Acquire(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	q := request("x", "nobody", time.Minute, time.Minute)
	n.prepare(q)
	if a, err := n.store.Acquire(t.Context(), q, 10); err != nil || a.Word != queue.Queued {
		t.Fatal(a.Word, err)
	}
	if _, err := n.Release(t.Context(), "x", "holder", holder.LockID); err != nil {
		t.Fatal(err)
	}
	f.eventually("given back", 2*time.Second, func() bool {
		st, err := n.Status(context.Background(), "x", 0)
		return err == nil && !st.Locked()
	})
}

// TestSubscribedAgain: where requests wait, a new subscription has their grants looked for, as the bell may have rung
// while nobody heard it.
func TestSubscribedAgain(t *testing.T) {
	t.Parallel()
	m := &Manager{}
	waited, idle := newPartition(m, 0), newPartition(m, 1)
	m.parts = []*partition{waited, idle}
	waited.places.join(request("x", "c", time.Minute, time.Minute))
	m.subscribed(false)
	if len(waited.bell) != 1 || len(idle.bell) != 0 {
		t.Errorf("notes: %d where a request waits, %d where none does", len(waited.bell), len(idle.bell))
	}
}

// TestBell: the bell of a partition has its grants looked for, and no other's; one of no partition is nothing.
func TestBell(t *testing.T) {
	t.Parallel()
	m := &Manager{}
	rung, quiet := newPartition(m, 0), newPartition(m, 1)
	m.parts = []*partition{rung, quiet}
	for _, p := range []int{-1, 0, 0, 2} {
		m.bell(p)
	}
	if len(rung.bell) != 1 || len(quiet.bell) != 0 {
		t.Errorf("notes: %d where it rang, %d where it did not", len(rung.bell), len(quiet.bell))
	}
}
