package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	distributedlock "distributedlock/clients/go"
)

const (
	// pairsAtOnce is how many locks go to and fro at a time, each between two clients of different nodes: so every hand-over
	// needs the other node to hear of it, which takes it until its next beat.
	pairsAtOnce = 300
	silentPer   = 16 // client connections a node
)

// silent hands locks over, so many times in all, while no message of pub/sub arrives: half of them while the nodes hear
// their own pings still, and thus take their subscriptions for sound, half while they hear nothing.
func (c *campaign) silent(ctx context.Context) error {
	for _, how := range []struct {
		mode        mode
		name, about string
	}{
		{mute, "silent", "hand-overs between nodes, every message lost but the nodes' pings to themselves"},
		{deaf, "silent-all", "the same, these lost too"},
	} {
		to := &row{name: how.name, about: how.about, rounds: 1}
		c.rows = append(c.rows, to)
		if err := c.silentPart(ctx, how.mode, to); err != nil {
			return err
		}
	}
	return nil
}

func (c *campaign) silentPart(ctx context.Context, m mode, to *row) (err error) {
	r, err := newRig(ctx, c.lockd, two)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	for _, l := range r.links {
		l.set(m, 0)
	}
	begin := time.Now()
	s := &shuttle{want: int64(c.handOvers / 2)}
	var nodes [2][]*distributedlock.Client
	for n := range nodes {
		for range silentPer {
			nodes[n] = append(nodes[n], distributedlock.NewDistributedLockClient("http://"+r.nodes[n].addr))
		}
	}
	var wg sync.WaitGroup
	for i := range min(pairsAtOnce, c.handOvers/2) {
		ball := &ball{name: fmt.Sprintf("silent/%d", i)}
		for n := range nodes {
			wg.Go(func() { s.play(ctx, nodes[n][i%silentPer], ball) })
		}
	}
	wg.Wait()
	for _, some := range nodes {
		for _, one := range some {
			_ = one.Close() // it is nil
		}
	}
	dropped := int64(0)
	for _, l := range r.links {
		dropped += l.dropped.Load()
	}
	to.acts, to.violations, to.stall = int(s.done.Load()), len(s.wrong), s.longest
	_, _ = fmt.Fprintf(c.log, "%s: %d hand-overs in %.1f s, of %d messages none arrived, longest wait %.2f s, median %.2f s\n", to.name, to.acts,
		time.Since(begin).Seconds(), dropped, s.longest.Seconds(), s.median().Seconds())
	for _, why := range s.wrong[:min(len(s.wrong), mostShown)] {
		_, _ = fmt.Fprintln(c.log, "VIOLATION", why)
	}
	if dropped < s.done.Load() && ctx.Err() == nil {
		return fmt.Errorf("%s: only %d messages for %d hand-overs: they did not need them, and show nothing", to.name, dropped, s.done.Load())
	}
	return ctx.Err()
}

// ball is a lock that goes between two clients, and since when it has been free.
type ball struct {
	name string

	mu    sync.Mutex
	free  time.Time
	token int64
}

// shuttle counts the hand-overs of all balls.
type shuttle struct {
	want int64
	done atomic.Int64

	mu      sync.Mutex
	waits   []time.Duration
	longest time.Duration
	wrong   []string
}

func (s *shuttle) play(ctx context.Context, c *distributedlock.Client, b *ball) {
	for ctx.Err() == nil && s.done.Load() < s.want {
		var queued time.Time
		l, err := c.AcquireContext(ctx, b.name, time.Minute, distributedlock.WithWait(20*time.Second), distributedlock.OnQueued(func(distributedlock.Place) {
			if queued.IsZero() {
				queued = time.Now()
			}
		}))
		if err != nil {
			s.fault("%s: %v", b.name, err)
			return
		}
		s.handed(b, l.FencingToken, queued, time.Now())
		b.mu.Lock()
		b.free = time.Now()
		b.mu.Unlock()
		if err := l.Release(); err != nil {
			s.fault("%s: release: %v", b.name, err)
			return
		}
	}
}

func (s *shuttle) fault(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
}

// handed notes a grant to somebody who stood in line: how long it took since the lock came free.
func (s *shuttle) handed(b *ball, token int64, queued, now time.Time) {
	b.mu.Lock()
	free, before := b.free, b.token
	b.token = max(before, token)
	b.mu.Unlock()
	if token <= before {
		s.fault("%s: token %d after %d", b.name, token, before)
	}
	if queued.IsZero() || free.IsZero() {
		return
	}
	if queued.After(free) {
		free = queued
	}
	wait := now.Sub(free)
	s.done.Add(1)
	s.mu.Lock()
	s.waits = append(s.waits, wait)
	s.longest = max(s.longest, wait)
	s.mu.Unlock()
	if wait > longestWait {
		s.fault("%s: handed over %s after it came free", b.name, wait)
	}
}
