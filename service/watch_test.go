package service

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"distributedlock/queue"
	"distributedlock/queue/embedded"
)

// ear hears events for a test.
type ear struct {
	f    *fleet
	stop func()

	mu    sync.Mutex
	heard []queue.Event
}

// watch watches until the test ends, or stop.
func (f *fleet) watch(n *member, names, prefixes []string) *ear {
	f.t.Helper()
	e := &ear{f: f}
	var err error
	if e.stop, err = n.Watch(f.t.Context(), names, prefixes, e.hear); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(e.stop)
	return e
}

func (e *ear) hear(event *queue.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, *event)
}

func (e *ear) all() []queue.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard)
}

// says is what was heard, for people: "granted x by c".
func (e *ear) says() (out []string) {
	for _, event := range e.all() {
		if event.Kind == "gap" {
			out = append(out, "gap")
		} else {
			out = append(out, event.Kind+" "+event.Name+" by "+event.Client)
		}
	}
	return out
}

// hears sees that exactly this is heard, in this order.
func (e *ear) hears(want ...string) {
	e.f.t.Helper()
	e.f.eventually(strings.Join(want, ", "), 10*time.Second, func() bool { return len(e.all()) >= len(want) })
	if got := e.says(); !slices.Equal(got, want) {
		e.f.t.Fatalf("heard %q, want %q", got, want)
	}
}

// cycle takes a lock and gives it back, which is two events.
func (n *member) cycle(t testing.TB, name, client string) queue.Grant {
	t.Helper()
	q := request(name, client, 30*time.Second, time.Minute)
	g, _, err := n.Acquire(context.Background(), q)
	if err != nil {
		t.Errorf("%s by %s: %v", name, client, err)
		return g
	}
	if _, err := n.Release(context.Background(), name, client, g.LockID); err != nil {
		t.Errorf("release of %s by %s: %v", name, client, err)
	}
	return g
}

// subscribers are the channels of events that somebody listens to, and how many do.
func (f *fleet) subscribers() map[string]int64 {
	f.t.Helper()
	c := f.plain()
	channels, err := f.do(c, "PUBSUB", "CHANNELS", "dl:{*}:events").AsStrSlice()
	if err != nil {
		f.t.Fatal(err)
	}
	out := map[string]int64{}
	if len(channels) > 0 {
		if out, err = f.do(c, append([]string{"PUBSUB", "NUMSUB"}, channels...)...).AsIntMap(); err != nil {
			f.t.Fatal(err)
		}
	}
	return out
}

func (f *fleet) listened(want map[string]int64) {
	f.t.Helper()
	f.eventually(fmt.Sprint("subscribed: ", want), 10*time.Second, func() bool { return maps.Equal(f.subscribers(), want) })
}

// lockIn is a name that lies in a partition.
func lockIn(n *member, partition int, prefix string) string {
	for i := 0; ; i++ {
		if name := fmt.Sprint(prefix, i); n.store.Partition(name) == partition {
			return name
		}
	}
}

// TestWatch tells of names and prefixes over two nodes: each event once, to those whom it concerns.
func TestWatch(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	exact := f.watch(a, []string{"app/x", "z", "z"}, nil)
	prefix := f.watch(b, nil, []string{"app/"})
	both := f.watch(a, []string{"app/x", "z"}, []string{"app/", "app", "a", "other"})
	every := f.watch(b, nil, []string{""})
	none := f.watch(a, []string{"app", "app/", "app/xx"}, []string{"app/xx", "b"})
	nothing := f.watch(b, nil, nil)

	g := a.cycle(t, "app/x", "c1")
	exact.hears("granted app/x by c1", "released app/x by c1")
	b.cycle(t, "app/y", "c2")
	prefix.hears("granted app/x by c1", "released app/x by c1", "granted app/y by c2", "released app/y by c2")
	a.cycle(t, "z", "c3")
	exact.hears("granted app/x by c1", "released app/x by c1", "granted z by c3", "released z by c3")
	x, y, z := []string{"granted app/x by c1", "released app/x by c1"}, []string{"granted app/y by c2", "released app/y by c2"},
		[]string{"granted z by c3", "released z by c3"}
	f.eventually("all heard", 10*time.Second, func() bool { return len(both.all()) >= 6 && len(every.all()) >= 6 })
	for _, e := range []*ear{both, every} { // the order of different locks is nobody's promise
		if got, want := e.says(), slices.Concat(x, y, z); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
			t.Errorf("heard %q", got)
		}
	}
	if got := slices.Concat(none.says(), nothing.says()); len(got) > 0 {
		t.Errorf("others heard %q", got)
	}
	first := exact.all()[0]
	if first.Token != g.Token || first.Owner != "c1" || first.Seq <= 0 || first.At.Sub(g.Since).Abs() > time.Second {
		t.Errorf("%+v of the grant %+v", first, g)
	}
}

// TestWatchedOnly has nodes listen, and the scripts tell, only while somebody watches.
func TestWatchedOnly(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	f.listened(map[string]int64{})
	one, other := f.watch(a, []string{"x"}, nil), f.watch(a, []string{"x"}, nil)
	channel := a.store.EventChannel(a.store.Partition("x"))
	f.listened(map[string]int64{channel: 1})
	third := f.watch(b, []string{"x"}, nil)
	f.listened(map[string]int64{channel: 2})

	one.stop()
	one.stop()
	b.cycle(t, "x", "c")
	other.hears("granted x by c", "released x by c")
	third.hears("granted x by c", "released x by c")
	if got := one.says(); len(got) > 0 {
		t.Errorf("who has left heard %q", got)
	}
	other.stop()
	f.listened(map[string]int64{channel: 1})
	third.stop()
	f.listened(map[string]int64{})
	f.eventually("the scripts no longer tell", 10*time.Second, func() bool {
		n, err := f.do(f.plain(), "EXISTS", strings.Replace(channel, "events", "watched", 1)).AsInt64()
		return err == nil && n == 0
	})
	prefix := f.watch(a, nil, []string{"x"})
	every := map[string]int64{}
	for p := range a.store.Partitions() {
		every[a.store.EventChannel(p)] = 1
	}
	f.listened(every)
	b.cycle(t, "x", "d")
	prefix.hears("granted x by d", "released x by d")
}

// TestWatchGap cuts the subscription, and takes away the key that has the scripts tell: who watches is told of a gap,
// once though it watches all partitions, and then of what comes after.
func TestWatchGap(t *testing.T) {
	t.Parallel()
	f := newFleet(t, embedded.TCP())
	a, b := f.node(), f.node()
	prefix, exact := f.watch(a, nil, []string{""}), f.watch(b, []string{"x"}, nil)
	want := []string{}
	next := func(occasion string, e *ear) {
		t.Helper()
		want = append(want, "gap")
		f.eventually(occasion, 10*time.Second, func() bool { return len(e.all()) >= len(want) })
	}
	for i := range 3 {
		f.do(f.plain(), "CLIENT", "KILL", "TYPE", "pubsub")
		next("the subscription was cut", prefix)
		f.eventually("the other node too", 10*time.Second, func() bool { return len(exact.all()) >= len(want) })
		client := fmt.Sprint("c", i)
		b.cycle(t, "x", client)
		want = append(want, "granted x by "+client, "released x by "+client)
		prefix.hears(want...)
		exact.hears(want...)
	}
	del := []string{"DEL"}
	for p := range a.store.Partitions() {
		del = append(del, strings.Replace(a.store.EventChannel(p), "events", "watched", 1))
	}
	f.do(f.plain(), del...)
	next("the events went untold", prefix)
	f.eventually("the other node too", 10*time.Second, func() bool { return len(exact.all()) >= len(want) })
	a.cycle(t, "x", "last")
	want = append(want, "granted x by last", "released x by last")
	exact.hears(want...)
	// A beat that was under way may find the partitions gone in two parts, and so make two gaps of it.
	f.eventually("the last event", 10*time.Second, func() bool { return slices.Contains(prefix.says(), "released x by last") })
	got := prefix.says()
	if first := slices.Index(got[len(want)-3:], "gap"); first != 0 {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// TestWatchOrder has two nodes' watchers hear of 1,000 cycles of one lock, by eight clients on two nodes: each grant
// and its release once, in order.
func TestWatchOrder(t *testing.T) {
	t.Parallel()
	const clients, rounds = 8, 125
	f := newFleet(t)
	nodes := []*member{f.node(), f.node()}
	ears := []*ear{f.watch(nodes[0], []string{"hot"}, nil), f.watch(nodes[1], nil, []string{"ho", "h"})}
	holders := make(map[int64]string, clients*rounds)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			client := fmt.Sprint("c", c)
			for i := range rounds {
				g := nodes[(c+i)%2].cycle(t, "hot", client)
				mu.Lock()
				holders[g.Token] = client
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, e := range ears {
		f.eventually("the last release", 10*time.Second, func() bool {
			return len(slices.DeleteFunc(e.says(), func(s string) bool { return !strings.HasPrefix(s, "released") })) >= clients*rounds
		})
		inOrder(t, e.all(), maps.Clone(holders))
	}
}

// inOrder sees that these are the events of holders one after the other, each granted and released once.
func inOrder(t *testing.T, events []queue.Event, holders map[int64]string) {
	t.Helper()
	var last queue.Event
	seq := int64(0)
	for _, e := range events {
		if e.Seq <= seq {
			t.Fatalf("%+v after number %d", e, seq)
		}
		seq = e.Seq
		switch e.Kind {
		case "queued":
			continue
		case "granted":
			if last.Kind == "granted" || e.Token <= last.Token || holders[e.Token] != e.Client {
				t.Fatalf("%+v after %+v", e, last)
			}
		case "released":
			if last.Kind != "granted" || last.Token != e.Token || last.Client != e.Client {
				t.Fatalf("%+v after %+v", e, last)
			}
			delete(holders, e.Token)
		default:
			t.Fatalf("%+v", e)
		}
		last = e
	}
	if len(holders) > 0 {
		t.Errorf("not heard of: %v", holders)
	}
}
