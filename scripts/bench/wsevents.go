package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// wsEvents has very many subscribers of one prefix: first a few events a second, then as many as there can be.
func wsEvents(ctx context.Context, b *bench) error {
	_, nodes, err := b.rig.pair(ctx, 1)
	if err != nil {
		return err
	}
	crowd := newCrowd(ctx)
	defer crowd.hangUp()
	n := b.affordable(b.work.subscribers)
	begin := time.Now()
	sockets, err := crowd.each(n, addrs(nodes), func(s *socket) error {
		return s.call(`{"type":"subscribe","id":"s","locks":["`+eventPrefix+`*"],"events":["granted"]}`, "subscribed")
	})
	if err != nil {
		return err
	}
	b.report.add(fmt.Sprintf("time until all %d had subscribed", n), "%.1f s", time.Since(begin).Seconds())
	e := &eventRun{bench: b, node: nodes[0], n: n, l: listen(sockets)}
	if err := e.paced(ctx); err != nil {
		return err
	}
	if err := e.full(ctx); err != nil {
		return err
	}
	cut := e.l.cut.Load()
	page, err := metricsOf(ctx, e.node.addr)
	if err != nil {
		return err
	}
	b.report.add("lockd resident memory at most", "%.0f MiB", residentPeak(e.node.pid())/(1<<20))
	b.report.aim("cut off as too slow", page["distributed_locks_ws_slow_closed_total"], "%.0f", "0", cut == 0)
	b.report.aim("told of a gap", float64(e.l.gaps.Load()), "%.0f", "0", e.l.gaps.Load() == 0)
	crowd.hangUp()
	e.l.wg.Wait()
	return nil
}

// eventRun is events on their way to n listeners.
type eventRun struct {
	*bench
	node *process
	n    int
	l    *listeners
}

// paced asks for locks at a steady rate, and notes how long after the asking each listener knows of the grant.
func (e *eventRun) paced(ctx context.Context) error {
	e.l.timing.Store(true)
	told, lockd, own := e.l.told.Load(), cpuTime(e.node.pid()), cpuTime(os.Getpid())
	events := int(e.work.eventFor.Seconds() * float64(e.work.eventRate))
	begin := time.Now()
	p := &pacedPlayer{ctx: ctx, begin: begin, every: time.Second / time.Duration(e.work.eventRate), events: int64(events)}
	if err := e.publish(ctx, pacedClients, p); err != nil {
		return err
	}
	took := time.Since(begin)
	if err := e.arrived(ctx, told+int64(events*e.n)); err != nil {
		return err
	}
	lockd, own = cpuTime(e.node.pid())-lockd, cpuTime(os.Getpid())-own
	all := e.l.taken()
	e.report.add(fmt.Sprintf("%d events a second: asked to told, p50 / p99", e.work.eventRate), "%.1f / %.1f ms",
		millis(percentile(all, 50)), millis(percentile(all, 99)))
	e.report.add("deliveries a second meanwhile", "%.0f", float64(len(all))/took.Seconds())
	e.report.add("CPU of lockd / of the clients, of one core", "%.0f / %.0f %%", 100*lockd.Seconds()/took.Seconds(), 100*own.Seconds()/took.Seconds())
	return nil
}

// full keeps so many events on their way, and counts what arrives. Another goes out whenever as many deliveries have
// arrived as one event has.
func (e *eventRun) full(ctx context.Context) error {
	e.l.timing.Store(false)
	window := e.work.eventWindow
	going, stop := context.WithCancel(ctx)
	defer stop()
	p := &fullPlayer{ctx: going, turn: e.l.turn}
	for len(e.l.turn) > 0 {
		<-e.l.turn
	}
	for range window {
		e.l.turn <- struct{}{}
	}
	before, done := e.l.told.Load(), make(chan error, 1)
	go func() { done <- e.publish(ctx, window, p) }()
	pause(ctx, e.work.eventFor/4)
	e.l.timing.Store(true)
	told, lockd, begin := e.l.told.Load(), cpuTime(e.node.pid()), time.Now()
	pause(ctx, e.work.eventFor)
	told, lockd = e.l.told.Load()-told, cpuTime(e.node.pid())-lockd
	took := time.Since(begin)
	stop()
	if err := <-done; err != nil {
		return err
	}
	if err := e.arrived(ctx, int64(e.n)*p.asked.Load()+before); err != nil {
		return err
	}
	all := e.l.taken()
	e.report.add("highest rate: deliveries a second", "%.0f", float64(told)/took.Seconds())
	e.report.add(fmt.Sprintf("asked to told with %d events on their way, p50 / p99", window), "%.0f / %.0f ms", millis(percentile(all, 50)), millis(percentile(all, 99)))
	e.report.add("CPU of lockd a delivery", "%.1f µs", micros(lockd)/float64(max(1, told)))
	return nil
}

// publish has clients take and release locks of eventPrefix, over a connection each.
func (e *eventRun) publish(ctx context.Context, clients int, p player) error {
	crowd := newCrowd(ctx)
	defer crowd.hangUp()
	wires, err := crowd.wires(clients, e.node.addr)
	if err != nil {
		return err
	}
	return playAll(wires, clients, p)
}

// arrived waits until so many events have been told, less those of listeners that are gone.
func (e *eventRun) arrived(ctx context.Context, told int64) error {
	return until(ctx, 30*time.Second, "all events at their listeners", func() bool {
		return e.l.told.Load() >= told || e.l.cut.Load() > 0
	})
}

// pacedClients take turns in keeping the pace: one that still waits for an answer does not slow it down.
const pacedClients = 16

// pacedPlayer takes a lock whenever it is time.
type pacedPlayer struct {
	ctx    context.Context
	begin  time.Time
	every  time.Duration
	events int64
	taken  atomic.Int64
}

func (p *pacedPlayer) next(int) (string, bool) {
	n := p.taken.Add(1)
	if n > p.events {
		return "", false
	}
	pause(p.ctx, time.Until(p.begin.Add(time.Duration(n)*p.every)))
	return eventLock(), p.ctx.Err() == nil
}

func (*pacedPlayer) took(int) error { return nil }

// fullPlayer takes a lock whenever it is its turn.
type fullPlayer struct {
	ctx   context.Context
	turn  chan struct{}
	asked atomic.Int64
}

func (p *fullPlayer) next(int) (string, bool) {
	select {
	case <-p.ctx.Done():
		return "", false
	case <-p.turn:
		p.asked.Add(1)
		return eventLock(), true
	}
}

func (*fullPlayer) took(int) error { return nil }
