package service

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"distributedlock/queue"
	"distributedlock/queue/embedded"
)

// TestMain lets the driver's client for clusters sleep on after it was closed: for at most 5 s, and with nothing held.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

// fleet is some nodes on one real Redis.
type fleet struct {
	t     testing.TB
	redis *embedded.Server
	nodes int
	// grace is how long places and sessions are kept.
	grace time.Duration
	// blind has new nodes not look for deadlocks.
	blind bool
}

func newFleet(t testing.TB, opts ...embedded.Option) *fleet {
	t.Helper()
	s, err := embedded.Start(t.Context(), append(opts, embedded.RealOnly())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &fleet{t: t, redis: s, grace: 10 * time.Second}
}

// member is a node of the fleet.
type member struct {
	*Manager
	store *queue.Store
	kill  func()
}

// node starts one more node. It ends with the test, or by kill, which leaves everything as a crash would.
func (f *fleet) node(change ...func(*queue.Options)) *member {
	f.t.Helper()
	f.nodes++
	o := queue.Options{Node: fmt.Sprintf("node-%d", f.nodes)}
	if f.redis != nil {
		o.Redis = queue.At(f.redis.Network(), f.redis.Addr())
	}
	for _, c := range change {
		c(&o)
	}
	store, err := queue.Open(f.t.Context(), o)
	if err != nil {
		f.t.Fatal(err)
	}
	m := New(store, Options{RenewalInterval: 5 * time.Second, MaxHold: time.Hour, Grace: f.grace, MaxQueue: 10000, Deadlocks: !f.blind,
		Connect: store.Connect, Log: zaptest.NewLogger(f.t, zaptest.Level(zap.ErrorLevel)).Named(o.Node)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = m.Run(ctx)
	}()
	var once sync.Once
	stop := func(crash bool) func() {
		return func() {
			once.Do(func() {
				if crash {
					store.Close() // nothing more reaches Redis
				}
				cancel()
				<-done
				store.Close()
			})
		}
	}
	f.t.Cleanup(stop(false))
	f.eventually("subscribed", 5*time.Second, func() bool { return m.hub.Up() })
	return &member{Manager: m, store: store, kill: stop(true)}
}

// eventually waits for something that must come about.
func (f *fleet) eventually(what string, within time.Duration, is func() bool) {
	f.t.Helper()
	end := time.Now().Add(within)
	for !is() {
		if time.Now().After(end) {
			f.t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(time.Millisecond) // a poll of a condition, bounded above
	}
}

// silent has a node ring no other node's bell: a message lost.
func silent(o *queue.Options) {
	o.Patch = func(_, source string) string {
		return strings.Replace(source, "  for node in pairs(bells) do", "  for node in pairs({}) do", 1)
	}
}

// loud has a node tell of events though nobody is known to watch them. What goes the shortest way tells nothing but who
// enters a line, with the ticket for a sequence.
func loud(o *queue.Options) {
	before := o.Patch
	o.Patch = func(name, source string) string {
		if before != nil {
			source = before(name, source)
		}
		source = strings.Replace(source, "local watched\n", "local watched = true\n", 1)
		return strings.Replace(source, "  redis.call('ZADD', queue, ticket, member)\n", `
  redis.call('PUBLISH', base .. EVENTS, 'queued\n' .. name .. '\n0\n0\n' .. string.match(member, '^[^\n]*') .. '\n\n' .. ticket .. '\n')
  redis.call('ZADD', queue, ticket, member)
`, 1)
	}
}

func request(name, client string, lease, wait time.Duration) *queue.Request {
	return &queue.Request{Name: name, Client: client, Owner: client, Lease: lease, Wait: wait, Mode: queue.Exclusive, Limit: 1}
}
