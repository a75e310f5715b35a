package distributedlock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	lock "distributedlock/clients/go"
)

// line has n clients of their own wait for a lock, one behind the other, and tells in what order they get it.
func line(t *testing.T, watcher *lock.Client, name string, clients ...*lock.Client) <-chan int {
	t.Helper()
	order := make(chan int, len(clients))
	var all sync.WaitGroup
	t.Cleanup(all.Wait) // before the clients are closed
	for i, c := range clients {
		all.Go(func() {
			l, err := c.AcquireContext(within(t, 30*time.Second), name, 10*time.Second)
			if err != nil {
				t.Errorf("%d: %v", i, err)
				order <- -1
				return
			}
			order <- i
			if err := l.Release(); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		})
		queue(t, watcher, name, i+1)
	}
	return order
}

func inOrder(t *testing.T, order <-chan int, n int) {
	t.Helper()
	for i := range n {
		select {
		case got := <-order:
			if got != i {
				t.Fatalf("place %d was served as number %d", got, i)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("nobody got it after %d", i)
		}
	}
}

// A wait longer than one request is asked for again before it ends, which keeps the place.
func TestLongWaitKeepsItsPlace(t *testing.T) {
	t.Parallel()
	for over, opts := range map[string][]lock.ClientOption{"WebSocket": nil, "REST": {lock.WithoutWebSocket()}} {
		t.Run(over, func(t *testing.T) {
			t.Parallel()
			longWait(t, opts)
		})
	}
}

func longWait(t *testing.T, opts []lock.ClientOption) {
	n, watcher := name(t), client(t, shared(t).url)
	holder := must[*lock.Lock](t)(watcher.Acquire(n, 60*time.Second))
	first, second := client(t, shared(t).url, opts...), client(t, shared(t).url)
	first.SetChunk(3 * time.Second)
	order := line(t, watcher, n, first, second)
	time.Sleep(7 * time.Second) // more than two requests' time
	if s := must[*lock.Status](t)(watcher.Status(t.Context(), n)); s.QueueLength != 2 || s.Waiters[0].ClientID != first.ClientID() {
		t.Fatalf("%+v", s)
	}
	if err := holder.Release(); err != nil {
		t.Fatal(err)
	}
	inOrder(t, order, 2)
	free(t, watcher, n)
}

func TestServersShorterLimitOfWaits(t *testing.T) {
	t.Parallel()
	n := startRedis(t).start(t, "MAX_WAIT_TIMEOUT=2")
	c := client(t, n.url)
	holder := must[*lock.Lock](t)(c.Acquire("x", 30*time.Second))
	got := make(chan error, 1)
	go func() {
		l, err := c.Acquire("x", time.Second, lock.WithWait(20*time.Second))
		if err == nil {
			err = l.Release()
		}
		got <- err
	}()
	queue(t, c, "x", 1)
	time.Sleep(2500 * time.Millisecond)
	if err := holder.Release(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
}

func TestCancelledWait(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]lock.ClientOption{nil, {lock.WithoutWebSocket()}} {
		c, n := client(t, shared(t).url, opts...), name(t)
		holder := must[*lock.Lock](t)(c.Acquire(n, 30*time.Second))
		why := errors.New("had enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan time.Time, 1)
		go func() {
			if _, err := c.AcquireContext(ctx, n, time.Second); !errors.Is(err, why) {
				t.Error(err)
			}
			ended <- time.Now()
		}()
		queue(t, c, n, 1)
		begin := time.Now()
		cancel(why)
		if d := (<-ended).Sub(begin); d > 200*time.Millisecond {
			t.Fatal("returned only after ", d)
		}
		queue(t, c, n, 0)
		if _, err := c.AcquireContext(ctx, n, time.Second); !errors.Is(err, why) {
			t.Fatal(err)
		}
		if err := holder.Release(); err != nil {
			t.Fatal(err)
		}
		free(t, c, n)
	}
}

// Grants cross cancels all the time; none is left held.
func TestCancelStorm(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]lock.ClientOption{nil, {lock.WithoutWebSocket()}} {
		c, n := client(t, shared(t).url, opts...), name(t)
		var all sync.WaitGroup
		for i := range 60 {
			all.Go(func() {
				for j := range 10 {
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i*j%7)*700*time.Microsecond)
					if l, err := c.AcquireContext(ctx, fmt.Sprint(n, j%3), 60*time.Second); err == nil {
						_ = l.Release()
					}
					cancel()
				}
			})
		}
		all.Wait()
		for j := range 3 {
			free(t, c, fmt.Sprint(n, j))
		}
		eventually(t, "nothing under way", 10*time.Second, func() bool {
			calls, locks, loose := c.Left()
			return calls+locks+loose == 0
		})
	}
}

func TestCloseEndsWaitsAndReleases(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]lock.ClientOption{nil, {lock.WithoutWebSocket()}} {
		watcher, c, n := client(t, shared(t).url), client(t, shared(t).url, opts...), name(t)
		var locks []*lock.Lock
		for i := range 50 {
			locks = append(locks, must[*lock.Lock](t)(c.Acquire(fmt.Sprint(n, i), 60*time.Second)))
		}
		var waits sync.WaitGroup
		for i := range 50 {
			waits.Go(func() {
				if _, err := c.Acquire(fmt.Sprint(n, i), time.Second); !errors.Is(err, lock.ErrClosed) {
					t.Error(err)
				}
			})
			queue(t, watcher, fmt.Sprint(n, i), 1)
		}
		begin := time.Now()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d > 1500*time.Millisecond {
			t.Error("took ", d)
		}
		waits.Wait()
		for i, l := range locks {
			if err := l.Err(); !errors.Is(err, lock.ErrReleased) {
				t.Fatal(err)
			}
			free(t, watcher, fmt.Sprint(n, i))
		}
	}
}

func TestOwnersAndDeadlocks(t *testing.T) {
	t.Parallel()
	c, n := client(t, shared(t).url), name(t)
	a := must[*lock.Lock](t)(c.Acquire(n+"a", 30*time.Second))
	// The same owner again: told at once.
	begin := time.Now()
	_, err := c.AcquireContext(a.Context(), n+"a", 30*time.Second)
	var e *lock.APIError
	if !errors.Is(err, lock.ErrDeadlock) || !errors.As(err, &e) || len(e.Cycle) != 1 || e.Cycle[0].Holds != n+"a" || e.Cycle[0].OwnerID != a.OwnerID {
		t.Fatalf("%v %+v", err, e)
	}
	if d := time.Since(begin); d > 2*time.Second {
		t.Fatal(d)
	}
	nested := must[*lock.Lock](t)(c.AcquireContext(a.Context(), n+"n", 30*time.Second))
	if nested.OwnerID != a.OwnerID {
		t.Fatal("two owners")
	}
	b := must[*lock.Lock](t)(c.Acquire(n+"b", 30*time.Second))
	if b.OwnerID == a.OwnerID {
		t.Fatal("one owner")
	}
	older := make(chan error, 1)
	go func() {
		l, err := c.AcquireContext(a.Context(), n+"b", 30*time.Second)
		if err == nil {
			err = l.Release()
		}
		older <- err
	}()
	queue(t, c, n+"b", 1)
	_, err = c.AcquireContext(b.Context(), n+"a", 30*time.Second)
	if !errors.Is(err, lock.ErrDeadlock) || !errors.As(err, &e) || len(e.Cycle) != 2 || e.Cycle[0].HeldSince.IsZero() {
		t.Fatalf("%v %+v", err, e)
	}
	for _, l := range []*lock.Lock{b, nested} {
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-older; err != nil {
		t.Fatal(err)
	}
	// Two owners that name none of them: the second waits, and is told of no deadlock.
	if _, err := c.Acquire(n+"a", time.Second, lock.WithWait(300*time.Millisecond)); !errors.Is(err, lock.ErrWaitTimeout) {
		t.Fatal(err)
	}
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	named := must[*lock.Lock](t)(c.AcquireContext(lock.WithOwnerContext(t.Context(), "me"), n, 30*time.Second))
	if named.OwnerID != "me" || named.Release() != nil {
		t.Fatal(named.OwnerID)
	}
}

func TestSubscribe(t *testing.T) {
	t.Parallel()
	p := startProxy(t, shared(t).addr)
	c, actor, n := client(t, p.url), client(t, shared(t).url), name(t)
	ctx, cancel := context.WithCancel(t.Context())
	kinds := make(chan lock.Event, 100)
	go func() {
		defer close(kinds)
		for e, err := range c.Subscribe(ctx, lock.Subscription{Locks: []string{n + "*"}, Events: []string{"granted", "released"}}) {
			if err != nil {
				t.Error(err)
			}
			kinds <- e
		}
	}()
	next := func() lock.Event {
		select {
		case e := <-kinds:
			return e
		case <-time.After(10 * time.Second):
			t.Fatal("no event")
		}
		return lock.Event{}
	}
	eventually(t, "subscribed", 10*time.Second, func() bool {
		l := must[*lock.Lock](t)(actor.Acquire(n+"probe", time.Second))
		_ = l.Release()
		return len(kinds) > 0
	})
	wait := func(kind, name string) lock.Event {
		for {
			if e := next(); e.Kind == kind && e.LockName == name {
				return e
			}
		}
	}
	l := must[*lock.Lock](t)(actor.Acquire(n+"1", time.Second))
	if e := wait("granted", n+"1"); e.FencingToken != l.FencingToken || e.OwnerID != l.OwnerID || e.Seq == 0 || e.At.IsZero() {
		t.Fatalf("%+v", e)
	}
	p.cut()
	wait("gap", "")
	_ = l.Release()
	l = must[*lock.Lock](t)(actor.Acquire(n+"2", time.Second))
	wait("granted", n+"2")
	_ = l.Release()
	cancel()
	for range kinds { // until the loop ends
	}
	for _, err := range c.Subscribe(t.Context(), lock.Subscription{Events: []string{"nonsense"}}) {
		if !errors.Is(err, lock.ErrInvalidArgument) {
			t.Fatal(err)
		}
	}
	eventually(t, "nothing under way", 5*time.Second, func() bool {
		calls, locks, loose := c.Left()
		return calls+locks+loose == 0
	})
}
