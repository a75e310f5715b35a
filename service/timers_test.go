package service

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"distributedlock/queue"
)

// TestArm sets a partition's alarm: the soonest counts, and the loop hears of it once.
func TestArm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPartition(&Manager{}, 0)
		poked := func() bool {
			select {
			case <-p.poke:
				return true
			default:
				return false
			}
		}
		at := func(want time.Duration) {
			t.Helper()
			if got := time.Duration(p.next.Load()); got != want && got != want+1 {
				t.Errorf("armed for %s, want %s", got, want)
			}
		}
		p.arm(10 * time.Second)
		at(10 * time.Second)
		if !poked() {
			t.Error("the loop does not hear of its first alarm")
		}
		p.arm(20 * time.Second)
		at(10 * time.Second)
		if poked() {
			t.Error("the loop is woken for a later alarm")
		}
		time.Sleep(4 * time.Second) // the bubble's time
		p.arm(time.Second)
		at(5 * time.Second)
		p.arm(500 * time.Millisecond)
		at(4500 * time.Millisecond)
		if !poked() || poked() {
			t.Error("two sooner alarms are one note")
		}
		p.next.Store(0)
		p.follow(time.Second, true)
		at(5 * time.Second)
		p.next.Store(0)
		p.follow(time.Second, false)
		at(5*time.Second + standIn)
	})
}

// TestArmTogether has many set the alarm at once: the soonest of all is set.
func TestArmTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPartition(&Manager{}, 0)
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() { p.arm(time.Duration(1+(i*37)%100) * time.Second) })
		}
		wg.Wait()
		if got := time.Duration(p.next.Load()); got != time.Second+1 {
			t.Errorf("armed for %s", got)
		}
	})
}

// TestPause ends by itself, or as soon as it is told to.
func TestPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, begin := &Manager{}, time.Now()
		m.pause(t.Context(), 3*time.Second)
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("paused for %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		m.pause(ctx, time.Hour)
		if took := time.Since(begin); took != 4*time.Second {
			t.Errorf("paused until %s", took)
		}
	})
}

func emptyPlaces() *places { return &places{byKey: map[string]*place{}, byID: map[string]*place{}} }

// TestPlaces joins, ends and leaves places.
func TestPlaces(t *testing.T) {
	t.Parallel()
	ps := emptyPlaces()
	ask := func(id, lockID string, known bool) *queue.Request {
		return &queue.Request{Name: "x", Client: "c", ID: id, LockID: lockID, RenewalToken: "R" + lockID, Known: known}
	}
	first, second := ask("r", "L1", true), ask("r", "L2", true)
	a, b := ps.join(first), ps.join(second)
	if a != b || second.LockID != "L1" || second.RenewalToken != "RL1" {
		t.Errorf("a repeat has a place of its own: %+v", second)
	}
	if c := ps.join(ask("r", "L3", false)); c == a {
		t.Error("a request made up by the node shares a place")
	} else if !ps.leave(c) {
		t.Error("the only call of a place is its last")
	}
	if len(ps.inLine()) != 0 {
		t.Error("a place without a ticket is in line")
	}
	ps.queued(a, 7)
	later := ps.join(ask("later", "L4", true))
	ps.queued(later, 3)
	if line := ps.inLine(); len(line) != 2 || line[0].place != later || line[1].place != a {
		t.Errorf("line %v", line)
	}
	if ps.leave(a) {
		t.Error("the first of two calls is the last")
	}
	ps.end(a, queue.Grant{Token: 1}, queue.Handed{}, nil)
	ps.end(a, queue.Grant{Token: 2}, queue.Handed{}, errors.New("late"))
	if <-a.done; a.grant.Token != 1 || a.err != nil {
		t.Errorf("a second end counts: %+v, %v", a.grant, a.err)
	}
	if line := ps.inLine(); len(line) != 1 {
		t.Errorf("an ended place is in line: %v", line)
	}
	if ps.get("L1") != a || !ps.leave(a) || ps.get("L1") != nil || !ps.any() {
		t.Error("the last call ends the place, and only its own")
	}
	if again := ask("r", "L5", true); ps.join(again) == a || again.LockID != "L5" {
		t.Error("a place that has ended is joined")
	}
}
