package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	distributedlock "distributedlock/clients/go"
)

const (
	tokenClients = 8   // connections
	tokenWorkers = 24  // a connection's goroutines
	ownLocks     = 40  // of each of them
	sharedLocks  = 200 // of all of them
	// tokenPause is the time between two harms.
	tokenPause = 4 * time.Second
)

// harm is one of the things that happen to Redis and the nodes while tokens are drawn.
type harm struct {
	name  string
	about func(ctx context.Context, s *stage) error
}

// harms come one after another: Redis forgets everything, in several ways, some of them together with the nodes.
var harms = []harm{
	{"FLUSHALL", func(_ context.Context, s *stage) error { return s.command("FLUSHALL") }},
	{"kill -9 of a node", nodeKill},
	{"kill -9 of the master, failover", failoverKill},
	{"FLUSHALL with all nodes killed", forgetAll},
	{"failover by hand", failoverHand},
	{"SIGSTOP of the master, failover", failoverStop},
	{"restart of an emptied master", emptyRestart},
}

// forgetAll kills the nodes and empties Redis, so that nobody remembers a token.
func forgetAll(ctx context.Context, s *stage) error {
	for _, n := range s.nodes {
		n.kill()
	}
	errs := []error{s.command("FLUSHALL")}
	for _, n := range s.nodes {
		errs = append(errs, n.start(ctx))
	}
	return errors.Join(errs...)
}

// emptyRestart has the master come back without its data, before the Sentinels replace it.
func emptyRestart(ctx context.Context, s *stage) error {
	m, err := s.master()
	if err != nil {
		return err
	}
	if err := s.command("FLUSHALL"); err != nil {
		return err
	}
	if err := m.Kill(); err != nil {
		return err
	}
	return m.Restart(ctx)
}

// tokens takes locks, so many times in all, while Redis is restarted, emptied and replaced, and compares each token with
// those before it.
func (c *campaign) tokens(ctx context.Context) (err error) {
	r, err := newRig(ctx, c.lockd, watched)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	m := &mint{want: int64(c.grants), shared: make([]purse, sharedLocks)}
	begin := time.Now()
	work, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	var all []*distributedlock.Client
	for i := range tokenClients {
		a, b := r.nodes[i%2].addr, r.nodes[(i+1)%2].addr
		one := distributedlock.NewDistributedLockClient("http://"+a, distributedlock.WithEndpoints("http://"+b))
		all = append(all, one)
		for w := range tokenWorkers {
			rnd := rand.New(rand.NewPCG(c.seed, uint64(i*tokenWorkers+w))) //nolint:gosec // no secret; a seed repeats it
			wg.Go(func() { m.work(work, one, fmt.Sprintf("tokens/%d/%d", i, w), rnd) })
		}
	}
	to := &row{name: "tokens", about: fmt.Sprintf("grants of %s locks over all of: ", thousands(tokenClients*tokenWorkers*ownLocks+sharedLocks))}
	for i := range harms {
		if i > 0 {
			to.about += "; "
		}
		to.about += harms[i].name
	}
	c.rows = append(c.rows, to)
	err = m.suffer(work, r, c, to, begin)
	stop()
	wg.Wait()
	for _, one := range all {
		_ = one.Close() // it is nil
	}
	to.acts, to.violations, to.stall = int(m.done.Load()), len(m.wrong), m.longest
	_, _ = fmt.Fprintf(c.log, "tokens: %d grants in %.1f s over %d harms, longest time without a grant %.2f s\n", to.acts,
		time.Since(begin).Seconds(), to.rounds, m.longest.Seconds())
	for _, why := range m.wrong[:min(len(m.wrong), mostShown)] {
		_, _ = fmt.Fprintln(c.log, "VIOLATION", why)
	}
	return errors.Join(err, ctx.Err())
}

// suffer does one harm after another until there are enough grants, and each at least once.
func (m *mint) suffer(ctx context.Context, r *rig, c *campaign, to *row, begin time.Time) error {
	rnd := rand.New(rand.NewPCG(c.seed, streamOf("tokens", 0))) //nolint:gosec // no secret; a seed repeats it
	for i := 0; (m.done.Load() < m.want || i < len(harms)) && ctx.Err() == nil; i++ {
		pause(ctx, tokenPause)
		h := harms[i%len(harms)]
		if err := h.about(ctx, &stage{rig: r, rnd: rnd, hurt: map[int]bool{}}); err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
		over, before := time.Now(), m.done.Load()
		if err := until(ctx, patience, "there are grants again", func() bool { return m.done.Load() > before }); err != nil {
			m.fault("after %s: %v", h.name, err)
		}
		to.rounds++
		to.recoveries = append(to.recoveries, time.Since(over))
		if err := r.mend(ctx); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(c.log, "tokens: %.0f s: %d grants, %d wrong, after %s\n", time.Since(begin).Seconds(), m.done.Load(), len(m.wrong), h.name)
	}
	return nil
}

// mint counts grants.
type mint struct {
	want   int64
	done   atomic.Int64
	last   atomic.Int64 // when the last grant was, in Unix nanoseconds
	shared []purse

	mu      sync.Mutex
	longest time.Duration
	wrong   []string
}

// purse is what is known of the tokens of one lock.
type purse struct {
	mu   sync.Mutex
	most int64
	seen map[int64]bool
}

// known is the highest token that somebody has, before another is asked for.
func (p *purse) known() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}

// put notes a token, and tells whether somebody has it already.
func (p *purse) put(token int64) (twice bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = map[int64]bool{}
	}
	twice = p.seen[token]
	p.seen[token] = true
	p.most = max(p.most, token)
	return twice
}

func (m *mint) fault(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wrong = append(m.wrong, fmt.Sprintf(format, args...))
}

// work takes locks of one's own, and now and then one of all, and gives them back, until ctx ends.
func (m *mint) work(ctx context.Context, c *distributedlock.Client, name string, rnd *rand.Rand) {
	own := make([]purse, ownLocks)
	for ctx.Err() == nil {
		i := rnd.IntN(ownLocks)
		lock, p := fmt.Sprintf("%s/%d", name, i), &own[i]
		if rnd.IntN(10) == 0 {
			i = rnd.IntN(len(m.shared))
			lock, p = fmt.Sprintf("tokens/all/%d", i), &m.shared[i]
		}
		before := p.known()
		l, err := c.AcquireContext(ctx, lock, 2*time.Second, distributedlock.WithWait(10*time.Second))
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, distributedlock.ErrWaitTimeout) && !errors.Is(err, distributedlock.ErrUnavailable) && !errors.Is(err, distributedlock.ErrLockLost) {
				m.fault("%s: %v", lock, err)
			}
			continue
		}
		m.granted(time.Now().UnixNano())
		switch twice := p.put(l.FencingToken); {
		case twice:
			m.fault("%s: token %d was given twice", lock, l.FencingToken)
		case l.FencingToken <= before:
			m.fault("%s: token %d after %d", lock, l.FencingToken, before)
		}
		_ = l.Release() // where it is lost or nobody answers, the lease runs out
	}
}

// granted counts a grant, and how long there was none.
func (m *mint) granted(now int64) {
	m.done.Add(1)
	last := m.last.Swap(now)
	if d := time.Duration(now - last); last > 0 && d > 100*time.Millisecond {
		m.mu.Lock()
		m.longest = max(m.longest, d)
		m.mu.Unlock()
	}
}

// median of the waits.
func (s *shuttle) median() time.Duration {
	if len(s.waits) == 0 {
		return 0
	}
	slices.Sort(s.waits)
	return s.waits[len(s.waits)/2]
}
