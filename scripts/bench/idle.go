package main

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// locksOf are names of locks, n of them.
func locksOf(n int) (names []string) {
	for range n {
		names = append(names, "sit:"+strconv.FormatInt(lockNumber.Add(1), 10))
	}
	return names
}

// hold takes every one of the locks for as long as a lease may be.
func hold(ctx context.Context, addr string, names []string) error {
	c, err := dial(ctx, addr, "holder")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for _, name := range names {
		if _, err := c.acquire(name, maxLease, 0); err != nil {
			return err
		}
	}
	return nil
}

// maxLease and maxWait are the most that a service with default settings allows, in seconds.
const (
	maxLease = 300
	maxWait  = 300
)

// seat has every connection ask for a lock that is held, and returns once all of them stand in line.
func seat(ctx context.Context, s *store, conns []*conn, names []string, before int) error {
	for i, c := range conns {
		if err := c.ask(names[i%len(names)], maxLease, maxWait); err != nil {
			return err
		}
	}
	return until(ctx, 60*time.Second, fmt.Sprintf("%d requests in line", before+len(conns)), func() bool {
		n, err := s.queued(ctx, names)
		return err == nil && n == before+len(conns)
	})
}

// idle counts Redis's commands while requests wait and nothing happens.
func idle(ctx context.Context, b *bench) error {
	s, nodes, err := b.rig.pair(ctx, 2)
	if err != nil {
		return err
	}
	names := locksOf(10)
	if err := hold(ctx, nodes[0].addr, names); err != nil {
		return err
	}
	crowd := newCrowd(ctx)
	defer crowd.hangUp()
	waiting, rates := 0, map[int]float64{}
	for _, n := range b.work.sitting {
		conns, err := crowd.dial(n-waiting, addrs(nodes)...)
		if err != nil {
			return err
		}
		if err := seat(ctx, s, conns, names, waiting); err != nil {
			return err
		}
		waiting = n
		if rates[n], err = b.commandsASecond(ctx, s); err != nil {
			return err
		}
		if n <= 10 {
			b.report.add(fmt.Sprintf("%d waiting: Redis commands a second", n), "%.1f", rates[n])
			continue
		}
		// A beat more or less within the time that is measured is no growth.
		b.report.aim(fmt.Sprintf("%d waiting: Redis commands a second", n), rates[n], "%.1f", "< 60, as for 10",
			rates[n] < 60 && rates[n] <= rates[10]+5)
	}
	return nil
}

func (b *bench) commandsASecond(ctx context.Context, s *store) (float64, error) {
	before, err := s.usage(ctx)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	pause(ctx, b.work.sitFor)
	after, err := s.usage(ctx)
	return (after.commands - before.commands - 1) / time.Since(begin).Seconds(), err
}
