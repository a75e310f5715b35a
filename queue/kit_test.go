package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/goleak"

	"distributedlock/queue/embedded"
)

// TestMain lets the driver's client for clusters sleep on after it was closed: for at most 5 s, and with nothing held.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

// epoch is where the tests' clock begins: far enough ahead that no key made by it ends while a test runs.
const epoch = 4_000_000_000_000_000

// world is a Redis with stores of several nodes on it, and a clock that the test moves: the scripts read it from a key.
type world struct {
	t      testing.TB
	redis  *embedded.Server
	raw    rueidis.Client
	stores map[string]*Store
	at     int64
	// real has the scripts use Redis's own clock.
	real bool
	// watched has the scripts tell of events.
	watched bool
	// unordered is set by a call whose messages come in any order.
	unordered bool

	mu       sync.Mutex
	messages []string
	synced   chan struct{}
}

func newWorld(t testing.TB, opts ...embedded.Option) *world {
	t.Helper()
	s, err := embedded.Start(t.Context(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, redis: s, stores: map[string]*Store{}, synced: make(chan struct{}, 1)}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	if w.raw, err = Connect(w.options("test")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.raw.Close)
	w.clock(0)
	return w
}

// newRealTime is a world on a redis-server's own clock.
func newRealTime(t testing.TB, opts ...embedded.Option) *world {
	t.Helper()
	w := newWorld(t, append(opts, embedded.RealOnly())...)
	w.real = true
	return w
}

func (w *world) options(node string) Options {
	return Options{Redis: At(w.redis.Network(), w.redis.Addr()), Node: node, Partitions: 1, Embedded: !w.redis.Real()}
}

const (
	readsTime = "local clock = redis.call('TIME')\nlocal micros = clock[1] * 1000000 + clock[2]\n"
	readsKey  = "local micros = tonumber(redis.call('GET', 'test:clock'))\n"
)

// readClockFromKey is a patch of the scripts: their clock is a key.
func readClockFromKey(_, source string) string {
	if strings.Count(source, readsTime) != 1 {
		panic("lib.lua no longer reads its clock where the tests expect it")
	}
	return strings.Replace(source, readsTime, readsKey, 1)
}

// store is the store of a node, opened at its first use.
func (w *world) store(node string, change ...func(*Options)) *Store {
	w.t.Helper()
	if s := w.stores[node]; s != nil {
		return s
	}
	o := w.options(node)
	if !w.real {
		o.Patch = readClockFromKey
	}
	for _, c := range change {
		c(&o)
	}
	s, err := Open(context.Background(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.Close)
	w.stores[node] = s
	return s
}

// reset is empty for a world that listens.
func (w *world) reset() {
	w.t.Helper()
	w.empty()
	w.flush()
}

// empty empties Redis and has all nodes forget what they have seen.
func (w *world) empty() {
	w.t.Helper()
	w.do("FLUSHALL")
	for _, s := range w.stores {
		s.floor.Store(0)
	}
	w.at = 0
	w.clock(0)
	w.alive("a", "b", "c")
	if w.watched {
		w.do("SET", "dl:{0}:watched", "1")
	}
}

// clock moves the tests' clock on.
func (w *world) clock(by time.Duration) {
	w.t.Helper()
	w.at += by.Microseconds()
	w.do("SET", "test:clock", strconv.FormatInt(epoch+w.at, 10))
}

// alive has nodes count as there, whatever the time.
func (w *world) alive(nodes ...string) {
	w.t.Helper()
	for _, n := range nodes {
		w.do("SET", "dl:{0}:node:"+n, "here", "PX", "3600000")
	}
}

// dies has a node count as gone.
func (w *world) dies(node string) {
	w.t.Helper()
	w.do("DEL", "dl:{0}:node:"+node)
}

func (w *world) do(args ...string) rueidis.RedisResult {
	w.t.Helper()
	r := w.raw.Do(context.Background(), w.raw.B().Arbitrary(args...).Build())
	if err := r.Error(); err != nil && !rueidis.IsRedisNil(err) {
		w.t.Fatalf("%v: %v", args, err)
	}
	return r
}

func (w *world) int(args ...string) int64 {
	w.t.Helper()
	n, err := w.do(args...).AsInt64()
	if err != nil {
		w.t.Fatalf("%v: %v", args, err)
	}
	return n
}

// listen records what the scripts publish; heard returns it since the last call.
func (w *world) listen() {
	w.t.Helper()
	c, err := Connect(w.options("listener"))
	if err != nil {
		w.t.Fatal(err)
	}
	conn, release := c.Dedicate()
	lost := conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(m rueidis.PubSubMessage) {
		if m.Channel == "test:sync" {
			w.synced <- struct{}{}
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.messages = append(w.messages, sayMessage(m.Channel, m.Message))
	}})
	if err := conn.Do(context.Background(), conn.B().Psubscribe().Pattern("dl:*", "test:sync").Build()).Error(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		release()
		c.Close()
		<-lost
	})
}

// sayMessage tells of an event, or of a doorbell as it is.
func sayMessage(channel, message string) string {
	e := strings.Split(message, "\n")
	if len(e) != 8 {
		return channel + " " + strings.ReplaceAll(message, "\n", "|")
	}
	s := fmt.Sprintf("%s of %s: %s/%s token %s at %s", e[0], e[1], e[4], e[5], e[2], e[3])
	if e[7] != "" {
		s += " (" + e[7] + ")"
	}
	return s
}

// flush waits until all messages so far have come in, and returns them.
func (w *world) flush() []string {
	w.t.Helper()
	w.do("PUBLISH", "test:sync", "")
	select {
	case <-w.synced:
	case <-time.After(10 * time.Second):
		w.t.Fatal("the listener heard nothing")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	heard := w.messages
	w.messages = nil
	return heard
}

// eventually waits for something that must come about.
func (w *world) eventually(what string, within time.Duration, is func() bool) {
	w.t.Helper()
	end := time.Now().Add(within)
	for !is() {
		if time.Now().After(end) {
			w.t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(time.Millisecond) // a poll of a condition, bounded above
	}
}

// change is an option of ask.
type change func(*Request)

// ask is a request of a client for a lock, by default exclusive, tried once, with a lease of 30 s.
func ask(name, client string, changes ...change) *Request {
	q := &Request{Name: name, Client: client, Owner: client, ID: "r-" + client, LockID: "L-" + client,
		RenewalToken: "R-" + client, Lease: 30 * time.Second, Mode: Exclusive, Limit: 1, Grace: 10 * time.Second,
		RenewEvery: 5 * time.Second, MaxHold: time.Hour, Hold: time.Hour}
	for _, c := range changes {
		c(q)
	}
	return q
}

func wait(d time.Duration) change  { return func(q *Request) { q.Wait = d } }
func lease(d time.Duration) change { return func(q *Request) { q.Lease = d } }
func limit(n int) change           { return func(q *Request) { q.Limit = n } }
func shared(q *Request)            { q.Mode = Shared }
func known(q *Request)             { q.Known = true }
func meta(json string) change      { return func(q *Request) { q.Metadata = []byte(json) } }
func restored(ticket int64) change { return func(q *Request) { q.Ticket = ticket } }
func ids(lockID, renew string) change {
	return func(q *Request) { q.LockID, q.RenewalToken = lockID, renew }
}

func autoRenew(every, hold time.Duration) change {
	return func(q *Request) { q.AutoRenew, q.RenewEvery, q.MaxHold, q.Hold = true, every, hold, hold }
}

const maxLine = 100

// take asks for a lock and must get it.
func (w *world) take(node string, q *Request) Grant {
	w.t.Helper()
	a, err := w.store(node).Acquire(context.Background(), q, maxLine)
	if err != nil || a.Word != Granted {
		w.t.Fatalf("%s on %s: %s, %v", q.Client, node, a.Word, err)
	}
	return a.Grant
}

// stand asks for a lock and must get a place in its line.
func (w *world) stand(node string, q *Request) Acquired {
	w.t.Helper()
	if q.Wait == 0 {
		q.Wait = time.Minute
	}
	a, err := w.store(node).Acquire(context.Background(), q, maxLine)
	if err != nil || a.Word != Queued {
		w.t.Fatalf("%s on %s: %s, %v", q.Client, node, a.Word, err)
	}
	return a
}

// errorName is the sentinel that an error is, for the record of an answer.
func errorName(err error) string {
	for _, e := range []error{ErrUnavailable, ErrUnknown, ErrLost, ErrNotOwner, ErrQueueFull, ErrMismatch, ErrNotLocked} {
		if errors.Is(err, e) {
			return e.Error()
		}
	}
	return err.Error()
}
