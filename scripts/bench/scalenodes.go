package main

import "context"

// scaleNodes has one Redis serve more and more nodes. Clients are the same in number, whatever the nodes. All nodes
// share the machine with Redis and the clients: more of them make nothing faster here, and show what a fleet costs.
func scaleNodes(ctx context.Context, b *bench) error {
	sizes := b.scale.nodes
	s, err := b.rig.store(ctx)
	if err != nil {
		return err
	}
	var nodes []*process
	idle := sized[quietRound]{b.report, sizesOf(sizes, "nodes"), 0, nil}
	for _, n := range sizes {
		more, err := b.rig.nodes(ctx, s, n-len(nodes))
		if err != nil {
			return err
		}
		for _, p := range more {
			if err := b.warm(ctx, s, p); err != nil {
				return err
			}
		}
		nodes = append(nodes, more...)
		q, err := b.quiet(ctx, s, nodes, nil)
		if err != nil {
			return err
		}
		idle.rounds = append(idle.rounds, []quietRound{q})
	}
	idle.row("idle: Redis commands a second", "%.0f", quietRound.commandsASecond)
	idle.plain("idle: CPU of Redis, % of a core", "%.1f", quietRound.redisCPU)
	idle.plain("idle: CPU of all lockd, % of a core", "%.1f", quietRound.serverCPU)
	idle.plain("idle: resident memory of a node, MiB", "%.0f", quietRound.mebibytes)
	if err := b.hotNodes(ctx, s, nodes); err != nil {
		return err
	}
	if err := b.coldNodes(ctx, s, nodes); err != nil {
		return err
	}
	b.report.add("resident memory after the load, first / last node, MiB", "%.0f / %.0f", resident(nodes[0].pid())/(1<<20),
		resident(nodes[len(nodes)-1].pid())/(1<<20))
	return nil
}

func (b *bench) hotNodes(ctx context.Context, s *store, nodes []*process) error {
	rounds, err := inTurnsOf(b.scale.nodes, b.scale.turns, func(i int) (*hotRound, error) {
		return b.hotRound(ctx, s, nodes[:b.scale.nodes[i]], b.work.clients)
	})
	if err != nil {
		return err
	}
	hot := sized[*hotRound]{b.report, sizesOf(b.scale.nodes, "nodes"), 0, rounds}
	hot.row("one lock: hand-overs a second", "%.0f", func(r *hotRound) float64 { return r.rate() })
	for _, p := range []struct {
		name    string
		percent int
	}{{"p50", 50}, {"p99", 99}} {
		hot.row("one lock: hand-over "+p.name+", ms", "%.2f", func(r *hotRound) float64 { return millis(percentile(r.handovers, p.percent)) })
	}
	hot.row("one lock: Redis round trips a hand-over", "%.2f", func(r *hotRound) float64 { return r.trips })
	hot.row("one lock: Redis commands a hand-over", "%.1f", func(r *hotRound) float64 { return r.commands })
	hot.row("one lock: CPU of Redis a hand-over, µs", "%.0f", func(r *hotRound) float64 { return r.redis })
	hot.plain("one lock: Jain index", "%.4f", func(r *hotRound) float64 { return jain(r.counts) })
	return nil
}

func (b *bench) coldNodes(ctx context.Context, s *store, nodes []*process) error {
	rounds, err := inTurnsOf(b.scale.nodes, b.scale.turns, func(i int) (*coldRound, error) {
		return b.coldOver(ctx, s, nodes[:b.scale.nodes[i]])
	})
	if err != nil {
		return err
	}
	cold := sized[*coldRound]{b.report, sizesOf(b.scale.nodes, "nodes"), 0, rounds}
	cold.row("own locks: cycles a second", "%.0f", func(r *coldRound) float64 { return r.rate() })
	cold.row("own locks: cycle p50, ms", "%.2f", func(r *coldRound) float64 { return r.at(50) })
	cold.row("own locks: cycle p99, ms", "%.2f", func(r *coldRound) float64 { return r.at(99) })
	cold.row("own locks: Redis commands a cycle", "%.1f", commandsOf)
	cold.row("own locks: CPU of Redis a cycle, µs", "%.0f", func(r *coldRound) float64 { return micros(r.redis) })
	cold.row("own locks: CPU of all lockd a cycle, µs", "%.0f", func(r *coldRound) float64 { return micros(r.server) })
	return nil
}

// coldOver runs cold cycles on connections spread over the nodes.
func (b *bench) coldOver(ctx context.Context, s *store, nodes []*process) (*coldRound, error) {
	conns, hangUp, err := dialAll(ctx, b.work.clients, addrs(nodes)...)
	if err != nil {
		return nil, err
	}
	defer hangUp()
	cpu := cpuOfAll(nodes)
	r, err := measured(ctx, s, 0, func() (*outcome, error) { return ownLocks(conns, b.work.coldCycles) })
	if err != nil {
		return nil, err
	}
	r.server = perCycle(cpuOfAll(nodes)-cpu, r.cycles)
	return r, nil
}
