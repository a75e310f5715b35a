package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const (
	lieVariable   = "CONFORMANCE_LIE"
	truthVariable = "CONFORMANCE_TRUTH" // the testclient behind the liar
)

type message = map[string]any

// A liar stands between the runner and a testclient and does not tell the truth. It is this test's binary, started
// again with lieVariable set.
type liar struct {
	mu       sync.Mutex
	start    time.Time
	shift    float64 // what to add to our clock to have the client's
	toClient io.Writer
	asked    map[int]message // by id
	answered map[int]bool
	lie      lie
}

// A lie sees what passes, in both directions, and returns what shall pass instead: nothing, the same, or more.
type lie struct {
	down func(l *liar, m message) []message // from the runner
	up   func(l *liar, m message) []message // from the client
}

func id(m message, key string) int {
	n, _ := m[key].(float64)
	return int(n)
}

func (l *liar) now() float64 { return float64(time.Since(l.start).Microseconds())/1e3 + l.shift }

// say writes a line to the runner, once an answer is asked for.
func (l *liar) say(m message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sayLocked(m)
}

func (l *liar) sayLocked(m message) {
	if n := id(m, "id"); n > 0 && m["event"] == nil {
		if l.answered[n] && m["twice"] == nil {
			return
		}
		l.answered[n] = true
	}
	if _, has := m["at"]; !has {
		m["at"] = l.now()
	}
	writeLine(os.Stdout, m)
}

func writeLine(w io.Writer, m message) {
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(w, "%s\n", text)
}

func (l *liar) pass(m message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	writeLine(l.toClient, m)
}

func runLiar(name string) int {
	l := &liar{start: time.Now(), asked: map[int]message{}, answered: map[int]bool{}, lie: lies[name]}
	cmd := exec.Command(os.Getenv(truthVariable))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		panic(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		panic(err)
	}
	l.toClient = in
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	go func() {
		defer in.Close()
		each(os.Stdin, func(m message) {
			l.mu.Lock()
			l.asked[id(m, "id")] = m
			l.mu.Unlock()
			if l.lie.down == nil {
				l.pass(m)
				return
			}
			for _, m := range l.lie.down(l, m) {
				l.pass(m)
			}
		})
	}()
	each(out, func(m message) {
		l.mu.Lock()
		at, _ := m["at"].(float64)
		l.shift = at - float64(time.Since(l.start).Microseconds())/1e3
		l.mu.Unlock()
		if l.lie.up == nil {
			l.say(m)
			return
		}
		for _, m := range l.lie.up(l, m) {
			l.say(m)
		}
	})
	_ = cmd.Wait()
	return 0
}

func each(r io.Reader, f func(message)) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, longestLine)
	for s.Scan() {
		var m message
		if json.Unmarshal(s.Bytes(), &m) == nil {
			f(m)
		}
	}
}

func (l *liar) op(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	op, _ := l.asked[n]["op"].(string)
	return op
}

// answer changes the good answers to some ops.
func answer(op string, change func(l *liar, ok message)) lie {
	return lie{up: func(l *liar, m message) []message {
		ok, good := m["ok"].(map[string]any)
		if good && l.op(id(m, "id")) == op {
			change(l, ok)
		}
		return []message{m}
	}}
}

// lies are by name; what catches them is in planted_test.go.
var lies = map[string]lie{
	"none": {},
	// An acquire is answered before it was granted.
	"early-grant": {down: func(l *liar, m message) []message {
		if m["op"] == "acquire" {
			args, _ := m["args"].(map[string]any)
			time.AfterFunc(100*time.Millisecond, func() {
				l.say(message{"id": m["id"], "ok": message{
					"lockId": strings.Repeat("x", 24), "name": args["name"], "fencingToken": 1 << 52, "leftMs": 1000.0, "waitedMs": 400.0,
				}})
			})
		}
		return []message{m}
	}},
	// A release is answered at once and done later.
	"late-release": {down: func(l *liar, m message) []message {
		if m["op"] != "release" {
			return []message{m}
		}
		l.say(message{"id": m["id"], "ok": message{}})
		time.AfterFunc(300*time.Millisecond, func() { l.pass(m) })
		return nil
	}},
	// A release is answered and never done.
	"no-release": {down: func(l *liar, m message) []message {
		if m["op"] != "release" {
			return []message{m}
		}
		l.say(message{"id": m["id"], "ok": message{}})
		return nil
	}},
	// A loss is not told.
	"silent-loss": {up: func(_ *liar, m message) []message {
		if m["event"] == "lost" {
			return nil
		}
		return []message{m}
	}},
	// A loss is told late.
	"late-loss": {up: func(l *liar, m message) []message {
		if m["event"] != "lost" {
			return []message{m}
		}
		delete(m, "at")
		time.AfterFunc(400*time.Millisecond, func() { l.say(m) })
		return nil
	}},
	// All losses are told too soon: as soon as there is a lock.
	"hasty-loss": {up: func(l *liar, m message) []message {
		if m["ok"] != nil && l.op(id(m, "id")) == "acquire" {
			return []message{m, {"event": "lost", "of": m["id"], "kind": "lost"}}
		}
		return []message{m}
	}},
	// A cancelled wait goes on in secret.
	"secret-wait": {down: func(l *liar, m message) []message {
		if m["op"] != "cancel" {
			return []message{m}
		}
		args, _ := m["args"].(map[string]any)
		l.say(message{"id": args["target"], "error": message{"kind": "cancelled"}})
		l.say(message{"id": m["id"], "ok": message{}})
		return nil
	}},
	// A client that was closed is not.
	"no-close": {down: func(l *liar, m message) []message {
		if m["op"] != "close" {
			return []message{m}
		}
		l.say(message{"id": m["id"], "ok": message{}})
		return nil
	}},
	// Events go missing.
	"lossy-events": {up: func(_ *liar, m message) []message {
		if m["event"] == "event" && m["kind"] == "released" && m["lockName"] == "x" {
			return nil
		}
		return []message{m}
	}},
	"twofold-answers": {up: func(_ *liar, m message) []message {
		if m["ok"] == nil {
			return []message{m}
		}
		again := message{"twice": true}
		maps.Copy(again, m)
		return []message{m, again}
	}},
	// Every error is of another kind.
	"wrong-kinds": {up: func(_ *liar, m message) []message {
		if e, failed := m["error"].(map[string]any); failed {
			e["kind"] = "other"
		}
		return []message{m}
	}},
	// The token is not that of the grant.
	"wrong-tokens": answer("acquire", func(_ *liar, ok message) {
		if n, is := ok["fencingToken"].(float64); is {
			ok["fencingToken"] = n + 1
		}
	}),
	"long-leases": answer("acquire", func(_ *liar, ok message) {
		if n, is := ok["endsAt"].(float64); is {
			ok["endsAt"] = n + 500
		}
	}),
	// Something is kept running after close.
	"leaks": answer("leaks", func(l *liar, ok message) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, m := range l.asked {
			if n, is := ok["tasks"].(float64); is && m["op"] == "close" {
				ok["tasks"] = n + 1
				return
			}
		}
	}),
	// The block goes on when its lock is lost.
	"stubborn-block": {up: func(_ *liar, m message) []message {
		if m["event"] == "left" {
			return nil
		}
		return []message{m}
	}},
}
