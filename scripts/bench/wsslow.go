package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// wsSlow runs cold cycles in turns on three nodes, each with a Redis of its own: one whose events nobody wants, one with
// a subscriber to everything, and one with subscribers to everything that never read. As one of these is soon cut off,
// another comes every now and then.
func wsSlow(ctx context.Context, b *bench) error {
	never := &neverReaders{}
	kinds := []struct {
		name      string
		subscribe func(ctx context.Context, c *crowd, addr string) (stop func() error, err error)
	}{{"no subscriber", nobody}, {"one that reads", oneReader}, {"ones that never read", never.subscribe}}
	ways, nodes := make([]*way, len(kinds)), make([]*process, len(kinds))
	for i, k := range kinds {
		s, n, err := b.rig.pair(ctx, 1)
		if err != nil {
			return err
		}
		nodes[i] = n[0]
		ways[i] = &way{name: k.name, round: func(cycles int) (*coldRound, error) {
			crowd := newCrowd(ctx)
			defer crowd.hangUp()
			stop, err := k.subscribe(ctx, crowd, n[0].addr)
			if err != nil {
				return nil, err
			}
			r, err := b.wsRound(ctx, s, n[0], b.work.clients, cycles)
			return r, errors.Join(err, stop())
		}}
	}
	if err := inTurns(ways, b.work.wsRounds, b.work.slowCycles); err != nil {
		return err
	}
	b.wsSlowRows(ways, nodes)
	page, err := metricsOf(ctx, nodes[2].addr)
	b.report.add("cut off of those that never read", "%.0f of %d", page["distributed_locks_ws_slow_closed_total"], never.came.Load())
	return err
}

func (b *bench) wsSlowRows(ways []*way, nodes []*process) {
	for i, w := range ways {
		b.report.add(w.name+": cycles a second", "%.0f", w.median(func(r *coldRound) float64 { return r.rate() }))
		b.report.add(w.name+": acquire p50 / p99", "%.2f / %.2f ms", w.median(func(r *coldRound) float64 { return millis(percentile(r.acquires, 50)) }),
			w.median(func(r *coldRound) float64 { return millis(percentile(r.acquires, 99)) }))
		b.report.add(w.name+": lockd resident at the end / at most", "%.0f / %.0f MiB", resident(nodes[i].pid())/(1<<20), residentPeak(nodes[i].pid())/(1<<20))
	}
	slow := ways[2]
	for _, w := range ways[:2] {
		b.report.add("acquire p99, "+slow.name+" / "+w.name, "%.2f",
			slow.beside(w, func(r *coldRound) float64 { return float64(percentile(r.acquires, 99)) }))
	}
}

const everything = `{"type":"subscribe","id":"s","locks":["*"]}`

func nobody(context.Context, *crowd, string) (stop func() error, err error) {
	return func() error { return nil }, nil
}

// oneReader reads all that it is told, and looks at next to nothing.
func oneReader(_ context.Context, c *crowd, addr string) (func() error, error) {
	sockets, err := c.sockets(1, addr)
	if err == nil {
		err = sockets[0].call(everything, "subscribed")
	}
	if err != nil {
		return nil, err
	}
	l := listen(sockets)
	return func() error {
		cut := l.cut.Load()
		c.hangUp()
		l.wg.Wait()
		if cut > 0 {
			return errors.New("a subscriber that reads was cut off")
		}
		return nil
	}, nil
}

// slowEvery is how often another subscriber comes that never reads.
const slowEvery = 200 * time.Millisecond

// neverReaders are subscribers that never read.
type neverReaders struct{ came atomic.Int64 }

// subscribe has them come until they are stopped. They keep their connections.
func (n *neverReaders) subscribe(ctx context.Context, c *crowd, addr string) (stop func() error, err error) {
	come := func() error {
		sockets, err := c.sockets(1, addr)
		if err != nil {
			return err
		}
		if tcp, ok := sockets[0].Conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4096) // the smaller, the sooner it is full; it fills up at any size
		}
		n.came.Add(1)
		return sockets[0].call(everything, "subscribed")
	}
	if err := come(); err != nil {
		return nil, err
	}
	going, cancel := context.WithCancel(ctx)
	var failed error // the goroutine's, until it has ended
	var wg sync.WaitGroup
	wg.Go(func() {
		for pause(going, slowEvery); going.Err() == nil && failed == nil; pause(going, slowEvery) {
			failed = come()
		}
	})
	return func() error {
		cancel()
		wg.Wait()
		return failed
	}, nil
}
