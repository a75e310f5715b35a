package service

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"distributedlock/queue"
	"distributedlock/queue/embedded"
)

// TestWatchRefused: no watch is begun that could not be kept, and nothing is left of it.
func TestWatchRefused(t *testing.T) {
	t.Parallel()
	f := newFleet(t, embedded.TCP())
	n := f.node()
	tell := func(e *queue.Event) { t.Errorf("told %+v", e) }
	refused := func(ctx context.Context, want error) {
		t.Helper()
		begin := time.Now()
		if stop, err := n.Watch(ctx, []string{"x"}, []string{"y"}, tell); !errors.Is(err, want) || stop != nil {
			t.Errorf("%v, want %v", err, want)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("refused after %s", took)
		}
		if left := n.watchers.all(); len(left) > 0 {
			t.Errorf("%d streams are left", len(left))
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	refused(gone, context.Canceled)
	if err := f.redis.Kill(); err != nil {
		t.Fatal(err)
	}
	refused(t.Context(), queue.ErrUnavailable)
	refused(t.Context(), queue.ErrUnavailable)
	if err := f.redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.eventually("it can be watched again", 10*time.Second, func() bool {
		stop, err := n.Watch(t.Context(), []string{"x"}, nil, func(*queue.Event) {})
		if err == nil {
			stop()
		}
		return err == nil
	})
	f.listened(map[string]int64{})
	n.Drain()
	refused(t.Context(), queue.ErrDraining)
}

// TestWatchRedisLost has Redis lose everything while somebody watches: a gap, and then what comes after.
func TestWatchRedisLost(t *testing.T) {
	t.Parallel()
	f := newFleet(t, embedded.TCP())
	n := f.node()
	e := f.watch(n, []string{"x"}, nil)
	n.cycle(t, "x", "before")
	e.hears("granted x by before", "released x by before")
	if err := f.redis.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := f.redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	// One gap as the subscription stands again, one as the scripts tell again.
	f.eventually("gaps", 10*time.Second, func() bool { return len(e.all()) >= 4 })
	n.cycle(t, "x", "after")
	f.eventually("what came after", 10*time.Second, func() bool { return slices.Contains(e.says(), "released x by after") })
	want := []string{"granted x by before", "released x by before", "gap", "granted x by after", "released x by after"}
	if got := slices.Compact(e.says()); !slices.Equal(got, want) {
		t.Errorf("heard %q", got)
	}
}

// TestWatchEnds ends a node while somebody watches on it, who stops only later.
func TestWatchEnds(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	n := f.node()
	e := f.watch(n, []string{"x"}, []string{"y"})
	n.kill()
	f.listened(map[string]int64{})
	e.stop()
	e.stop()
	if _, err := n.Watch(t.Context(), []string{"x"}, nil, func(*queue.Event) {}); !errors.Is(err, queue.ErrDraining) {
		t.Errorf("a node that has ended: %v", err)
	}
}
