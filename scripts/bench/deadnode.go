package main

import (
	"context"
	"fmt"
	"time"
)

// deadNode kills the node of the waiters at a lock's head, releases the lock in the same moment, and takes the time
// until the first live waiter, on another node, has it.
func deadNode(ctx context.Context, b *bench) error {
	s, nodes, err := b.rig.pair(ctx, 2)
	if err != nil {
		return err
	}
	var took []float64
	for range b.work.deadRounds {
		dead, err := b.rig.node(ctx, s)
		if err != nil {
			return err
		}
		d, err := b.oneDeath(ctx, s, nodes, dead)
		if err != nil {
			return err
		}
		took = append(took, d.Seconds())
	}
	worst := took[0]
	for _, t := range took {
		worst = max(worst, t)
	}
	b.report.add("release to the live waiter's grant, each round", "%.2f s", took)
	b.report.aim("the worst", worst, "%.2f s", "≤ 5", worst <= 5)
	return nil
}

func (b *bench) oneDeath(ctx context.Context, s *store, nodes []*process, dead *process) (time.Duration, error) {
	holder, hangUp, err := dialAll(ctx, 1, nodes[0].addr)
	if err != nil {
		return 0, err
	}
	defer hangUp()
	first, hangUpFirst, err := dialAll(ctx, b.work.deadWaiters, dead.addr)
	if err != nil {
		return 0, err
	}
	defer hangUpFirst()
	live, hangUpLive, err := dialAll(ctx, 1, nodes[1].addr)
	if err != nil {
		return 0, err
	}
	defer hangUpLive()
	lock := locksOf(1)
	id, err := holder[0].acquire(lock[0], maxLease, 0)
	if err != nil {
		return 0, err
	}
	if err := seat(ctx, s, first, lock, 0); err != nil {
		return 0, err
	}
	if err := seat(ctx, s, live, lock, len(first)); err != nil {
		return 0, err
	}
	dead.kill()
	begin := time.Now()
	if err := holder[0].release(lock[0], id); err != nil {
		return 0, fmt.Errorf("release: %w", err)
	}
	id, err = live[0].taken()
	if err != nil {
		return 0, fmt.Errorf("the live waiter: %w", err)
	}
	took := time.Since(begin)
	return took, live[0].release(lock[0], id)
}
