package main

import (
	"context"
	"fmt"
)

// hotRound is one round of a hot lock.
type hotRound struct {
	*outcome
	trips, commands float64 // of Redis, a cycle
	redis           float64 // CPU time a cycle, in µs
}

// hotRound has clients, spread over the nodes, fight for one lock.
func (b *bench) hotRound(ctx context.Context, s *store, nodes []*process, clients int) (*hotRound, error) {
	crowd := newCrowd(ctx)
	defer crowd.hangUp()
	first, hangUpFirst, err := dialAll(ctx, 1, nodes[0].addr)
	if err != nil {
		return nil, err
	}
	defer hangUpFirst()
	loop, err := startHot(ctx, s, crowd, clients, addrs(nodes), first[0])
	if err != nil {
		return nil, err
	}
	var before, after usage
	o, err := loop.count(ctx, b.work.hotFor,
		func() (err error) { before, err = s.usage(ctx); return err },
		func() (err error) { after, err = s.usage(ctx); return err })
	if err != nil {
		return nil, err
	}
	used, n := after.since(before), float64(o.cycles)
	return &hotRound{o, used.trips / n, used.commands / n, micros(used.cpu) / n}, nil
}

func addrs(nodes []*process) (all []string) {
	for _, n := range nodes {
		all = append(all, n.addr)
	}
	return all
}

func hot(ctx context.Context, b *bench) error {
	s, nodes, err := b.rig.pair(ctx, 2)
	if err != nil {
		return err
	}
	for n := range nodes {
		if err := hotOn(ctx, b, s, nodes[:n+1]); err != nil {
			return err
		}
	}
	return hotCrowds(ctx, b, s, nodes)
}

func hotOn(ctx context.Context, b *bench, s *store, nodes []*process) error {
	var rounds []*hotRound
	for range b.work.hotRounds {
		r, err := b.hotRound(ctx, s, nodes, b.work.clients)
		if err != nil {
			return err
		}
		rounds = append(rounds, r)
	}
	of := func(f func(*hotRound) float64) float64 { return median(each(rounds, f)) }
	name := nodeWords[len(nodes)-1]
	b.report.add(name+": cycles a second", "%.0f", of(func(r *hotRound) float64 { return r.rate() }))
	b.report.add(name+": hand-over p50 / p99", "%.2f / %.2f ms", of(func(r *hotRound) float64 { return millis(percentile(r.handovers, 50)) }),
		of(func(r *hotRound) float64 { return millis(percentile(r.handovers, 99)) }))
	fair := of(func(r *hotRound) float64 { return jain(r.counts) })
	b.report.aim(name+": Jain index", fair, "%.4f", "≥ 0.99", fair >= 0.99)
	return nil
}

// hotCrowds shows that a cycle does not cost more the more wait. On two nodes a cycle that hands the lock to the other
// node takes a third round trip, for the claim, and their share varies; so it is the commands a trip that must not grow.
func hotCrowds(ctx context.Context, b *bench, s *store, nodes []*process) error {
	for n := range nodes {
		least := 0.0
		for i, crowd := range b.work.crowds {
			r, err := b.hotRound(ctx, s, nodes[:n+1], crowd)
			if err != nil {
				return err
			}
			each := r.commands / r.trips
			if i == 0 {
				least = each
			}
			name := fmt.Sprintf("%s, %d clients: Redis ", nodeWords[n], crowd)
			b.report.aim(name+"round trips a cycle", r.trips, "%.2f", "≤ 3", r.trips <= 3.01)
			b.report.add(name+"commands a cycle", "%.1f", r.commands)
			b.report.aim(name+"commands a round trip", each, "%.1f", "as for the first", each <= 1.05*least)
		}
	}
	return nil
}

var nodeWords = []string{"one node", "two nodes"}
