package distributedlock_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	lock "distributedlock/clients/go"
)

func TestAcquireAndRelease(t *testing.T) {
	t.Parallel()
	c, n := client(t, shared(t).url, lock.WithClientID("tester")), name(t)
	l := must[*lock.Lock](t)(c.Acquire(n, 30*time.Second, lock.WithMetadata(map[string]any{"job": "x\"y"})))
	if l.ID == "" || l.Name != n || l.ClientID != "tester" || l.OwnerID == "" || l.RequestID == "" || l.RenewalToken == "" || l.FencingToken <= 0 {
		t.Fatalf("%+v", l)
	}
	if left := time.Until(l.ExpiresAt()); left > 30*time.Second || left < 29*time.Second {
		t.Fatal(left)
	}
	s := must[*lock.Status](t)(c.Status(t.Context(), n))
	if !s.Locked || len(s.Holders) != 1 || s.Holders[0].ClientID != "tester" || s.Holders[0].OwnerID != l.OwnerID ||
		s.Holders[0].Metadata["job"] != "x\"y" || s.FencingToken != l.FencingToken || s.Mode != "exclusive" || s.Limit != 1 {
		t.Fatalf("%+v", s)
	}
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
	}
	if !errors.Is(l.Err(), lock.ErrReleased) || !errors.Is(context.Cause(l.Context()), lock.ErrReleased) {
		t.Fatal(l.Err())
	}
	if err := l.Renew(t.Context(), 0); !errors.Is(err, lock.ErrReleased) {
		t.Fatal(err)
	}
	free(t, c, n)
	again := must[*lock.Lock](t)(c.Acquire(n, time.Second))
	defer again.Release()
	if again.FencingToken <= l.FencingToken {
		t.Fatal(again.FencingToken, l.FencingToken)
	}
}

func TestNamesOfAllKinds(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]lock.ClientOption{nil, {lock.WithoutWebSocket()}} {
		c := client(t, shared(t).url, opts...)
		for _, n := range []string{"a/b", "stats", "ümläut \u2028 💡", `q"u\o`, "a+b c%2F?x=1&y#z", "..x", strings.Repeat("n", 512)} {
			l, err := c.TryAcquire(t.Context(), n, time.Second)
			if err != nil {
				t.Fatalf("%q: %v", n, err)
			}
			s := must[*lock.Status](t)(c.Status(t.Context(), n))
			if s.LockName != n || !s.Locked {
				t.Fatalf("%q: %+v", n, s)
			}
			if err := l.Release(); err != nil {
				t.Fatalf("%q: %v", n, err)
			}
		}
		for _, n := range []string{"", ".", "..", "\x00", "\xff", strings.Repeat("n", 513), strings.Repeat("n", 70_000)} {
			_, err := c.TryAcquire(t.Context(), n, time.Second)
			if !errors.Is(err, lock.ErrInvalidArgument) && !errors.Is(err, lock.ErrTooLarge) {
				t.Fatalf("%.20q: %v", n, err)
			}
		}
		if l, err := c.TryAcquire(t.Context(), "still-alive", time.Second); err != nil {
			t.Fatal(err)
		} else if err := l.Release(); err != nil {
			t.Fatal(err)
		}
	}
}

// Before there is a connection, too, a frame that no service would take is an error at once.
func TestTooLargeAtFirst(t *testing.T) {
	t.Parallel()
	_, err := client(t, shared(t).url).TryAcquire(t.Context(), name(t), time.Second, lock.WithMetadata(map[string]any{"x": strings.Repeat("x", 100_000)}))
	if !errors.Is(err, lock.ErrTooLarge) {
		t.Fatal(err)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]lock.ClientOption{nil, {lock.WithoutWebSocket()}} {
		c, n := client(t, shared(t).url, opts...), name(t)
		l := must[*lock.Lock](t)(c.Acquire(n, 30*time.Second))
		_, err := c.TryAcquire(t.Context(), n, time.Second)
		var e *lock.APIError
		if !errors.Is(err, lock.ErrHeld) || !errors.As(err, &e) || len(e.Holders) != 1 || e.Holders[0].OwnerID != l.OwnerID || e.LockName != n || e.Status != 409 {
			t.Fatalf("%v %+v", err, e)
		}
		_, err = c.Acquire(n, time.Second, lock.WithWait(150*time.Millisecond))
		if !errors.Is(err, lock.ErrWaitTimeout) || !errors.As(err, &e) || e.WaitTime < 150*time.Millisecond || e.WaitTime > 3*time.Second {
			t.Fatalf("%v %+v", err, e)
		}
		if _, err = c.TryAcquire(t.Context(), n, time.Second, lock.WithLimit(3)); !errors.Is(err, lock.ErrLimitMismatch) || !errors.As(err, &e) || e.Limit != 1 {
			t.Fatal(err)
		}
		if _, err = c.TryAcquire(t.Context(), n, time.Millisecond); !errors.Is(err, lock.ErrInvalidArgument) || !errors.As(err, &e) || len(e.Fields) == 0 {
			t.Fatal(err)
		}
		if _, err = c.TryAcquire(t.Context(), n, 31*time.Second, lock.WithRequestID(l.RequestID), lock.WithOwner(l.OwnerID)); !errors.Is(err, lock.ErrRequestMismatch) {
			t.Fatal(err)
		}
		same, err := c.TryAcquire(t.Context(), n, 30*time.Second, lock.WithRequestID(l.RequestID), lock.WithOwner(l.OwnerID))
		if err != nil || same.ID != l.ID {
			t.Fatal(err)
		}
		if _, err = c.TryAcquire(t.Context(), "m", time.Second, lock.WithMetadata(map[string]any{"x": strings.Repeat("x", 100_000)})); !errors.Is(err, lock.ErrTooLarge) {
			t.Fatal(err)
		}
		if _, err = c.TryAcquire(t.Context(), "m", time.Second, lock.WithMetadata(map[string]any{"x": func() {}})); !errors.Is(err, lock.ErrInvalidArgument) {
			t.Fatal(err)
		}
		if _, err := c.Release(t.Context(), n, "nothing"); !errors.Is(err, lock.ErrLockLost) {
			t.Fatal(err)
		}
		other := client(t, shared(t).url, opts...)
		if _, err := other.Release(t.Context(), n, l.ID); !errors.Is(err, lock.ErrNotOwner) {
			t.Fatal(err)
		}
		if _, err := other.Renew(t.Context(), n, l.RenewalToken, 0); !errors.Is(err, lock.ErrNotOwner) {
			t.Fatal(err)
		}
		if r := must[lock.Renewal](t)(c.Renew(t.Context(), n, l.RenewalToken, 40*time.Second)); r.TTL < 39*time.Second || r.FencingToken != l.FencingToken || r.ExpiresAt.IsZero() {
			t.Fatalf("%+v", r)
		}
		time.Sleep(5 * time.Millisecond) // heldFor is in milliseconds
		if d, err := c.Release(t.Context(), n, l.ID); err != nil || d <= 0 {
			t.Fatal(d, err)
		}
		if err := l.Release(); !errors.Is(err, lock.ErrLockLost) {
			t.Fatal(err)
		}
		if _, err := c.ForceRelease(t.Context(), n, "x"); !errors.Is(err, lock.ErrUnauthorized) && !errors.Is(err, lock.ErrForbidden) {
			t.Fatal(err)
		}
	}
}

func TestBadURLAndClosed(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"localhost:5000", "ftp://x", "", "http://", "%"} {
		c := client(t, u)
		if _, err := c.Acquire("x", time.Second); !errors.Is(err, lock.ErrInvalidArgument) {
			t.Fatal(u, err)
		}
		if _, err := c.Status(t.Context(), "x"); !errors.Is(err, lock.ErrInvalidArgument) {
			t.Fatal(u, err)
		}
	}
	c := client(t, shared(t).url)
	_ = c.Close()
	_ = c.Close()
	if _, err := c.Acquire("x", time.Second); !errors.Is(err, lock.ErrClosed) {
		t.Fatal(err)
	}
	if _, err := c.Stats(t.Context()); !errors.Is(err, lock.ErrClosed) {
		t.Fatal(err)
	}
	for _, err := range c.Subscribe(t.Context(), lock.Subscription{}) {
		if !errors.Is(err, lock.ErrClosed) {
			t.Fatal(err)
		}
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	c, n := client(t, shared(t).url, lock.WithToken("admin")), name(t)
	var locks []*lock.Lock
	for _, s := range []string{"1", "2", "3"} {
		locks = append(locks, must[*lock.Lock](t)(c.Acquire(n+s, 30*time.Second)))
	}
	var seen []string
	for s, err := range c.List(t.Context(), n) {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, s.LockName)
	}
	slices.Sort(seen)
	if !slices.Equal(seen, []string{n + "1", n + "2", n + "3"}) {
		t.Fatal(seen)
	}
	waiting := make(chan error, 1)
	go func() {
		l, err := c.Acquire(n+"1", time.Second)
		if err == nil {
			err = l.Release()
		}
		waiting <- err
	}()
	queue(t, c, n+"1", 1)
	if s := must[*lock.Status](t)(c.Status(t.Context(), n+"1")); len(s.Waiters) != 1 || s.Waiters[0].Position != 1 {
		t.Fatalf("%+v", s)
	}
	eventually(t, "an edge", 5*time.Second, func() bool {
		g := must[*lock.Graph](t)(c.Graph(t.Context()))
		return slices.ContainsFunc(g.Edges, func(e lock.Edge) bool { return e.LockName == n+"1" && e.Holder == locks[0].OwnerID })
	})
	if dot := must[string](t)(c.GraphDot(t.Context())); !strings.Contains(dot, "digraph") {
		t.Fatal(dot)
	}
	holders := must[[]lock.Holder](t)(c.ForceRelease(t.Context(), n+"1", "a test & more"))
	if len(holders) != 1 || holders[0].OwnerID != locks[0].OwnerID {
		t.Fatalf("%+v", holders)
	}
	select {
	case <-locks[0].Done():
	case <-time.After(5 * time.Second):
		t.Fatal("not told of the loss")
	}
	if err := locks[0].Err(); !errors.Is(err, lock.ErrLockLost) || !errors.Is(context.Cause(locks[0].Context()), lock.ErrLockLost) {
		t.Fatal(err)
	}
	if err := locks[0].Release(); !errors.Is(err, lock.ErrLockLost) {
		t.Fatal(err)
	}
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
	if _, err := c.ForceRelease(t.Context(), n+"1", ""); !errors.Is(err, lock.ErrNotLocked) {
		t.Fatal(err)
	}
	if s := must[*lock.Stats](t)(c.Stats(t.Context())); s.AcquiredTotal == 0 || len(s.Nodes) == 0 || s.Nodes[0].ID == "" {
		t.Fatalf("%+v", s)
	}
	if h := must[*lock.Health](t)(c.Health(t.Context())); h.Status != "ok" || h.Redis.Mode == "" {
		t.Fatalf("%+v", h)
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	c, n := client(t, shared(t).url), name(t)
	var all []*lock.Lock
	for range 3 {
		all = append(all, must[*lock.Lock](t)(c.TryAcquire(t.Context(), n+"s", time.Second*30, lock.WithShared())))
		all = append(all, must[*lock.Lock](t)(c.TryAcquire(t.Context(), n+"l", time.Second*30, lock.WithLimit(3))))
	}
	if _, err := c.TryAcquire(t.Context(), n+"s", time.Second); !errors.Is(err, lock.ErrHeld) {
		t.Fatal(err)
	}
	if _, err := c.TryAcquire(t.Context(), n+"l", time.Second, lock.WithLimit(3)); !errors.Is(err, lock.ErrHeld) {
		t.Fatal(err)
	}
	for _, l := range all {
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOnQueued(t *testing.T) {
	t.Parallel()
	c, n := client(t, shared(t).url), name(t)
	first := must[*lock.Lock](t)(c.Acquire(n, 30*time.Second))
	ctx, leave := context.WithCancel(t.Context())
	go func() { _, _ = c.AcquireContext(ctx, n, time.Second) }()
	queue(t, c, n, 1)
	var mu sync.Mutex
	var places []lock.Place
	last := func() lock.Place {
		mu.Lock()
		defer mu.Unlock()
		if len(places) == 0 {
			return lock.Place{}
		}
		return places[len(places)-1]
	}
	got := make(chan error, 1)
	go func() {
		l, err := c.Acquire(n, time.Second, lock.OnQueued(func(p lock.Place) {
			mu.Lock()
			defer mu.Unlock()
			places = append(places, p)
		}))
		if err == nil {
			err = l.Release()
		}
		got <- err
	}()
	eventually(t, "second in line", 5*time.Second, func() bool { return last().Position == 2 })
	if h := last().Holders; len(h) == 0 || h[0].OwnerID != first.OwnerID {
		t.Fatalf("%+v", h)
	}
	time.Sleep(600 * time.Millisecond) // the service tells positions to those who have waited half a second
	leave()
	eventually(t, "first in line", 5*time.Second, func() bool { return last().Position == 1 })
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
}
