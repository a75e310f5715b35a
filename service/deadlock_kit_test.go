package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"distributedlock/queue"
)

// named is a request of an owner that its client names.
func named(name, client, owner string, wait time.Duration) *queue.Request {
	q := request(name, client, time.Minute, wait)
	q.Owner, q.Explicit = owner, true
	return q
}

// held takes a lock that is free.
func (f *fleet) held(n *member, q *queue.Request) queue.Grant {
	f.t.Helper()
	g, _, err := n.Acquire(f.t.Context(), q)
	if err != nil {
		f.t.Fatal(err)
	}
	return g
}

// answered is how a request came out that waits in the background.
type answered struct {
	q    *queue.Request
	g    queue.Grant
	err  error
	took time.Duration
}

// ask has a request wait in the background, until so many wait for its lock.
func (f *fleet) ask(n *member, q *queue.Request, line int) <-chan answered {
	f.t.Helper()
	c := make(chan answered, 1)
	ctx, cancel := context.WithCancel(context.Background())
	begin := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() {
		g, _, err := n.Acquire(ctx, q)
		c <- answered{q, g, err, time.Since(begin)}
	})
	f.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	if line > 0 {
		f.eventually("the request waits", 5*time.Second, func() bool {
			st, err := n.Status(context.Background(), q.Name, 0)
			return err == nil && st.Queue == line
		})
	}
	return c
}

// failed waits for a request that must be failed.
func (f *fleet) failed(c <-chan answered) []queue.CycleStep {
	f.t.Helper()
	select {
	case o := <-c:
		var dead *queue.DeadlockError
		if !errors.As(o.err, &dead) {
			f.t.Fatalf("%s of %s: %v, %v; want a deadlock", o.q.Name, o.q.Client, o.g.Token, o.err)
		}
		return dead.Cycle
	case <-time.After(10 * time.Second):
		f.t.Fatal("nobody broke the deadlock")
	}
	return nil
}

// waits sees that a request waits on: it has not been answered, and stands in line.
func (f *fleet) waits(n *member, q *queue.Request, c <-chan answered) {
	f.t.Helper()
	select {
	case o := <-c:
		f.t.Fatalf("%s of %s no longer waits: %v", o.q.Name, o.q.Client, o.err)
	default:
	}
	st, err := n.Status(context.Background(), q.Name, 100)
	if err != nil || !slices.ContainsFunc(st.Waiters, func(w queue.Waiter) bool { return w.Client == q.Client }) {
		f.t.Fatalf("%s of %s is not in line: %v %v", q.Name, q.Client, st.Waiters, err)
	}
}

func (f *fleet) released(n *member, g queue.Grant) {
	f.t.Helper()
	if _, err := n.Release(context.Background(), g.Name, g.Client, g.LockID); err != nil {
		f.t.Fatal(err)
	}
}

// looked waits until so many waits are noted, and all lines have been swept since.
func (f *fleet) looked(waits int64, nodes ...*member) {
	f.t.Helper()
	plain := f.plain()
	f.eventually("the waits are noted", 5*time.Second, func() bool { return f.noted(plain, nodes[0]) == waits })
	f.eventually("the last sweep", 15*time.Second, func() bool {
		return !slices.ContainsFunc(nodes, func(n *member) bool { return n.detector.news.Load() })
	})
}

// noted is how many waits are noted.
func (f *fleet) noted(c rueidis.Client, n *member) (count int64) {
	f.t.Helper()
	for p := range n.store.Partitions() {
		some, err := f.do(c, "ZCARD", "dl:{"+strconv.Itoa(p)+"}:waits").AsInt64()
		if err != nil {
			f.t.Fatal(err)
		}
		count += some
	}
	return count
}

func shape(cycle []queue.CycleStep) string {
	var b strings.Builder
	for _, s := range cycle {
		fmt.Fprintf(&b, "%s/%s %s>%s ", s.Client, s.Owner, s.Holds, s.WaitsFor)
	}
	return strings.TrimSpace(b.String())
}
