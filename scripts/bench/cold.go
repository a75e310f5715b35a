package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// coldRound is one round of cold cycles on one server.
type coldRound struct {
	*outcome
	server, redis time.Duration // CPU time a cycle
	commands      float64       // of Redis, a cycle
}

// round runs cold cycles on new connections to a server.
func (b *bench) round(ctx context.Context, s *store, p *process, cycles int) (*coldRound, error) {
	conns, hangUp, err := dialAll(ctx, b.work.clients, p.addr)
	if err != nil {
		return nil, err
	}
	defer hangUp()
	return measured(ctx, s, p.pid(), func() (*outcome, error) { return ownLocks(conns, cycles) })
}

// measured runs cycles and notes what they take of a server and of Redis.
func measured(ctx context.Context, s *store, server int, run func() (*outcome, error)) (*coldRound, error) {
	before, err := s.usage(ctx)
	if err != nil {
		return nil, err
	}
	cpu := cpuTime(server)
	o, err := run()
	if err != nil {
		return nil, err
	}
	cpu = cpuTime(server) - cpu
	after, err := s.usage(ctx)
	used := after.since(before)
	n := max(1, o.cycles)
	return &coldRound{outcome: o, server: perCycle(cpu, n), redis: perCycle(used.cpu, n), commands: used.commands / float64(n)}, err
}

func perCycle(d time.Duration, cycles int) time.Duration { return d / time.Duration(cycles) }

// warm lets a server and its Redis grow to what the work takes of them.
func (b *bench) warm(ctx context.Context, s *store, p *process) error {
	_, err := b.round(ctx, s, p, b.work.coldCycles/4)
	return err
}

func cold(ctx context.Context, b *bench) error {
	s, nodes, err := b.rig.pair(ctx, 1)
	if err != nil {
		return err
	}
	if err := b.warm(ctx, s, nodes[0]); err != nil {
		return err
	}
	var rounds []*coldRound
	for range min(3, b.work.pairs) {
		r, err := b.round(ctx, s, nodes[0], b.work.coldCycles)
		if err != nil {
			return err
		}
		rounds = append(rounds, r)
	}
	of := func(f func(*coldRound) float64) float64 { return median(each(rounds, f)) }
	b.report.add("cycles a second", "%.0f", of(func(r *coldRound) float64 { return r.rate() }))
	b.report.add("acquire p50 / p99", "%.2f / %.2f ms", of(func(r *coldRound) float64 { return millis(percentile(r.acquires, 50)) }),
		of(func(r *coldRound) float64 { return millis(percentile(r.acquires, 99)) }))
	b.report.add("CPU of lockd a cycle", "%.0f µs", of(func(r *coldRound) float64 { return micros(r.server) }))
	b.report.add("CPU of Redis a cycle", "%.0f µs", of(func(r *coldRound) float64 { return micros(r.redis) }))
	b.report.add("Redis commands a cycle", "%.1f", of(func(r *coldRound) float64 { return r.commands }))
	return nil
}

// beside runs lockd and the bare server in turns. The order changes from pair to pair, as whoever comes second finds
// the machine as the first one left it.
func beside(ctx context.Context, b *bench) error {
	s, nodes, err := b.rig.pair(ctx, 1)
	if err != nil {
		return err
	}
	bare, err := b.rig.bare(ctx, s)
	if err != nil {
		return err
	}
	servers := [2]*process{nodes[0], bare}
	for _, p := range servers {
		if err := b.warm(ctx, s, p); err != nil {
			return err
		}
	}
	var rounds [2][]*coldRound
	for i := range b.work.pairs {
		for j := range servers {
			who := (i + j) % 2
			r, err := b.round(ctx, s, servers[who], b.work.coldCycles)
			if err != nil {
				return errors.Join(fmt.Errorf("%s, pair %d", [2]string{"lockd", "bare"}[who], i+1), err)
			}
			rounds[who] = append(rounds[who], r)
		}
		_, _ = fmt.Fprintf(b.log, "  pair %d: lockd %.0f, bare %.0f cycles/s\n", i+1, rounds[0][i].rate(), rounds[1][i].rate())
	}
	b.compare(rounds[0], rounds[1])
	return nil
}

func (b *bench) compare(lockd, bare []*coldRound) {
	ratios := func(f func(*coldRound) float64) (all []float64) {
		for i := range lockd {
			all = append(all, f(lockd[i])/f(bare[i]))
		}
		return all
	}
	rate := ratios(func(r *coldRound) float64 { return r.rate() })
	b.report.add("bare: cycles a second", "%.0f", median(each(bare, func(r *coldRound) float64 { return r.rate() })))
	b.report.add("bare: CPU a cycle", "%.0f µs", median(each(bare, func(r *coldRound) float64 { return micros(r.server) })))
	b.report.add("lockd / bare, each pair", "%.2f", rate)
	b.report.aim("lockd / bare, median", median(rate), "%.2f", "≥ 0.90", median(rate) >= 0.9)
	b.report.add("lockd / bare, CPU a cycle", "%.2f", median(ratios(func(r *coldRound) float64 { return float64(r.server) })))
	b.report.add("lockd / bare, acquire p50", "%.2f", median(ratios(func(r *coldRound) float64 { return float64(percentile(r.acquires, 50)) })))
}
