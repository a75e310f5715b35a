package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"distributedlock/queue"
)

// way is one way to get the same locks.
type way struct {
	name   string
	round  func(cycles int) (*coldRound, error)
	rounds []*coldRound
}

func (w *way) median(f func(*coldRound) float64) float64 { return median(each(w.rounds, f)) }

// beside is the median of a figure's ratios to another way's, turn by turn.
func (w *way) beside(other *way, f func(*coldRound) float64) float64 {
	var ratios []float64
	for i := range w.rounds {
		ratios = append(ratios, f(w.rounds[i])/f(other.rounds[i]))
	}
	return median(ratios)
}

// wsCold runs cold cycles over WebSockets and, in turns with them, over other ways: the bare server, its two scripts
// without any server, and the lock of SET NX. The last is as little as a lock can be.
func wsCold(ctx context.Context, b *bench) error {
	// A floor under the heap, as lockd has one: two of the ways run in this process.
	floor := make([]byte, 32<<20)
	defer runtime.KeepAlive(floor)
	s, nodes, err := b.rig.pair(ctx, 1)
	if err != nil {
		return err
	}
	bare, err := b.rig.bare(ctx, s)
	if err != nil {
		return err
	}
	many := b.work.clients
	all := fmt.Sprintf("%d connections", many)
	ours := []*way{
		{name: "one connection", round: func(n int) (*coldRound, error) { return b.wsRound(ctx, s, nodes[0], 1, n) }},
		{name: all, round: func(n int) (*coldRound, error) { return b.wsRound(ctx, s, nodes[0], many, n) }},
	}
	others := []*way{
		{name: "bare server", round: func(n int) (*coldRound, error) { return b.round(ctx, s, bare, n) }},
		{name: "the two scripts, no server", round: func(n int) (*coldRound, error) { return b.straight(ctx, s, n) }},
		{name: "SET NX, one connection", round: func(n int) (*coldRound, error) { return b.setRound(ctx, s, 1, n) }},
		{name: "SET NX, " + all, round: func(n int) (*coldRound, error) { return b.setRound(ctx, s, many, n) }},
	}
	if err := inTurns(append(ours, others...), b.work.wsRounds, b.work.coldCycles); err != nil {
		return err
	}
	b.wsColdRows(ours, others)
	return nil
}

// inTurns warms all ways up and runs them in turns, in another order each time.
func inTurns(ways []*way, rounds, cycles int) error {
	for i := range rounds + 1 {
		for j := range ways {
			w, n := ways[(i+j)%len(ways)], cycles
			if i == 0 {
				n = cycles / 4
			}
			r, err := w.round(n)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			if i > 0 {
				w.rounds = append(w.rounds, r)
			}
		}
	}
	return nil
}

func (b *bench) wsColdRows(ours, others []*way) {
	rate := func(r *coldRound) float64 { return r.rate() }
	for _, w := range ours {
		b.report.add(w.name+": cycles a second", "%.0f", w.median(rate))
		b.report.add(w.name+": acquire p50 / p99", "%.2f / %.2f ms", w.median(func(r *coldRound) float64 { return millis(percentile(r.acquires, 50)) }),
			w.median(func(r *coldRound) float64 { return millis(percentile(r.acquires, 99)) }))
		b.report.add(w.name+": CPU of lockd / of Redis a cycle", "%.0f / %.0f µs", w.median(func(r *coldRound) float64 { return micros(r.server) }),
			w.median(func(r *coldRound) float64 { return micros(r.redis) }))
	}
	for _, w := range others {
		b.report.add(w.name+": cycles a second", "%.0f", w.median(rate))
	}
	for _, w := range ours {
		for _, o := range others {
			b.report.add(w.name+" / "+o.name, "%.2f", w.beside(o, rate))
		}
	}
}

// wsRound runs cold cycles of all clients over so many WebSockets.
func (b *bench) wsRound(ctx context.Context, s *store, p *process, conns, cycles int) (*coldRound, error) {
	crowd := newCrowd(ctx)
	defer crowd.hangUp()
	wires, err := crowd.wires(conns, p.addr)
	if err != nil {
		return nil, err
	}
	return measured(ctx, s, p.pid(), func() (*outcome, error) { return ownLocksOver(wires, b.work.clients, cycles) })
}

// setRound is the same with SET NX.
func (b *bench) setRound(ctx context.Context, s *store, conns, cycles int) (*coldRound, error) {
	crowd := newCrowd(ctx)
	defer crowd.hangUp()
	wires, err := crowd.setWires(s, conns)
	if err != nil {
		return nil, err
	}
	return measured(ctx, s, 0, func() (*outcome, error) { return ownLocksOver(wires, b.work.clients, cycles) })
}

// straight is the same with the scripts that lockd runs, called from here.
func (b *bench) straight(ctx context.Context, s *store, cycles int) (*coldRound, error) {
	store, err := queue.Open(ctx, queue.Options{Node: "straight", Prefix: "bare", Redis: queue.At("tcp", s.addr)})
	if err != nil {
		return nil, err
	}
	defer store.Close()
	clients := make([]straightClient, b.work.clients)
	for i := range clients {
		clients[i] = straightClient{ctx, store, fmt.Sprintf("client-%d", i)}
	}
	return measured(ctx, s, 0, func() (*outcome, error) { return ownLocks(clients, cycles) })
}

// straightClient is a client that needs no server.
type straightClient struct {
	ctx   context.Context
	store *queue.Store
	name  string
}

func (c straightClient) acquire(lock string, lease, wait float64) (string, error) {
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	id := queue.NewSecret()
	a, err := c.store.Acquire(c.ctx, &queue.Request{
		Name: lock, Client: c.name, Owner: c.name, ID: queue.NewSecret(), LockID: id, RenewalToken: queue.NewSecret(),
		Lease: seconds(lease), Wait: seconds(wait), Grace: 10 * time.Second, Mode: queue.Exclusive, Limit: 1,
	}, 10_000)
	if err == nil && a.Word != queue.Granted {
		err = fmt.Errorf("not granted at once: %s", a.Word)
	}
	return id, err
}

func (c straightClient) release(lock, lockID string) error {
	_, _, err := c.store.Release(c.ctx, lock, c.name, lockID)
	return err
}
