package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// leaseEnd lets leases of half a second end while a client of another node waits. The end is the one that the acquire
// was answered with, by Redis's clock, which here is this machine's.
func leaseEnd(ctx context.Context, b *bench) error {
	_, nodes, err := b.rig.pair(ctx, 2)
	if err != nil {
		return err
	}
	w := b.work
	delays := make([][]time.Duration, w.leaseParallel)
	early := make([]int, w.leaseParallel)
	conns, hangUp, err := dialAll(ctx, 2*w.leaseParallel, addrs(nodes)...)
	if err != nil {
		return err
	}
	defer hangUp()
	names := locksOf(w.leaseEnds)
	err = inParallel(w.leaseParallel, func(i int) error {
		for k := i; k < w.leaseEnds; k += w.leaseParallel {
			late, err := oneEnd(conns[2*i], conns[2*i+1], names[k])
			if err != nil {
				return err
			}
			if late < 0 {
				early[i]++
			}
			delays[i] = append(delays[i], late)
		}
		return nil
	})
	if err != nil {
		return err
	}
	all, tooSoon := slices.Concat(delays...), 0
	slices.Sort(all)
	for _, n := range early {
		tooSoon += n
	}
	p50 := millis(percentile(all, 50))
	b.report.aim("end of the lease to the answer, p50", p50, "%.1f ms", "≤ 60", p50 <= 60)
	b.report.add("p99", "%.1f ms", millis(percentile(all, 99)))
	b.report.aim("granted before the end", float64(tooSoon), "%.0f", "0", tooSoon == 0)
	return nil
}

// oneEnd returns how long after the end of the holder's lease the waiter had its answer.
func oneEnd(holder, waiter *conn, lock string) (time.Duration, error) {
	if err := holder.ask(lock, 0.5, 0); err != nil {
		return 0, err
	}
	g, err := holder.granted()
	if err != nil {
		return 0, fmt.Errorf("acquire: %w", err)
	}
	if _, err := waiter.acquire(lock, longLease, longWait); err != nil {
		return 0, fmt.Errorf("wait: %w", err)
	}
	return time.Since(g.ExpiresAt), nil
}
