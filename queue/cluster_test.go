package queue

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"distributedlock/queue/redistest"
)

// TestSlotMoves moves the slot of a partition with a lock held in it to another master: while it is underway no script runs
// on a part of the partition, which would find the lock free; afterwards all is as it was.
func TestSlotMoves(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	o := Options{Node: "n", Cluster: true, Partitions: 1, Redis: rueidis.ClientOption{InitAddress: c.Addrs()}}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if h, err := s.Health(t.Context()); err != nil || h.Mode != "cluster" || h.Policy != "noeviction" {
		t.Errorf("health: %+v, %v", h, err)
	}
	if advice, err := s.Advice(t.Context()); err != nil || len(advice) != 2 { // nothing on disk; no replica is waited for
		t.Errorf("advice: %q, %v", advice, err)
	}
	beat := func() (moved bool, err error) {
		pulses, _, err := s.Beat(context.Background(), map[string]int64{"x": 1})
		return err == nil && pulses[0].Moved, err
	}
	if _, err := beat(); err != nil {
		t.Fatal(err)
	}
	request := func(lock string) *Request {
		return &Request{Name: lock, Client: "c", Owner: "c", ID: lock, LockID: NewSecret(), RenewalToken: NewSecret(),
			Lease: time.Minute, Mode: Exclusive, Limit: 1}
	}
	first, err := s.Acquire(t.Context(), request("x"), 10)
	if err != nil || first.Word != Granted {
		t.Fatal(first.Word, err)
	}
	other := request("x")
	other.ID = "another"
	finish := c.Move("{0}", c.Masters[2], c.Masters[0])
	for range 20 {
		if a, err := s.Acquire(t.Context(), other, 10); !errors.Is(err, ErrRefused) {
			t.Fatalf("while the slot moves: %v, %v", a.Word, err)
		}
		if _, err := s.Status(t.Context(), "x", 10); !errors.Is(err, ErrRefused) {
			t.Fatalf("status while the slot moves: %v", err)
		}
	}
	finish()
	redistest.Until(t, "the store knows of the new master", 10*time.Second, func() bool {
		moved, err := beat()
		return err == nil && moved
	})
	if a, err := s.Acquire(t.Context(), other, 10); err != nil || a.Word != Held {
		t.Errorf("after the move: %v, %v", a.Word, err)
	}
	if _, _, err := s.Release(t.Context(), "x", "c", first.Grant.LockID); err != nil {
		t.Error(err)
	}
	if a, err := s.Acquire(t.Context(), other, 10); err != nil || a.Word != Granted || a.Grant.Token <= first.Grant.Token {
		t.Errorf("after the release: %v, %v, token %d after %d", a.Word, err, a.Grant.Token, first.Grant.Token)
	}
}

// TestNoCluster is told that a plain Redis is a cluster.
func TestNoCluster(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t)
	o := At(r.Network(), r.Addr())
	o.ForceSingleClient = false
	if _, err := Open(t.Context(), Options{Node: "n", Cluster: true, Redis: o}); !errors.Is(err, ErrSetup) {
		t.Errorf("opened: %v", err)
	}
}
