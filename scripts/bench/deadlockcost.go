package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// side is a node with a Redis of its own, that looks for deadlocks or does not.
type side struct {
	*store
	node *process
	held []string // locks to queue for
}

// sideNames are the sides in their order. Two of them are the same: what these differ by is the machine's doing.
var sideNames = [3]string{"on", "off", "off again"}

// costCase is what the sides do in turns, a number of cycles each time.
type costCase struct {
	name   string
	cycles int
	round  func(s *side, cycles int) (*coldRound, error)
	rows   func(name string, ways []*way)
}

// deadlockCost does the same with detection and without.
func deadlockCost(ctx context.Context, b *bench) error {
	sides, err := b.sides(ctx)
	if err != nil {
		return err
	}
	w := &b.deadlocks
	hot := func(clients int) costCase {
		return costCase{fmt.Sprintf("one lock, %d clients", clients), 0,
			func(s *side, _ int) (*coldRound, error) { return b.hotCost(ctx, s, clients) }, b.cycleRows}
	}
	err = b.compareSides(sides,
		costCase{"nobody waits, one WebSocket", w.cycles,
			func(s *side, n int) (*coldRound, error) { return b.wsRound(ctx, s.store, s.node, 1, n) }, b.freeRows},
		costCase{"nobody waits, REST", w.cycles,
			func(s *side, n int) (*coldRound, error) { return b.round(ctx, s.store, s.node, n) }, b.freeRows},
		hot(b.work.clients), hot(w.hotCrowd))
	if err != nil {
		return err
	}
	standing := newCrowd(ctx)
	defer standing.hangUp()
	for _, s := range sides {
		if err := s.fill(standing, w.locks, w.perLock); err != nil {
			return err
		}
	}
	return b.compareSides(sides,
		costCase{fmt.Sprintf("%d a second queue", w.rate), w.paced,
			func(s *side, n int) (*coldRound, error) { return b.queueing(ctx, s, n, w.rate, n) }, b.queueRows},
		costCase{"as many queue as can", w.flat,
			func(s *side, n int) (*coldRound, error) { return b.queueing(ctx, s, n, 0, w.flatAhead) }, b.queueRows})
}

// sides starts them. Leases and waits may be long there: what stands must stand to the end.
func (b *bench) sides(ctx context.Context) (all []*side, err error) {
	for i := range sideNames {
		s, err := b.rig.store(ctx)
		if err != nil {
			return nil, err
		}
		node, err := b.rig.node(ctx, s, "MAX_TIMEOUT=7200", "MAX_WAIT_TIMEOUT=7200", "DEADLOCK_DETECTION="+strconv.FormatBool(i == 0))
		if err != nil {
			return nil, err
		}
		all = append(all, &side{store: s, node: node})
	}
	return all, nil
}

func (b *bench) compareSides(sides []*side, cases ...costCase) error {
	for _, c := range cases {
		begin := time.Now()
		var ways []*way
		for i, s := range sides {
			ways = append(ways, &way{name: sideNames[i], round: func(n int) (*coldRound, error) { return c.round(s, n) }})
		}
		if err := inTurns(ways, b.deadlocks.turns, c.cycles); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		c.rows(c.name, ways)
		_, _ = fmt.Fprintf(b.log, "  %s: %.1f s\n", c.name, time.Since(begin).Seconds())
	}
	return nil
}

// hotCost has clients with a connection each fight for one lock.
func (b *bench) hotCost(ctx context.Context, s *side, clients int) (*coldRound, error) {
	crowd := newCrowd(ctx)
	defer crowd.hangUp()
	wires, err := crowd.wires(clients, s.node.addr)
	if err != nil {
		return nil, err
	}
	h := newHot(clients)
	go func() {
		err := playAll(wires, clients, hotPlayer{h})
		h.stopped.Store(true)
		h.done <- err
	}()
	var before, after usage
	var cpu time.Duration
	o, err := h.count(ctx, b.work.hotFor,
		func() (err error) { before, err = s.usage(ctx); cpu = cpuTime(s.node.pid()); return err },
		func() (err error) { cpu = cpuTime(s.node.pid()) - cpu; after, err = s.usage(ctx); return err })
	if err != nil {
		return nil, err
	}
	used, n := after.since(before), max(1, o.cycles)
	return &coldRound{outcome: o, server: cpu / time.Duration(n), redis: used.cpu / time.Duration(n), commands: used.commands / float64(n)}, nil
}

func cpuOf(r *coldRound) float64      { return float64(r.server + r.redis) }
func commandsOf(r *coldRound) float64 { return r.commands }

func (b *bench) cycleRows(name string, ways []*way) {
	rate := func(r *coldRound) float64 { return r.rate() }
	b.report.add(name+": cycles a second, CPU of lockd + Redis a cycle, off", "%.0f, %s", ways[1].median(rate), ways[1].cpu())
	b.ratioRow(name+": cycles a second", ways, rate)
	b.ratioRow(name+": CPU a cycle", ways, cpuOf)
	b.ratioRow(name+": Redis commands a cycle", ways, commandsOf)
}

// freeRows are those of locks that nobody waits for, which should not cost anything more. Commands can be counted.
func (b *bench) freeRows(name string, ways []*way) {
	b.cycleRows(name, ways)
	b.lessThan(name+": detection adds to Redis commands", median(ways[0].ratios(ways[1], commandsOf)), 2)
}

// queueRows are those of requests that queue.
func (b *bench) queueRows(name string, ways []*way) {
	rate := func(r *coldRound) float64 { return r.rate() }
	at := func(percent int) func(*coldRound) float64 {
		return func(r *coldRound) float64 { return float64(percentile(r.acquires, percent)) }
	}
	for _, w := range ways[:2] {
		b.report.add(name+": a second, CPU of lockd + Redis each, "+w.name, "%.0f, %s", w.median(rate), w.cpu())
		b.report.add("acquire to queued p50 / p99", "%.2f / %.2f ms", w.median(at(50))/1e6, w.median(at(99))/1e6)
	}
	each := b.ratioRow(name+": time each", ways, func(r *coldRound) float64 { return 1 / r.rate() })
	p50 := b.ratioRow(name+": acquire to queued p50", ways, at(50))
	b.ratioRow(name+": acquire to queued p99", ways, at(99))
	b.ratioRow(name+": Redis commands each", ways, commandsOf)
	b.ratioRow(name+": CPU each, lockd", ways, func(r *coldRound) float64 { return float64(r.server) })
	b.ratioRow(name+": CPU each, Redis", ways, func(r *coldRound) float64 { return float64(r.redis) })
	cpu := b.ratioRow(name+": CPU each", ways, cpuOf)
	b.lessThan(name+": detection adds to acquire to queued p50", p50, 5)
	b.lessThan(name+": detection adds to the time each", each, 5)
	b.lessThan(name+": detection adds to CPU", cpu, 5)
}

// lessThan is the goal that detection adds at most so many percent.
func (b *bench) lessThan(figure string, ratio, most float64) {
	added := 100 * (ratio - 1)
	b.report.aim(figure, added, "%.1f %%", fmt.Sprintf("≤ %g", most), added <= most)
}

func (w *way) cpu() string {
	return fmt.Sprintf("%.0f + %.0f µs", w.median(func(r *coldRound) float64 { return micros(r.server) }),
		w.median(func(r *coldRound) float64 { return micros(r.redis) }))
}

// ratioRow adds a figure's ratios, turn by turn, of the side with detection to one without, and of those two without. It
// returns the first one's median.
func (b *bench) ratioRow(figure string, ways []*way, f func(*coldRound) float64) float64 {
	on, same := ways[0].ratios(ways[1], f), ways[2].ratios(ways[1], f)
	b.report.add(figure+", on / off (off / off)", "%.3f, %.2f to %.2f (%.3f, %.2f to %.2f)", median(on), slices.Min(on), slices.Max(on),
		median(same), slices.Min(same), slices.Max(same))
	return median(on)
}

func (w *way) ratios(other *way, f func(*coldRound) float64) []float64 {
	all := make([]float64, len(w.rounds))
	for i := range w.rounds {
		// With little work there may be less CPU time than can be measured.
		if base := f(other.rounds[i]); base > 0 {
			all[i] = f(w.rounds[i]) / base
		}
	}
	return all
}
