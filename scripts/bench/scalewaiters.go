package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// scaleWaiters has more and more requests wait in a few lines over some connections, each number on a Redis of its own:
// first while nothing happens, and then in turns while the lines move as fast as they can.
func scaleWaiters(ctx context.Context, b *bench) error {
	sizes := b.scale.waiters
	what := sizesOf(sizes, "waiting")
	var sides []*side
	standing := make([][]standRound, len(sizes))
	for i, n := range sizes {
		s, err := b.lastingSide(ctx)
		if err != nil {
			return err
		}
		sides = append(sides, s)
		r, err := b.stand(ctx, s, n)
		if err != nil {
			return fmt.Errorf("%d stand: %w", n, err)
		}
		standing[i] = []standRound{r}
	}
	b.standRows(sizes, standing)
	rounds, err := inTurnsOf(sizes, b.scale.turns, func(i int) (*coldRound, error) { return b.move(ctx, sides[i], sizes[i]) })
	if err != nil {
		return err
	}
	move := sized[*coldRound]{b.report, what, 0, rounds}
	move.row("lines move: hand-overs a second", "%.0f", func(r *coldRound) float64 { return r.rate() })
	for _, p := range []struct {
		name    string
		percent int
	}{{"p50", 50}, {"p99", 99}} {
		move.row("lines move: hand-over "+p.name+", ms", "%.2f", func(r *coldRound) float64 { return millis(percentile(r.handovers, p.percent)) })
	}
	move.row("lines move: Redis commands a hand-over", "%.1f", commandsOf)
	move.row("lines move: CPU of Redis a hand-over, µs", "%.0f", func(r *coldRound) float64 { return micros(r.redis) })
	move.row("lines move: CPU of lockd a hand-over, µs", "%.0f", func(r *coldRound) float64 { return micros(r.server) })
	return nil
}

// standRound is what requests cost that wait.
type standRound struct {
	redis, server float64 // bytes each
	idle, news    quietRound
	sweeps        float64
}

func (b *bench) standRows(sizes []int, rounds [][]standRound) {
	many := sized[standRound]{b.report, sizesOf(sizes[1:], "waiting"), 0, rounds[1:]} // of few, it is what their connections take
	many.row("they stand: Redis memory each, bytes", "%.0f", func(r standRound) float64 { return r.redis })
	many.row("they stand: lockd resident memory each, bytes", "%.0f", func(r standRound) float64 { return r.server })
	s := sized[standRound]{b.report, sizesOf(sizes, "waiting"), 0, rounds}
	s.row("they stand: Redis commands a second", "%.0f", func(r standRound) float64 { return r.idle.commands })
	s.plain("they stand: CPU of Redis, % of a core", "%.1f", func(r standRound) float64 { return r.idle.redis })
	s.plain("they stand: CPU of lockd, % of a core", "%.1f", func(r standRound) float64 { return r.idle.server })
	name := "and another comes twice a second: "
	s.plain(name+"sweeps for deadlocks a second", "%.2f", func(r standRound) float64 { return r.sweeps })
	s.plain(name+"CPU of Redis, % of a core", "%.1f", func(r standRound) float64 { return r.news.redis })
	s.plain(name+"CPU of lockd, % of a core", "%.1f", func(r standRound) float64 { return r.news.server })
}

// stand has so many wait, looks on while nothing happens, and then while requests come that the sweep for deadlocks
// wants to know more of.
func (b *bench) stand(ctx context.Context, s *side, n int) (r standRound, err error) {
	crowd := newCrowd(ctx)
	defer crowd.hangUp()
	sockets, err := crowd.sockets(b.scale.sockets+1, s.node.addr)
	if err != nil {
		return r, err
	}
	last := sockets[b.scale.sockets]
	names := locksOf(b.scale.lines)
	if err := last.askAll(names, "holder", 0, "granted"); err != nil {
		return r, err
	}
	before, err := b.size(ctx, s.store, s.node)
	if err == nil {
		err = standAll(sockets[:b.scale.sockets], names, n)
	}
	if err != nil {
		return r, err
	}
	listening := listen(sockets[:b.scale.sockets])
	defer listening.wg.Wait()
	defer crowd.hangUp()
	if err := s.settled(ctx, b.scale.calm); err != nil {
		return r, err
	}
	after, err := b.size(ctx, s.store, s.node)
	if err != nil {
		return r, err
	}
	r.redis, r.server = (after.redis-before.redis)/float64(n), (after.resident-before.resident)/float64(n)
	if r.idle, err = b.quiet(ctx, s.store, []*process{s.node}, nil); err != nil {
		return r, err
	}
	sweeps, err := s.sweeps(ctx)
	if err != nil {
		return r, err
	}
	begin := time.Now()
	r.news, err = b.quiet(ctx, s.store, []*process{s.node}, func(ctx context.Context) error { return last.comeAndGo(ctx, names) })
	if err != nil {
		return r, err
	}
	swept, err := s.sweeps(ctx)
	r.sweeps = (swept - sweeps) / time.Since(begin).Seconds()
	return r, err
}

// standAll has n requests, all of different owners, wait for the locks.
func standAll(sockets []*socket, names []string, n int) error {
	return inParallel(len(sockets), func(i int) error {
		var mine []string
		for k := i; k < n; k += len(sockets) {
			mine = append(mine, names[(i+k/len(sockets))%len(names)])
		}
		round := 0
		for some := range slices.Chunk(mine, len(names)) {
			round++
			if err := sockets[i].askAll(some, fmt.Sprintf("waiter-%d-%d", i, round), lastingLease, "queued"); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *side) sweeps(ctx context.Context) (float64, error) {
	page, err := metricsOf(ctx, s.node.addr)
	return page["distributed_locks_deadlock_sweeps_total"], err
}

// settled returns once all requests have been looked at: when no sweep has been for longer than it takes between two.
func (s *side) settled(ctx context.Context, calm time.Duration) error {
	const most = 90 * time.Second
	last, since := -1.0, time.Now()
	for begin := time.Now(); time.Since(since) < calm; pause(ctx, 500*time.Millisecond) {
		n, err := s.sweeps(ctx)
		if err != nil {
			return err
		}
		if n != last {
			last, since = n, time.Now()
		}
		if time.Since(begin) > most {
			return errors.New("sweeps go on though nothing is new")
		}
	}
	return nil
}

// comeAndGo has a request wait for a moment, twice a second, as long as the context lasts.
func (s *socket) comeAndGo(ctx context.Context, names []string) error {
	for k := 0; ctx.Err() == nil; k++ {
		s.put(opText, fmt.Appendf(nil, `{"type":"acquire","id":"c","lockName":"%s","clientId":"comes-%d","timeout":30,"waitTimeout":0.1}`,
			names[k%len(names)], k))
		for kind := ""; kind != "error"; {
			b, err := s.next()
			if err != nil {
				return err
			}
			if kind = string(frameType(b)); kind == "error" && !bytes.Contains(b, []byte(`"code":"wait_timeout"`)) {
				return fmt.Errorf("%w: %s", errAnswer, b)
			}
		}
		pause(ctx, 400*time.Millisecond)
	}
	return nil
}

// move has all those in the lines take their lock in turn, give it back at once, and go to the end of the line again.
// The hand-overs are counted once every line has gone round.
func (b *bench) move(ctx context.Context, s *side, n int) (*coldRound, error) {
	crowd := newCrowd(ctx)
	defer crowd.hangUp()
	wires, err := crowd.wires(min(n, b.scale.sockets), s.node.addr)
	if err != nil {
		return nil, err
	}
	p := newMoving(b.scale.lines, n, len(wires))
	done := make(chan error, 1)
	go func() {
		done <- playAll(wires, n, p)
		p.stopped.Store(true)
	}()
	err = until(ctx, 2*time.Minute, "every line has gone round", func() bool { return p.stopped.Load() || p.rounds() >= 1 })
	if err != nil {
		crowd.hangUp()
		return nil, errors.Join(err, <-done)
	}
	r, err := measured(ctx, s.store, s.node.pid(), func() (*outcome, error) { return p.count(ctx, b.work.hotFor), nil })
	p.stopped.Store(true)
	if err := errors.Join(err, <-done); err != nil {
		return nil, err
	}
	for i := range p.per {
		r.handovers = append(r.handovers, p.per[i].handovers...)
	}
	slices.Sort(r.handovers)
	return r, nil
}

// moving is lines that move: each is a hot lock.
type moving struct {
	lines   []*hotLoop
	per     []hotClient // by client
	wires   int
	stopped atomic.Bool
}

func newMoving(lines, clients, wires int) *moving {
	p := &moving{per: make([]hotClient, clients), wires: wires}
	for range lines {
		p.lines = append(p.lines, newHot(0))
	}
	return p
}

// line is that of a client; those of one connection stand in different ones.
func (p *moving) line(client int) *hotLoop {
	return p.lines[(client%p.wires+client/p.wires)%len(p.lines)]
}

func (p *moving) next(client int) (string, bool) { return p.line(client).lock, !p.stopped.Load() }
func (p *moving) took(client int) error          { return p.line(client).took(&p.per[client]) }

// rounds is how often the line that is behind the others has gone round.
func (p *moving) rounds() int {
	least := p.lines[0].grants.Load()
	for _, l := range p.lines[1:] {
		least = min(least, l.grants.Load())
	}
	return int(least) / (len(p.per)/len(p.lines) + 1)
}

// count counts the hand-overs of a while.
func (p *moving) count(ctx context.Context, d time.Duration) *outcome {
	counting := func(on bool) (grants int) {
		for _, l := range p.lines {
			l.counting.Store(on)
			grants += int(l.grants.Load())
		}
		return grants
	}
	begin, before := time.Now(), counting(true)
	pause(ctx, d)
	return &outcome{cycles: counting(false) - before, took: time.Since(begin)}
}
