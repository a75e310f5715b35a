package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// scaleWork is how large each thing is made, and how often all sizes have their turn. Each figure stands beside that of
// the first size.
type scaleWork struct {
	turns int
	sit   time.Duration // how long it is looked at what nothing costs
	calm  time.Duration // after which no sweep for deadlocks is to come: longer than between two

	nodes []int

	locks  []int // held; the first is none
	cycles int   // beside them, in a turn
	reads  int   // of each kind
	ends   int   // leases that end while so many are held
	lease  int   // of these, in seconds: longer than it takes to get them all

	waiters        []int
	lines, sockets int // that they share
}

var (
	fullScale = scaleWork{
		turns: 5, sit: 10 * time.Second, calm: 5 * time.Second,
		nodes: []int{1, 2, 4},
		locks: []int{0, 100_000, 1_000_000}, cycles: 10_000, reads: 5, ends: 20_000, lease: 8,
		waiters: []int{50, 1_000, 10_000}, lines: 10, sockets: 50,
	}
	quickScale = scaleWork{
		turns: 1, sit: 1500 * time.Millisecond, calm: 100 * time.Millisecond,
		nodes: []int{1, 2},
		locks: []int{0, 500}, cycles: 300, reads: 1, ends: 100, lease: 1,
		waiters: []int{20, 60}, lines: 4, sockets: 5,
	}
)

// scale shows what grows with the nodes, with the locks held and with the requests that wait, and what does not.
func scale(ctx context.Context, b *bench) error {
	for _, part := range []scenario{
		{"scale nodes", "more nodes on one Redis", scaleNodes},
		{"scale locks", "more locks held", scaleLocks},
		{"scale waiters", "more requests waiting", scaleWaiters},
	} {
		if err := b.measure(ctx, part); err != nil {
			return fmt.Errorf("%s: %w", part.about, err)
		}
	}
	return nil
}

// inTurnsOf runs each of some sizes as often, in another order each time, and returns what came of it, by size.
func inTurnsOf[R any](sizes []int, turns int, run func(i int) (R, error)) ([][]R, error) {
	rounds := make([][]R, len(sizes))
	for t := range turns {
		for j := range sizes {
			i := (t + j) % len(sizes)
			r, err := run(i)
			if err != nil {
				return nil, fmt.Errorf("at %d: %w", sizes[i], err)
			}
			rounds[i] = append(rounds[i], r)
		}
	}
	return rounds, nil
}

// sized are the rounds of all sizes, of which base is the one that the others stand beside.
type sized[R any] struct {
	*report
	what   string // the sizes, for people
	base   int
	rounds [][]R
}

// plain adds a figure for each size: the median of its rounds.
func (s sized[R]) plain(figure, format string, of func(R) float64) {
	s.add(figure+", "+s.what, "%s", strings.Join(s.medians(format, of), " / "))
}

func (s sized[R]) medians(format string, of func(R) float64) (all []string) {
	for _, rounds := range s.rounds {
		all = append(all, fmt.Sprintf(format, median(each(rounds, of))))
	}
	return all
}

// row adds besides the median of a figure's ratios to the base, turn by turn.
func (s sized[R]) row(figure, format string, of func(R) float64) {
	var ratios []string
	for i, rounds := range s.rounds {
		var all []float64
		for t, r := range rounds {
			if base := of(s.rounds[s.base][t]); base > 0 { // with little work it may be too little to be measured
				all = append(all, of(r)/base)
			}
		}
		switch {
		case i == s.base:
			ratios = append(ratios, "1")
		case i < s.base || len(all) == 0:
			ratios = append(ratios, "–")
		default:
			ratios = append(ratios, fmt.Sprintf("%.2f", median(all)))
		}
	}
	s.add(figure+", "+s.what, "%s (%s)", strings.Join(s.medians(format, of), " / "), strings.Join(ratios, " / "))
}

// sizesOf are sizes for people: 0 / 100,000 / 1,000,000.
func sizesOf(sizes []int, what string) string {
	var words []string
	for _, n := range sizes {
		words = append(words, thousands(n))
	}
	return strings.Join(words, " / ") + " " + what
}

func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// quietRound is what goes on while nothing does.
type quietRound struct {
	commands      float64 // of Redis, a second
	redis, server float64 // percent of a core
	resident      float64 // bytes of the first node
}

// quiet looks on for a while, during which something may be done.
func (b *bench) quiet(ctx context.Context, s *store, nodes []*process, during func(ctx context.Context) error) (q quietRound, err error) {
	before, err := s.usage(ctx)
	if err != nil {
		return q, err
	}
	cpu, begin := cpuOfAll(nodes), time.Now()
	sitting, over := context.WithTimeout(ctx, b.scale.sit)
	defer over()
	if during != nil {
		err = during(sitting)
	}
	<-sitting.Done()
	after, e := s.usage(ctx)
	used, took := after.since(before), time.Since(begin).Seconds()
	return quietRound{
		commands: (used.commands - 1) / took,
		redis:    100 * used.cpu.Seconds() / took,
		server:   100 * (cpuOfAll(nodes) - cpu).Seconds() / took,
		resident: resident(nodes[0].pid()),
	}, errors.Join(err, e)
}

func cpuOfAll(nodes []*process) (sum time.Duration) {
	for _, p := range nodes {
		sum += cpuTime(p.pid())
	}
	return sum
}

func (r *coldRound) at(percent int) float64 { return millis(percentile(r.cyclesTook, percent)) }

func (q quietRound) commandsASecond() float64 { return q.commands }
func (q quietRound) redisCPU() float64        { return q.redis }
func (q quietRound) serverCPU() float64       { return q.server }
func (q quietRound) mebibytes() float64       { return q.resident / (1 << 20) }
