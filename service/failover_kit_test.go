package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"distributedlock/queue"
)

// rounds is how often the tests of failovers go round.
var rounds = flag.Int("rounds", 1, "how many failovers in each test of them")

// ledger judges what clients of many locks are told: one holder at a time, tokens that rise, grants in the order of the
// line.
type ledger struct {
	t       *testing.T
	mu      sync.Mutex
	locks   map[string]*account
	granted int
	first   time.Time // the first grant since the last mark
}

type account struct {
	holder string
	token  int64
	order  []string
}

func newLedger(t *testing.T) *ledger { return &ledger{t: t, locks: map[string]*account{}} }

func (l *ledger) account(name string) *account {
	if l.locks[name] == nil {
		l.locks[name] = &account{}
	}
	return l.locks[name]
}

// grant notes a grant, as soon as its client knows of it.
func (l *ledger) grant(name, client string, token int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(name)
	if a.holder != "" {
		l.t.Errorf("%s: granted to %s while %s holds it", name, client, a.holder)
	}
	if token <= a.token {
		l.t.Errorf("%s: token %d of %s after %d", name, token, client, a.token)
	}
	a.holder, a.token = client, token
	a.order = append(a.order, client)
	if l.granted++; l.first.IsZero() {
		l.first = time.Now()
	}
}

// end notes that a client is about to give its lock back.
func (l *ledger) end(name, client string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.account(name); a.holder == client {
		a.holder = ""
	}
}

// mark begins to look for the next first grant.
func (l *ledger) mark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.first = time.Time{}
}

func (l *ledger) firstGrant() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

func (l *ledger) order(name string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.account(name).order
}

// again are the errors after which a client asks again with the same request id, as it is told to.
func again(err error) bool {
	return errors.Is(err, queue.ErrUnavailable) || errors.Is(err, queue.ErrUnknown)
}

// insist acquires as a client does that is told to ask again. It returns how often it was.
func insist(ctx context.Context, n *member, q *queue.Request, pace time.Duration) (g queue.Grant, told int, err error) {
	for {
		if g, _, err = n.Acquire(ctx, q); !again(err) || ctx.Err() != nil {
			return g, told, err
		}
		told++
		q.Known = true
		n.pause(ctx, pace)
	}
}

// giveBack releases as a client does that is told to ask again.
func giveBack(ctx context.Context, n *member, name, client, lockID string, pace time.Duration) error {
	for {
		if _, err := n.Release(ctx, name, client, lockID); !again(err) || ctx.Err() != nil {
			return err
		}
		n.pause(ctx, pace)
	}
}

// crowd is many clients in the lines of some locks, in a known order over some nodes.
type crowd struct {
	f     *fleet
	nodes []*member
	l     *ledger
	names []string
	// pace is how long a client that is told to ask again waits first.
	pace  time.Duration
	held  map[string]string // lock -> lockId of its first holder
	lines map[string][]string
	done  sync.WaitGroup
	mu    sync.Mutex
	told  int
}

// gather has a holder take each lock, and so many clients stand in line behind it.
func gather(ctx context.Context, f *fleet, l *ledger, nodes []*member, round, locks, waiters int) *crowd {
	f.t.Helper()
	c := &crowd{f: f, nodes: nodes, l: l, held: map[string]string{}, lines: map[string][]string{},
		pace: min(max(25*time.Millisecond, time.Second*time.Duration(locks)/1000), time.Second)}
	standing := map[string]int{}
	for i := range locks {
		name := fmt.Sprintf("lock-%d", i)
		c.names = append(c.names, name)
		q := request(name, fmt.Sprintf("holder-%d-%d", round, i), time.Minute, time.Minute)
		g, _, err := insist(ctx, nodes[i%len(nodes)], q, c.pace)
		if err != nil {
			f.t.Fatal(err)
		}
		l.grant(name, q.Client, g.Token)
		c.held[name] = g.LockID
		c.lines[name] = append(c.lines[name], q.Client)
	}
	for w := range waiters {
		for i, name := range c.names {
			n := nodes[(i+w)%len(nodes)]
			q := request(name, fmt.Sprintf("c-%d-%d", round, w), time.Minute, time.Minute)
			q.ID = queue.NewSecret()
			c.lines[name] = append(c.lines[name], q.Client)
			c.done.Go(func() { c.wait(ctx, n, q) })
			standing[name]++
			f.queue(n, name, standing[name])
		}
	}
	return c
}

// wait stands in line until the grant, and gives it back.
func (c *crowd) wait(ctx context.Context, n *member, q *queue.Request) {
	g, told, err := insist(ctx, n, q, c.pace)
	c.mu.Lock()
	c.told += told
	c.mu.Unlock()
	if err != nil {
		c.f.t.Errorf("%s of %s: %v", q.Name, q.Client, err)
		return
	}
	c.l.grant(q.Name, q.Client, g.Token)
	n.pause(ctx, time.Millisecond)
	c.l.end(q.Name, q.Client)
	if err := giveBack(ctx, n, q.Name, q.Client, g.LockID, c.pace); err != nil {
		c.f.t.Errorf("release of %s by %s: %v", q.Name, q.Client, err)
	}
}

// join has one more client come to each line. Redis may be away: it is told so, and asks again.
func (c *crowd) join(ctx context.Context, client string) {
	for i, name := range c.names {
		q := request(name, client, time.Minute, time.Minute)
		q.ID = queue.NewSecret()
		c.lines[name] = append(c.lines[name], client)
		c.done.Go(func() { c.wait(ctx, c.nodes[i%len(c.nodes)], q) })
	}
}

// letGo has the first holders give their locks back.
func (c *crowd) letGo(ctx context.Context) {
	for i, name := range c.names {
		client := c.lines[name][0]
		c.done.Go(func() {
			c.l.end(name, client)
			if err := giveBack(ctx, c.nodes[i%len(c.nodes)], name, client, c.held[name], c.pace); err != nil {
				c.f.t.Errorf("release of %s by %s: %v", name, client, err)
			}
		})
	}
}

// inOrder judges the order of the grants, once all are made.
func (c *crowd) inOrder() {
	c.f.t.Helper()
	for _, name := range c.names {
		want, got := c.lines[name], c.l.order(name)
		if got = got[max(0, len(got)-len(want)):]; !slices.Equal(got, want) {
			c.f.t.Fatalf("%s: granted to %v, in line were %v", name, got, want)
		}
	}
}
