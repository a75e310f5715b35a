package notify

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"distributedlock/queue"
	"distributedlock/queue/embedded"
	"distributedlock/queue/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a Redis, a hub on it, and what the hub has told.
type world struct {
	t     *testing.T
	redis *embedded.Server
	hub   *Hub
	plain rueidis.Client

	mute                   atomic.Bool
	bells, firsts, returns atomic.Int32
	mu                     sync.Mutex
	expired                []string
}

func newWorld(t *testing.T, opts ...embedded.Option) *world {
	t.Helper()
	w := &world{t: t, redis: redistest.Start(t, opts...)}
	connect := func() (rueidis.Client, error) {
		return queue.Connect(queue.Options{Node: "test", Redis: queue.At(w.redis.Network(), w.redis.Addr())})
	}
	var err error
	if w.plain, err = connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.plain.Close)
	w.hub = New(Options{
		Connect: connect, Channel: "dl:node:test", Every: 50 * time.Millisecond, Log: zap.NewNop(),
		Ping: func(ctx context.Context, n int64) error {
			if w.mute.Load() {
				return nil
			}
			return w.plain.Do(ctx, w.plain.B().Publish().Channel("dl:node:test").Message("ping "+strconv.FormatInt(n, 10)).Build()).Error()
		},
		Bell: func(int) { w.bells.Add(1) },
		Expired: func(key string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.expired = append(w.expired, key)
		},
		Subscribed: func(again bool) {
			if again {
				w.returns.Add(1)
			} else {
				w.firsts.Add(1)
			}
		},
	})
	return w
}

// run starts the hub, until the test ends.
func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.hub.Run(ctx)
	}()
	w.t.Cleanup(func() {
		cancel()
		<-done
	})
}

func (w *world) do(args ...string) string {
	w.t.Helper()
	r := w.plain.Do(context.Background(), w.plain.B().Arbitrary(args...).Build())
	if err := r.Error(); err != nil && !rueidis.IsRedisNil(err) {
		w.t.Fatalf("%v: %v", args, err)
	}
	return r.String()
}

func (w *world) eventually(what string, is func() bool) {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) { // a bounded poll
		if time.Now().After(end) {
			w.t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestBellAndExpiry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, embedded.TCP())
	w.do("CONFIG", "SET", "notify-keyspace-events", "Kg")
	w.run()
	w.eventually("subscribed", w.hub.Up)
	w.eventually("expiry notifications on, the others kept", func() bool {
		flags := w.do("CONFIG", "GET", "notify-keyspace-events")
		return strings.Contains(flags, "E") && strings.Contains(flags, "x") && strings.Contains(flags, "K") && strings.Contains(flags, "g")
	})
	w.do("PUBLISH", "dl:node:test", "7")
	w.do("PUBLISH", "dl:node:test", "nonsense")
	w.eventually("the bell", func() bool { return w.bells.Load() == 1 })
	w.do("SET", "dl:{0}:lock:x", "1", "PX", "10")
	w.eventually("the expiry", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.expired) == 1 && w.expired[0] == "dl:{0}:lock:x"
	})
}

// TestResubscribes cuts the subscription: the hub comes back by itself, and says so.
func TestResubscribes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, embedded.TCP())
	w.run()
	w.eventually("subscribed", w.hub.Up)
	for i := range int32(3) {
		w.do("CLIENT", "KILL", "TYPE", "pubsub")
		w.eventually("subscribed again", func() bool { return w.returns.Load() == i+1 })
	}
	if w.firsts.Load() != 1 {
		t.Errorf("%d first subscriptions", w.firsts.Load())
	}
}

// TestSilence has the pings not come back, as on a connection that is open and dead: the hub makes a new one.
func TestSilence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, embedded.TCP())
	w.run()
	w.eventually("subscribed", w.hub.Up)
	w.mute.Store(true)
	w.eventually("a new subscription", func() bool { return w.returns.Load() >= 2 })
	w.mute.Store(false)
	w.eventually("quiet again", func() bool {
		before := w.returns.Load()
		time.Sleep(4 * w.hub.opts.Every) // as long as a silence takes to be noticed
		return w.hub.Up() && w.returns.Load() == before
	})
}

// TestRedisComesLater starts the hub before Redis answers.
func TestRedisComesLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, embedded.TCP())
	if err := w.redis.Kill(); err != nil {
		t.Fatal(err)
	}
	w.run()
	if w.hub.Up() {
		t.Error("subscribed to nothing")
	}
	if err := w.redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.eventually("subscribed", w.hub.Up)
}
