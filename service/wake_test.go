package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"distributedlock/queue"
	"distributedlock/queue/embedded"
)

// plain is a client for the tests' own commands.
func (f *fleet) plain() rueidis.Client {
	f.t.Helper()
	c, err := queue.Connect(queue.Options{Node: "test", Redis: queue.At(f.redis.Network(), f.redis.Addr())})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	return c
}

func (f *fleet) do(c rueidis.Client, args ...string) rueidis.RedisResult {
	f.t.Helper()
	r := c.Do(context.Background(), c.B().Arbitrary(args...).Build())
	if err := r.Error(); err != nil && !rueidis.IsRedisNil(err) {
		f.t.Fatalf("%v: %v", args, err)
	}
	return r
}

// handOver runs so many cycles by clients spread over the nodes, and fails on two holders at once.
func handOver(t *testing.T, nodes []*member, clients, cycles int) {
	t.Helper()
	var left atomic.Int64
	var holders atomic.Int32
	var last atomic.Int64
	left.Store(int64(cycles))
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := 0; left.Add(-1) >= 0; i++ {
				n := nodes[(c+i)%len(nodes)]
				q := request("hot", strconv.Itoa(c), 30*time.Second, time.Minute)
				g, _, err := n.Acquire(t.Context(), q)
				if err != nil {
					t.Errorf("acquire: %v", err)
					return
				}
				if holders.Add(1) != 1 {
					t.Error("two holders at once")
				}
				if before := last.Swap(g.Token); before >= g.Token {
					t.Errorf("token %d after %d", g.Token, before)
				}
				holders.Add(-1)
				if _, err := nodes[c%len(nodes)].Release(t.Context(), "hot", q.Client, g.LockID); err != nil {
					t.Errorf("release: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestHandOvers(t *testing.T) {
	f := newFleet(t)
	begin := time.Now()
	handOver(t, []*member{f.node(), f.node()}, 20, 2000)
	t.Log(time.Since(begin))
}

// TestHandOversWithoutMessages cuts every subscription ten times a second.
func TestHandOversWithoutMessages(t *testing.T) {
	f := newFleet(t)
	nodes := []*member{f.node(), f.node()}
	c := f.plain()
	done := make(chan struct{})
	var wg sync.WaitGroup
	cuts := 0
	wg.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				f.do(c, "CLIENT", "KILL", "TYPE", "pubsub")
				cuts++
			}
		}
	})
	begin := time.Now()
	handOver(t, nodes, 20, 2000)
	close(done)
	wg.Wait()
	t.Logf("%s, %d cuts", time.Since(begin), cuts)
}

// TestLostMessage takes the doorbell away altogether: the node's beat must find the grant.
func TestLostMessage(t *testing.T) {
	f := newFleet(t)
	a, b := f.node(silent), f.node()
	q := request("x", "a", 30*time.Second, 0)
	if _, _, err := a.Acquire(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		_, _, err := b.Acquire(t.Context(), request("x", "b", 30*time.Second, time.Minute))
		got <- err
	}()
	f.queue(a, "x", 1)
	begin := time.Now()
	if _, err := a.Release(t.Context(), "x", "a", q.LockID); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-got:
		if err != nil {
			t.Fatal(err)
		}
		t.Log(time.Since(begin))
	case <-time.After(3 * time.Second):
		t.Fatal("not granted within 3 s")
	}
}

// queue waits until so many stand in line.
func (f *fleet) queue(n *member, name string, length int) {
	f.t.Helper()
	f.eventually(fmt.Sprintf("%d in line for %s", length, name), 5*time.Second, func() bool {
		st, err := n.Status(context.Background(), name, 0)
		return err == nil && st.Queue == length
	})
}

// TestLeaseEnd has a lease of 500 ms end while another node's client waits.
func TestLeaseEnd(t *testing.T) {
	for _, notifications := range []bool{true, false} {
		t.Run(fmt.Sprintf("notifications=%t", notifications), func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			a, b := f.node(), f.node()
			if !notifications {
				f.do(f.plain(), "CONFIG", "SET", "notify-keyspace-events", "")
			}
			var late []time.Duration
			for i := range 10 {
				name := fmt.Sprint("lease", i)
				g, _, err := a.Acquire(t.Context(), request(name, "a", 500*time.Millisecond, 0))
				if err != nil {
					t.Fatal(err)
				}
				g2, _, err := b.Acquire(t.Context(), request(name, "b", 30*time.Second, 5*time.Second))
				if err != nil {
					t.Fatal(err)
				}
				if g2.Since.Before(g.End) {
					t.Fatalf("granted at %s, before the end at %s", g2.Since, g.End)
				}
				late = append(late, g2.Since.Sub(g.End))
			}
			slices.Sort(late)
			t.Log(late)
			if late[5] > 60*time.Millisecond {
				t.Fatalf("median %s after the end", late[5])
			}
		})
	}
}

// TestDeadNode kills the node of the two requests at the head; the next one, on a live node, must not wait for them.
func TestDeadNode(t *testing.T) {
	f := newFleet(t)
	a, b, dead := f.node(), f.node(), f.node()
	q := request("x", "holder", time.Minute, 0)
	if _, _, err := a.Acquire(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range 2 {
		wg.Go(func() { _, _, _ = dead.Acquire(ctx, request("x", fmt.Sprint("dead", i), time.Minute, time.Minute)) })
	}
	f.queue(a, "x", 2)
	got := make(chan error, 1)
	go func() {
		_, _, err := b.Acquire(t.Context(), request("x", "b", time.Minute, time.Minute))
		got <- err
	}()
	f.queue(a, "x", 3)
	dead.kill()
	begin := time.Now()
	if _, err := a.Release(t.Context(), "x", "holder", q.LockID); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-got:
		if err != nil {
			t.Fatal(err)
		}
		t.Log(time.Since(begin))
	case <-time.After(5 * time.Second):
		t.Fatal("not granted within 5 s")
	}
	f.queue(a, "x", 0)
}

// TestDeadHead has readers hold a lock that a dead node's writer waits for; a reader behind it must get in.
func TestDeadHead(t *testing.T) {
	f := newFleet(t)
	a, dead := f.node(), f.node()
	shared := func(client string, wait time.Duration) *queue.Request {
		q := request("x", client, time.Minute, wait)
		q.Mode = queue.Shared
		return q
	}
	if _, _, err := a.Acquire(t.Context(), shared("reader", 0)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _, _, _ = dead.Acquire(ctx, request("x", "writer", time.Minute, time.Minute)) })
	f.queue(a, "x", 1)
	dead.kill()
	begin := time.Now()
	if _, _, err := a.Acquire(t.Context(), shared("second", 8*time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(begin))
}

// TestDataLoss empties Redis under a waiting fleet: the waits go on, and tokens still rise.
func TestDataLoss(t *testing.T) {
	f := newFleet(t)
	a, b := f.node(), f.node()
	q := request("x", "holder", time.Minute, 0)
	g, _, err := a.Acquire(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		queue.Grant
		err error
	}
	got := make(chan outcome, 2)
	for i, n := range []*member{a, b} {
		go func() {
			g, _, err := n.Acquire(t.Context(), request("x", fmt.Sprint(i), time.Second, time.Minute))
			got <- outcome{g, err}
		}()
		f.queue(a, "x", i+1)
	}
	f.do(f.plain(), "FLUSHALL")
	last := g.Token
	for range 2 {
		o := <-got
		if o.err != nil || o.Token <= last {
			t.Fatalf("%v, token %d after %d", o.err, o.Token, last)
		}
		last = o.Token
	}
	if _, err := a.Release(t.Context(), "x", "holder", q.LockID); !errors.Is(err, queue.ErrLost) {
		t.Fatalf("release of a lost lock: %v", err)
	}
}

// TestSittingStill counts Redis's commands while requests wait and nothing happens.
func TestSittingStill(t *testing.T) {
	f := newFleet(t, embedded.TCP())
	nodes := []*member{f.node(), f.node()}
	c := f.plain()
	count := func() int {
		info, _ := f.do(c, "INFO", "stats").ToString()
		for line := range strings.Lines(info) {
			if v, ok := strings.CutPrefix(line, "total_commands_processed:"); ok {
				n, _ := strconv.Atoi(strings.TrimSpace(v))
				return n
			}
		}
		t.Fatal("no count")
		return 0
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	const quiet = 8 * queue.Beat
	rate := map[int]float64{}
	waiting := 0
	for _, n := range []int{10, 300} {
		for ; waiting < n; waiting++ {
			name := fmt.Sprint("lock", waiting%20)
			if waiting < 20 {
				if _, _, err := nodes[0].Acquire(ctx, request(name, "holder", 5*time.Minute, 0)); err != nil {
					t.Fatal(err)
				}
			}
			node, q := nodes[waiting%2], request(name, fmt.Sprint(waiting), time.Minute, 5*time.Minute)
			wg.Go(func() { _, _, _ = node.Acquire(ctx, q) })
			f.queue(nodes[0], name, waiting/20+1)
		}
		f.looked(int64(n), nodes...) // the last look for deadlocks
		f.eventually("the last sweep has read all lines", 10*time.Second, func() bool {
			before := count()
			time.Sleep(50 * time.Millisecond) // less than between two beats
			return count() == before+1        // the first count itself
		})
		before, begin := count(), time.Now()
		time.Sleep(quiet) // what is measured is this quiet
		rate[n] = float64(count()-before) / time.Since(begin).Seconds()
	}
	t.Logf("commands a second: %v", rate)
	// Two nodes' beats are all there is, 23 commands each, and one beat more of either may fall into the time. A node that
	// is late beats less, so that one rate says nothing of the other.
	if most := 2*23/queue.Beat.Seconds() + 2*23/quiet.Seconds(); rate[10] > most || rate[300] > most {
		t.Errorf("commands a second: %v", rate)
	}
}
