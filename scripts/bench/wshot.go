package main

import (
	"context"
	"fmt"
	"time"
)

// wsHot has clients fight for one lock, over one connection and over one each, in turns.
func wsHot(ctx context.Context, b *bench) error {
	_, nodes, err := b.rig.pair(ctx, 1)
	if err != nil {
		return err
	}
	conns := []int{1, b.work.clients}
	rounds := make([][]*wsHotRound, len(conns))
	for range b.work.hotRounds {
		for i, n := range conns {
			r, err := b.wsHotRound(ctx, nodes[0], n)
			if err != nil {
				return err
			}
			rounds[i] = append(rounds[i], r)
		}
	}
	for i, name := range []string{"one connection", fmt.Sprintf("%d connections", b.work.clients)} {
		of := func(f func(*wsHotRound) float64) float64 { return median(each(rounds[i], f)) }
		b.report.add(name+": cycles a second", "%.0f", of(func(r *wsHotRound) float64 { return r.rate() }))
		b.report.add(name+": hand-over p50 / p99", "%.2f / %.2f ms", of(func(r *wsHotRound) float64 { return millis(percentile(r.handovers, 50)) }),
			of(func(r *wsHotRound) float64 { return millis(percentile(r.handovers, 99)) }))
		b.report.add(name+": CPU of lockd a cycle", "%.0f µs", of(func(r *wsHotRound) float64 { return micros(r.server) }))
		fair := of(func(r *wsHotRound) float64 { return jain(r.counts) })
		b.report.aim(name+": Jain index", fair, "%.4f", "≥ 0.99", fair >= 0.99)
	}
	return nil
}

// wsHotRound is a round of a hot lock, and lockd's CPU time a cycle.
type wsHotRound struct {
	*outcome
	server time.Duration
}

func (b *bench) wsHotRound(ctx context.Context, p *process, conns int) (*wsHotRound, error) {
	crowd := newCrowd(ctx)
	defer crowd.hangUp()
	wires, err := crowd.wires(conns, p.addr)
	if err != nil {
		return nil, err
	}
	h := newHot(b.work.clients)
	go func() {
		err := playAll(wires, b.work.clients, hotPlayer{h})
		h.stopped.Store(true)
		h.done <- err
	}()
	var before, after time.Duration
	o, err := h.count(ctx, b.work.hotFor,
		func() error { before = cpuTime(p.pid()); return nil },
		func() error { after = cpuTime(p.pid()); return nil })
	if err != nil {
		return nil, err
	}
	return &wsHotRound{o, (after - before) / time.Duration(max(1, o.cycles))}, nil
}

// hotPlayer takes the hot lock again and again.
type hotPlayer struct{ *hotLoop }

func (p hotPlayer) next(int) (string, bool) { return p.lock, !p.stopped.Load() }
func (p hotPlayer) took(client int) error   { return p.hotLoop.took(&p.per[client]) }
