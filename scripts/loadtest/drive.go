package main

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// loadRun is one load test.
type loadRun struct {
	s     settings
	api   *api
	check *checker

	taken, done, bad atomic.Int64
	started          time.Time
	took             time.Duration
	interrupted      bool

	mu     sync.Mutex
	sum    tally
	errors map[string]*failed
}

// failed is how often a code was seen, and the first detail that came with it.
type failed struct {
	n      int
	detail string
}

// tally is what one client has measured.
type tally struct {
	acquires, releases, waits []time.Duration
}

func newRun(s settings, a *api) *loadRun {
	return &loadRun{s: s, api: a, check: newChecker(), errors: map[string]*failed{}}
}

// drive runs all operations, or as many as there is time for until the context ends.
func (r *loadRun) drive(ctx context.Context) {
	r.started = time.Now()
	var clients sync.WaitGroup
	for i := range min(r.s.concurrent, r.s.operations) {
		clients.Go(func() { r.client(ctx, "loadtest-"+strconv.Itoa(i)) })
	}
	finished := make(chan struct{})
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		r.showProgress(finished)
	}()
	clients.Wait()
	r.took = time.Since(r.started)
	r.interrupted = ctx.Err() != nil && r.done.Load() < int64(r.s.operations)
	close(finished)
	<-shown
}

func (r *loadRun) client(ctx context.Context, name string) {
	var t tally
	for ctx.Err() == nil && r.taken.Add(1) <= int64(r.s.operations) {
		if err := r.operation(ctx, name, &t); err != nil {
			if ctx.Err() != nil && errors.Is(err, context.Canceled) {
				break // the load test was ended while the client waited
			}
			r.failedWith(err)
		}
		r.done.Add(1)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.acquires = append(r.sum.acquires, t.acquires...)
	r.sum.releases = append(r.sum.releases, t.releases...)
	r.sum.waits = append(r.sum.waits, t.waits...)
}

// operation is one acquire and its release.
func (r *loadRun) operation(ctx context.Context, client string, t *tally) error {
	lock := r.s.prefix + strconv.Itoa(rand.IntN(r.s.locks))
	begin := time.Now()
	g, err := r.api.acquire(ctx, lock, client)
	if err != nil {
		return err
	}
	t.acquires = append(t.acquires, time.Since(begin))
	if g.WaitTime > 0 {
		t.waits = append(t.waits, time.Duration(g.WaitTime*float64(time.Second)))
	}
	r.check.enter(lock, client, g.FencingToken)
	if r.s.hold > 0 {
		hold := time.NewTimer(r.s.hold)
		select {
		case <-hold.C:
		case <-ctx.Done():
			hold.Stop()
		}
	}
	r.check.leave(lock, client)
	begin = time.Now()
	if err := r.api.release(ctx, lock, client, g.LockID); err != nil {
		return err
	}
	t.releases = append(t.releases, time.Since(begin))
	return nil
}

func (r *loadRun) failedWith(err error) {
	r.bad.Add(1)
	code, detail := "other", err.Error()
	if f, ok := errors.AsType[*failure](err); ok {
		code, detail = f.code, f.detail
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.errors[code] == nil {
		r.errors[code] = &failed{detail: detail}
	}
	r.errors[code].n++
}

func (r *loadRun) failed() bool {
	doubles, disorders, _ := r.check.verdict()
	return r.bad.Load() > 0 || doubles > 0 || disorders > 0
}

func (r *loadRun) codes() []string { return slices.Sorted(maps.Keys(r.errors)) }
