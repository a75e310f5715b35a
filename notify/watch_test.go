package notify

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"distributedlock/queue/embedded"
)

const channel = "dl:{1}:events"

// within waits for something on a channel that must come.
func within[T any](t *testing.T, what string, c <-chan T) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("not within 10 s: %s", what)
	}
}

// say is a message for people: a gap is "~".
func say(m Message) string {
	if m.Gap {
		return "~"
	}
	return m.Text
}

// hears sees that a watch tells exactly this, with "~" for a gap, and gives it as it was told.
func (w *world) hears(watch *Watch, want ...string) []Message {
	w.t.Helper()
	var all []Message
	var got []string
	w.eventually(strings.Join(want, " "), func() bool {
		for _, m := range watch.Take(nil) {
			all, got = append(all, m), append(got, say(m))
		}
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		w.t.Fatalf("heard %q, want %q", got, want)
	}
	return all
}

// subscribers waits until so many connections listen to the channel.
func (w *world) subscribers(n int) {
	w.t.Helper()
	w.eventually(fmt.Sprint(n, " subscribers"), func() bool {
		have, err := w.plain.Do(w.t.Context(), w.plain.B().PubsubNumsub().Channel(channel).Build()).AsIntMap()
		return err == nil && have[channel] == int64(n)
	})
}

// TestWatches has the node listen to a channel only while somebody watches it, and a slow watcher alone lose messages.
func TestWatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t, embedded.TCP())
	w.run()
	w.eventually("subscribed", w.hub.Up)
	w.subscribers(0)
	slow, quick := w.hub.Watch(channel, 1), w.hub.Watch(channel, 8)
	within(t, "ready", slow.Ready)
	within(t, "ready", quick.Ready)
	w.subscribers(1)
	for _, message := range []string{"a", "b", "c"} {
		w.do("PUBLISH", channel, message)
	}
	w.hears(quick, "a", "b", "c")
	w.hears(slow, "a", "~")
	w.do("PUBLISH", channel, "d")
	w.hears(slow, "d")
	slow.Close()
	w.do("PUBLISH", channel, "e")
	w.hears(quick, "d", "e")
	if left := slow.Take(nil); len(left) > 0 {
		t.Errorf("a closed watch has %v", left)
	}
	quick.Close()
	w.subscribers(0)
}

// TestOverflow fills a watch's room again and again: the gap stands where the first was dropped, once, and what was
// dropped after another gap is not hidden behind that one's occasion.
func TestOverflow(t *testing.T) {
	t.Parallel()
	hub := New(Options{})
	watch := hub.Watch(channel, 2)
	tell := func(want string) {
		t.Helper()
		var got []string
		for _, m := range watch.Take(nil) {
			got = append(got, say(m)+strconv.FormatInt(m.Occasion, 10))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s, want %s", s, want)
		}
	}
	for _, m := range []string{"a", "b", "c", "d"} {
		watch.add(m)
	}
	tell("a0 b0 ~0")
	watch.add("e")
	watch.Miss(3)
	watch.Miss(7)
	watch.Miss(5)
	tell("e0 ~7")
	watch.add("f")
	watch.Miss(8)
	watch.add("g")
	tell("f0 ~0")
	watch.Miss(0)
	watch.Miss(9)
	tell("~0")
	within(t, "the note", watch.Wake)
	watch.Close()
	watch.add("h")
	watch.Miss(0)
	tell("")
}

// TestSubscription goes by hand through what Redis is too quick for: confirmations and messages that come late, for a
// channel that was left meanwhile, or from a connection that is no more.
func TestSubscription(t *testing.T) {
	t.Parallel()
	hub := New(Options{Channel: "own", Expired: func(string) {}})
	isReady := func(w *Watch) bool {
		select {
		case <-w.Ready:
			return true
		default:
			return false
		}
	}
	heard := func(w *Watch) (out string) {
		for _, m := range w.Take(nil) {
			out += say(m)
		}
		return out
	}
	first := hub.begin()
	one := hub.Watch(channel, 8)
	hub.deliver(first, channel, "a") // no promise stands yet that b follows
	if got := hub.wanted(first); !slices.Equal(got, []string{channel, hub.expired, "own"}) || isReady(one) {
		t.Fatalf("wanted %q, ready %v", got, isReady(one))
	}
	hub.confirm(first, channel)
	hub.deliver(first, channel, "b")
	if got := heard(one); got != "b" || !isReady(one) {
		t.Errorf("confirmed: %q, ready %v", got, isReady(one))
	}
	joined := hub.Watch(channel, 8)
	if !isReady(joined) {
		t.Error("a channel that is listened to is not ready")
	}
	one.Close()
	joined.Close()
	again := hub.Watch(channel, 8) // before the hub has taken note
	if !isReady(again) {
		t.Error("a channel that is still listened to is not ready")
	}
	again.Close()
	hub.wanted(first) // from here on it will be left
	hub.confirm(first, channel)
	late := hub.Watch(channel, 8)
	hub.deliver(first, channel, "c")
	if got := heard(late); got != "" || isReady(late) {
		t.Errorf("a channel about to be left: %q, ready %v", got, isReady(late))
	}
	hub.wanted(first)
	hub.confirm(first, channel)
	hub.deliver(first, channel, "d")
	hub.end()
	hub.deliver(first, channel, "e")
	between := hub.Watch(channel, 8)
	second := hub.begin()
	hub.wanted(second)
	hub.confirm(first, channel)
	hub.deliver(first, channel, "f")
	if got := heard(late) + heard(between); got != "d" || isReady(between) {
		t.Errorf("the old connection: %q, ready %v", got, isReady(between))
	}
	hub.confirm(second, channel)
	hub.deliver(second, channel, "g")
	if got := heard(late) + "/" + heard(between); got != "~g/g" || !isReady(between) {
		t.Errorf("the new connection: %q, ready %v", got, isReady(between))
	}
}

// TestGap cuts the connection while messages are published: each watch is told of the gap before the first message of
// the new connection, and those of one node by the same occasion.
func TestGap(t *testing.T) {
	t.Parallel()
	w := newWorld(t, embedded.TCP())
	w.run()
	one, other := w.hub.Watch(channel, 1000), w.hub.Watch("dl:{2}:events", 1000)
	within(t, "ready", one.Ready)
	within(t, "ready", other.Ready)
	last := int64(0)
	for round := range 20 {
		w.do("PUBLISH", channel, "before")
		w.do("CLIENT", "KILL", "TYPE", "pubsub")
		w.eventually("somebody listens again", func() bool { // and hears it at the same moment
			n, err := w.plain.Do(t.Context(), w.plain.B().Publish().Channel(channel).Message("after").Build()).AsInt64()
			return err == nil && n > 0
		})
		got := w.hears(one, "before", "~", "after")
		gap := w.hears(other, "~")
		if at := got[1].Occasion; at <= last || at != gap[0].Occasion {
			t.Fatalf("round %d: occasions %d and %d, after %d", round, at, gap[0].Occasion, last)
		}
		last = got[1].Occasion
	}
}

// TestJoinsLiveChannel watches a channel that is watched already, and one that was left a moment ago, before Redis was
// told: both become ready.
func TestJoinsLiveChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, embedded.TCP())
	w.run()
	watch := w.hub.Watch(channel, 8)
	for i := range 300 {
		within(t, "ready", watch.Ready)
		if i%3 == 0 {
			next := w.hub.Watch(channel, 8)
			watch.Close()
			watch = next
		} else {
			watch.Close()
			watch = w.hub.Watch(channel, 8)
		}
	}
	within(t, "ready", watch.Ready)
	w.do("PUBLISH", channel, "hello")
	w.hears(watch, "hello")
}

// TestWatchWhileAway begins to watch while Redis is away, beside one who watches since before: that one is told of the
// gap, the new one is ready only then, and misses nothing it could know of.
func TestWatchWhileAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, embedded.TCP())
	w.run()
	old := w.hub.Watch(channel, 8)
	within(t, "ready", old.Ready)
	if err := w.redis.Kill(); err != nil {
		t.Fatal(err)
	}
	w.eventually("down", func() bool {
		w.hub.mu.Lock()
		defer w.hub.mu.Unlock()
		return w.hub.now == nil
	})
	fresh := w.hub.Watch(channel, 8)
	select {
	case <-fresh.Ready:
		t.Error("ready without redis")
	default:
	}
	if err := w.redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	within(t, "ready", fresh.Ready)
	w.eventually("the plain client is back", func() bool {
		return w.plain.Do(t.Context(), w.plain.B().Ping().Build()).Error() == nil
	})
	w.do("PUBLISH", channel, "hello")
	w.hears(old, "~", "hello")
	w.hears(fresh, "hello")
}

// TestComeAndGo has many watch and leave while messages and cuts go on: whoever is ready gets every later message, in
// order, or a gap where some are missing.
func TestComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, embedded.TCP())
	w.run()
	stop := make(chan struct{})
	var publisher, watchers sync.WaitGroup
	publisher.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
				w.do("PUBLISH", channel, strconv.Itoa(i))
				if i%200 == 0 {
					w.do("CLIENT", "KILL", "TYPE", "pubsub")
				}
			}
		}
	})
	for range 8 {
		watchers.Go(func() {
			for range 25 {
				w.follow(1 + rand.IntN(50))
			}
		})
	}
	watchers.Wait()
	close(stop)
	publisher.Wait()
	w.subscribers(0)
}

// follow watches for so many messages.
func (w *world) follow(messages int) {
	watch := w.hub.Watch(channel, 1000)
	defer watch.Close()
	select {
	case <-watch.Ready:
	case <-time.After(10 * time.Second):
		w.t.Error("not ready within 10 s")
		return
	}
	last, gap := 0, true // it does not know the first one's number
	for heard := 0; heard < messages; {
		select {
		case <-watch.Wake:
		case <-time.After(10 * time.Second):
			w.t.Error("no message within 10 s")
			return
		}
		for _, m := range watch.Take(nil) {
			if m.Gap {
				gap = true
				continue
			}
			n, err := strconv.Atoi(m.Text)
			if err != nil || n <= last || !gap && n != last+1 {
				w.t.Errorf("%s after %d", m.Text, last)
			}
			last, gap = n, false
			heard++
		}
	}
}
