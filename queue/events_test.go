package queue

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"distributedlock/queue/embedded"
)

func TestParseEvent(t *testing.T) { // not parallel: it counts allocations
	at := time.UnixMilli(1700000000123).UTC()
	for _, c := range []struct {
		message string
		want    Event
	}{
		{"granted\nx\n17\n1700000000123\nc1\no1\n99\n", Event{Kind: "granted", Name: "x", Token: 17, At: at, Client: "c1", Owner: "o1", Seq: 99}},
		{"dequeued\na/b ü\n0\n1700000000123\nc1\nc1\n9007199254740991\ntimeout", Event{Kind: "dequeued", Name: "a/b ü", At: at,
			Client: "c1", Owner: "c1", Seq: 9007199254740991, Reason: "timeout"}},
		{"force_released\nx\n1\n1700000000123\nc\no\n2\ntwo\nlines", Event{Kind: "force_released", Name: "x", Token: 1, At: at,
			Client: "c", Owner: "o", Seq: 2, Reason: "two\nlines"}},
	} {
		got, err := ParseEvent(c.message)
		if err != nil || got != c.want {
			t.Errorf("%q: %+v, %v", c.message, got, err)
		}
		if name, ok := EventName(c.message); !ok || name != c.want.Name {
			t.Errorf("%q: the name is %q, %v", c.message, name, ok)
		}
	}
	for _, bad := range []string{
		"", "\n", "granted", "granted\nx", "granted\nx\n1\n2\nc\no\n3", // the line of the reason is missing
		"\nx\n1\n2\nc\no\n3\n", "granted\n\n1\n2\nc\no\n3\n",
		"granted\nx\n-1\n2\nc\no\n3\n", "granted\nx\n1\n+2\nc\no\n3\n", "granted\nx\n1\n2\nc\no\n3.0\n",
		"granted\nx\n1\n2\nc\no\n\n", "granted\nx\n1.795e+15\n2\nc\no\n3\n", "granted\nx\n1\n9223372036854775807\nc\no\n3\n",
	} {
		if got, err := ParseEvent(bad); !errors.Is(err, errNoEvent) {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
	for _, bad := range []string{"", "granted", "granted\n", "granted\nx", "granted\n\n"} {
		if name, ok := EventName(bad); ok {
			t.Errorf("%q: the name is %q", bad, name)
		}
	}
	if n := testing.AllocsPerRun(100, func() { EventName("granted\nx\n17\n1700000000123\nc1\no1\n99\n") }); n > 0 {
		t.Errorf("%v allocations to find a name", n)
	}
}

// FuzzParseEvent sees that nothing breaks the parser, and that it and EventName find the same lock.
func FuzzParseEvent(f *testing.F) {
	f.Add("granted\nx\n17\n1700000000123\nc1\no1\n99\n")
	f.Add("force_released\nx\n1\n1700000000123\nc\no\n2\ntwo\nlines")
	f.Fuzz(func(t *testing.T, message string) {
		e, err := ParseEvent(message)
		if err != nil {
			return
		}
		if name, ok := EventName(message); !ok || name != e.Name || e.Name == "" || e.Token < 0 || e.Seq < 0 {
			t.Errorf("%q: %+v, and the name %q", message, e, name)
		}
		if !strings.HasSuffix(message, "\n"+e.Reason) {
			t.Errorf("%q: the reason is %q", message, e.Reason)
		}
	})
}

func twoPartitions(o *Options) { o.Partitions = 2 }

// TestWatched sees the mark of a partition stay while the nodes call in time, and change when its key was gone.
func TestWatched(t *testing.T) {
	t.Parallel()
	w := newRealTime(t)
	a, b := w.store("a", twoPartitions), w.store("b", twoPartitions)
	mark := func(s *Store) [2]string {
		t.Helper()
		marks, err := s.Watched(t.Context(), []int{0, 1})
		if err != nil {
			t.Fatal(err)
		}
		return [2]string(marks)
	}
	first := mark(a)
	if first[0] == "" || first[1] == "" || first[0] == first[1] {
		t.Fatalf("the marks are %q", first)
	}
	if got := mark(b); got != first {
		t.Errorf("another node finds %q, not %q", got, first)
	}
	w.do("PEXPIRE", "dl:{0}:watched", "100")
	if got := mark(a); got != first {
		t.Errorf("a mark in time is %q, not %q", got, first)
	}
	left, err := w.raw.Do(t.Context(), w.raw.B().Pttl().Key("dl:{0}:watched").Build()).AsInt64()
	if err != nil || left < 5000 || left > watchedTTL.Milliseconds() {
		t.Errorf("the key lives for %d ms (%v)", left, err)
	}
	w.do("DEL", "dl:{1}:watched")
	second := mark(b)
	if got := mark(a); got != second || got[0] != first[0] || got[1] == first[1] {
		t.Errorf("after the second key was gone: %q, then %q and %q", first, second, got)
	}
	if got, err := a.Watched(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("no partitions: %q, %v", got, err)
	}
}

// TestWatchedErrors: a Redis out of memory still renews what is there; one that is away is said to be.
func TestWatchedErrors(t *testing.T) {
	t.Parallel()
	w := newRealTime(t, embedded.TCP())
	s := w.store("a", twoPartitions)
	before, err := s.Watched(t.Context(), []int{0})
	if err != nil {
		t.Fatal(err)
	}
	w.do("CONFIG", "SET", "maxmemory-policy", "noeviction")
	w.do("CONFIG", "SET", "maxmemory", "1")
	if got, err := s.Watched(t.Context(), []int{0}); err != nil || got[0] != before[0] {
		t.Errorf("out of memory, a key that is there: %q, %v", got, err)
	}
	if _, err := s.Watched(t.Context(), []int{0, 1}); !errors.Is(err, ErrRefused) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("out of memory, a new key: %v", err)
	}
	if err := w.redis.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Watched(context.Background(), []int{0}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("away: %v", err)
	}
}
