package queue

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"distributedlock/queue/embedded"
)

var update = flag.Bool("update", false, "write the states in testdata anew, from redis-server")

// scriptCase is one call of a script: what was there before, the call, and its answer in words. What is there
// before and afterwards, the answer and the messages must be as testdata/FILE.golden has them.
type scriptCase struct {
	name   string
	before func(w *world)
	call   func(w *world) string
}

// runCases runs the cases on a redis-server and on the in-process stand-in, while nobody watches the events, and while
// somebody does: then the scripts go other ways, to the same end.
func runCases(t *testing.T, file string, cases []scriptCase) {
	t.Helper()
	t.Parallel()
	for mode, watched := range map[string]bool{"": false, ".watched": true} {
		path := filepath.Join("testdata", file+mode+".golden")
		if *update {
			writeGolden(t, path, cases, watched)
		}
		want := readGolden(t, path)
		if len(want) != len(cases) {
			t.Errorf("%s has %d cases, the test %d", path, len(want), len(cases))
		}
		for kind, opt := range map[string]embedded.Option{"redis-server": embedded.RealOnly(), "miniredis": embedded.InProcess()} {
			t.Run(kind+mode, func(t *testing.T) {
				w := newWorld(t, opt)
				w.watched = watched
				w.listen()
				for _, c := range cases {
					w.t = t
					if got := w.run(c); got != want[c.name] {
						t.Errorf("%s:\n%s", c.name, differ(want[c.name], got))
					}
				}
			})
		}
	}
}

func writeGolden(t *testing.T, path string, cases []scriptCase, watched bool) {
	t.Helper()
	var all strings.Builder
	w := newWorld(t, embedded.RealOnly())
	w.watched = watched
	w.listen()
	for _, c := range cases {
		all.WriteString("=== " + c.name + "\n" + w.run(c))
	}
	if err := os.WriteFile(path, []byte(all.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *world) run(c scriptCase) string {
	w.t.Helper()
	w.reset()
	if c.before != nil {
		c.before(w)
	}
	w.flush()
	w.unordered = false
	before := w.dump()
	answer := c.call(w)
	messages := w.flush()
	if w.unordered {
		slices.Sort(messages)
	}
	for i := range messages {
		messages[i] += "\n"
	}
	return "--- before\n" + before + "--- answer\n" + moments(answer) + "--- after\n" + w.dump() +
		"--- messages\n" + moments(strings.Join(messages, ""))
}

func readGolden(t *testing.T, path string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, part := range strings.Split(string(raw), "=== ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		out[name] = text
	}
	return out
}

// differ shows both texts, the lines marked that the other has not.
func differ(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var b strings.Builder
	for _, l := range w {
		if !slices.Contains(g, l) {
			b.WriteString("missing: " + l + "\n")
		}
	}
	for _, l := range g {
		mark := "         "
		if !slices.Contains(w, l) {
			mark = "     new: "
		}
		b.WriteString(mark + l + "\n")
	}
	return b.String()
}

// acquires is a call that asks for a lock.
func acquires(node string, q *Request, line int) func(*world) string {
	return func(w *world) string { return sayAcquired(w.store(node).Acquire(context.Background(), q, line)) }
}

// heldBy has a client on node a hold the lock "x" for 30 s; a second later something else happens.
func heldBy(client string, changes ...change) func(*world) {
	return func(w *world) {
		w.take("a", ask("x", client, changes...))
		w.clock(time.Second)
	}
}

// then does things one after another, each a second after the last.
func then(steps ...func(*world)) func(*world) {
	return func(w *world) {
		for _, s := range steps {
			s(w)
			w.clock(time.Second)
		}
	}
}

func taken(node string, q *Request) func(*world)  { return func(w *world) { w.take(node, q) } }
func queued(node string, q *Request) func(*world) { return func(w *world) { w.stand(node, q) } }
func later(by time.Duration) func(*world)         { return func(w *world) { w.clock(by - time.Second) } }
func dead(node string) func(*world)               { return func(w *world) { w.dies(node) } }

func freed(node, client string) func(*world) {
	return func(w *world) {
		if _, _, err := w.store(node).Release(context.Background(), "x", client, "L-"+client); err != nil {
			w.t.Fatal(err)
		}
	}
}

func parked(node string, q *Request) func(*world) {
	return func(w *world) {
		if c, err := w.store(node).Cancel(context.Background(), q, true); err != nil || c.Word != "left" {
			w.t.Fatal(c.Word, err)
		}
	}
}

func claimed(node string) func(*world) {
	return func(w *world) {
		if e, err := w.store(node).Claim(context.Background(), 0); err != nil || len(e.Handed) == 0 {
			w.t.Fatal(e, err)
		}
	}
}
