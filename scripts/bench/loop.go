package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// outcome is what a closed loop of clients has measured. The durations are sorted.
type outcome struct {
	took      time.Duration
	cycles    int
	acquires  []time.Duration
	handovers []time.Duration
	// cyclesTook are acquire and release together.
	cyclesTook []time.Duration
	counts     []int // cycles of each client
}

func (o *outcome) rate() float64 { return float64(o.cycles) / o.took.Seconds() }

// Leases and waits, in seconds, of clients that should never run into the end of either.
const (
	longLease = 30
	longWait  = 60
)

// lockNumber makes the locks of a whole sitting differ.
var lockNumber atomic.Int64

// locker takes and gives back locks, one at a time.
type locker interface {
	acquire(lock string, lease, wait float64) (lockID string, err error)
	release(lock, lockID string) error
}

// ownLocks runs cycles in which every lock is new.
func ownLocks[L locker](conns []L, cycles int) (*outcome, error) {
	var left atomic.Int64
	left.Store(int64(cycles))
	o := &outcome{cycles: cycles, counts: make([]int, len(conns))}
	waits, wholes := make([][]time.Duration, len(conns)), make([][]time.Duration, len(conns))
	begin := time.Now()
	err := inParallel(len(conns), func(i int) error {
		c := conns[i]
		waits[i], wholes[i] = make([]time.Duration, 0, 2*cycles/len(conns)), make([]time.Duration, 0, 2*cycles/len(conns))
		for left.Add(-1) >= 0 {
			lock := "bench:" + strconv.FormatInt(lockNumber.Add(1), 10)
			t := time.Now()
			id, err := c.acquire(lock, longLease, longWait)
			if err != nil {
				return fmt.Errorf("acquire: %w", err)
			}
			waits[i] = append(waits[i], time.Since(t))
			if err := c.release(lock, id); err != nil {
				return fmt.Errorf("release: %w", err)
			}
			wholes[i] = append(wholes[i], time.Since(t))
			o.counts[i]++
		}
		return nil
	})
	o.took = time.Since(begin)
	o.acquires, o.cyclesTook = slices.Concat(waits...), slices.Concat(wholes...)
	slices.Sort(o.acquires)
	slices.Sort(o.cyclesTook)
	return o, err
}

// inParallel runs f n times at once, and returns the first error once all have returned.
func inParallel(n int, f func(i int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// pause is time that passes because it is what is measured.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// until polls for something that must come about.
func until(ctx context.Context, within time.Duration, what string, is func() bool) error {
	end := time.Now().Add(within)
	for !is() {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(end):
			return fmt.Errorf("not within %s: %s", within, what)
		}
		pause(ctx, time.Millisecond)
	}
	return nil
}
