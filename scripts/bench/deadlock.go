package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// deadlockWork is how much is done of deadlocks.
type deadlockWork struct {
	rings     []ringWork
	standFor  time.Duration // how long the others wait before a ring is closed, where they wait for long
	turns     int           // of what detection costs
	cycles    int           // in a turn
	hotCrowd  int           // clients of a long line
	locks     int           // with standing lines
	perLock   int           // requests standing in each
	rate      int           // requests a second that queue
	paced     int           // requests in a turn at that rate
	flat      int           // requests in a turn as fast as can be
	flatAhead int           // of these under way at once
}

// ringWork is how often a ring of so many owners is closed, in each way.
type ringWork struct{ owners, rounds int }

var (
	fullDeadlocks = deadlockWork{
		rings:    []ringWork{{2, 200}, {3, 200}, {10, 200}, {100, 100}},
		standFor: 50 * time.Millisecond,
		turns:    7, cycles: 20_000, hotCrowd: 500,
		locks: 5_000, perLock: 2, rate: 1_000, paced: 5_000, flat: 15_000, flatAhead: 1_500,
	}
	quickDeadlocks = deadlockWork{
		rings:    []ringWork{{2, 2}, {10, 1}},
		standFor: 30 * time.Millisecond,
		turns:    1, cycles: 500, hotCrowd: 20,
		locks: 50, perLock: 2, rate: 1_000, paced: 200, flat: 500, flatAhead: 200,
	}
)

// ringWays are the ways in which rings are closed.
var ringWays = []struct {
	name  string
	nodes int
	stand bool // the others have waited for a while
	burst bool // all ask at once
}{
	{name: "two nodes", nodes: 2},
	{name: "two nodes, the others wait for long", nodes: 2, stand: true},
	{name: "two nodes, all ask at once", nodes: 2, burst: true},
	{name: "one node", nodes: 1},
}

// deadlocks has owners wait for each other in rings, and takes the time from the request that closes one until it is
// failed for it.
func deadlocks(ctx context.Context, b *bench) error {
	s, nodes, err := b.rig.pair(ctx, 2)
	if err != nil {
		return err
	}
	for _, way := range ringWays {
		wrong := 0
		for _, w := range b.deadlocks.rings {
			how := closing{burst: way.burst}
			if way.stand {
				how.stand = b.deadlocks.standFor
			}
			rounds, err := b.rings(ctx, s, addrs(nodes[:way.nodes]), w, how)
			if err != nil {
				return fmt.Errorf("%s, %d owners: %w", way.name, w.owners, err)
			}
			b.ringRows(fmt.Sprintf("%s, ring of %d", way.name, w.owners), rounds)
			for _, r := range rounds {
				wrong += r.wrong
			}
		}
		b.report.aim(way.name+": failed and not to blame", float64(wrong), "%.0f", "0", wrong == 0)
	}
	return nil
}

// rings closes rings of the same owners, round after round, with another one as the last each time.
func (b *bench) rings(ctx context.Context, s *store, addrs []string, w ringWork, how closing) (rounds []ringRound, err error) {
	crowd := newCrowd(ctx)
	defer crowd.hangUp()
	r := &ring{store: s}
	if r.owners, err = crowd.owners(w.owners, addrs); err != nil {
		return nil, err
	}
	for i := range w.rounds {
		how.last = i % w.owners
		one, err := r.round(ctx, how)
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", i+1, err)
		}
		rounds = append(rounds, one)
	}
	return rounds, nil
}

func (b *bench) ringRows(name string, rounds []ringRound) {
	var told, done []time.Duration
	for _, r := range rounds {
		told, done = append(told, r.told), append(done, r.done)
	}
	slices.Sort(told)
	slices.Sort(done)
	p99 := millis(percentile(told, 99))
	b.report.aim(name+": closed to failed, p99", p99, "%.1f ms", "≤ 100", p99 <= 100)
	b.report.add("p50 / p90 / most", "%.1f / %.1f / %.1f ms", millis(percentile(told, 50)), millis(percentile(told, 90)), millis(percentile(told, 100)))
	b.report.add("failed to all others done, p50 / most", "%.1f / %.1f ms", millis(percentile(done, 50)), millis(percentile(done, 100)))
}
