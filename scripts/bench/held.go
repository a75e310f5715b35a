package main

import (
	"context"
	"fmt"
	"strconv"
)

// held runs cold cycles in turns on a Redis that holds many locks and on one that holds none.
func held(ctx context.Context, b *bench) error {
	var stores [2]*store
	var nodes [2]*process
	for i := range stores {
		s, n, err := b.rig.pair(ctx, 1)
		if err != nil {
			return err
		}
		stores[i], nodes[i] = s, n[0]
		if err := b.warm(ctx, s, n[0]); err != nil {
			return err
		}
	}
	if err := b.fill(ctx, stores[1], nodes[1]); err != nil {
		return err
	}
	var rounds [2][]*coldRound
	for i := range b.work.heldRounds {
		for j := range stores {
			who := (i + j) % 2
			r, err := b.round(ctx, stores[who], nodes[who], b.work.heldCycles)
			if err != nil {
				return err
			}
			rounds[who] = append(rounds[who], r)
		}
	}
	var p99 [2]float64
	for i, n := range []int{0, b.work.heldLocks} {
		of := func(percent int) float64 {
			return median(each(rounds[i], func(r *coldRound) float64 { return millis(percentile(r.acquires, percent)) }))
		}
		p99[i] = of(99)
		b.report.add(fmt.Sprintf("%d held: acquire p50 / p99", n), "%.2f / %.2f ms", of(50), p99[i])
	}
	var ratios []float64
	for i := range rounds[0] {
		ratios = append(ratios, float64(percentile(rounds[1][i].acquires, 99))/float64(percentile(rounds[0][i].acquires, 99)))
	}
	b.report.aim("acquire p99, many held / none, median of pairs", median(ratios), "%.2f", "≤ 1.50", median(ratios) <= 1.5)
	return nil
}

// fill takes many locks and leaves them held.
func (b *bench) fill(ctx context.Context, s *store, p *process) error {
	conns, hangUp, err := dialAll(ctx, b.work.clients, p.addr)
	if err != nil {
		return err
	}
	defer hangUp()
	before, err := s.usage(ctx)
	if err != nil {
		return err
	}
	n := b.work.heldLocks
	err = inParallel(len(conns), func(i int) error {
		for k := i; k < n; k += len(conns) {
			if _, err := conns[i].acquire("held:"+strconv.Itoa(k), maxLease, 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	after, err := s.usage(ctx)
	b.report.add("Redis memory a held lock", "%.0f bytes", (after.memory-before.memory)/float64(n))
	return err
}
