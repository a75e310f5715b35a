package main

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// edge is one of GET /graph, as far as it can be foretold.
type edge struct{ waiter, waiterClient, holder, holderClient, lock string }

// picture is GET /graph: the edges with since when they are, the owners, and the cycles.
type picture struct {
	edges  map[edge]time.Time
	owners map[actor]bool
	cycles [][]step
	answer answer
}

func (n *node) graph(t *testing.T) picture {
	t.Helper()
	p := picture{edges: map[edge]time.Time{}, owners: map[actor]bool{}, answer: n.call(200, http.MethodGet, "/graph", "")}
	list := func(field string) []any {
		l, ok := p.answer[field].([]any)
		if !ok {
			t.Fatalf("%s in %v", field, p.answer)
		}
		return l
	}
	for _, raw := range list("edges") {
		e := answer(raw.(map[string]any))
		since, err := time.Parse("2006-01-02T15:04:05.000Z", e.str("since"))
		if err != nil || len(e) != 6 {
			t.Errorf("%v: %v", e, err)
		}
		is := edge{e.str("waiter"), e.str("waiterClientId"), e.str("holder"), e.str("holderClientId"), e.str("lockName")}
		if !p.edges[is].IsZero() {
			t.Errorf("twice: %v", is)
		}
		p.edges[is] = since
	}
	for _, raw := range list("owners") {
		o := answer(raw.(map[string]any))
		if is := (actor{o.str("clientId"), o.str("ownerId")}); p.owners[is] || len(o) != 2 {
			t.Errorf("%v, in %v", o, p.owners)
		} else {
			p.owners[is] = true
		}
	}
	for _, raw := range list("cycles") {
		p.cycles = append(p.cycles, cycleOf(t, raw))
	}
	return p
}

// shows sees that these edges are there, and their owners, and no others.
func (p picture) shows(t *testing.T, want map[edge]*asked) {
	t.Helper()
	owners := map[actor]bool{}
	for e, q := range want {
		owners[actor{e.waiterClient, e.waiter}], owners[actor{e.holderClient, e.holder}] = true, true
		if since, ok := p.edges[e]; !ok || off(since, q.sent, time.Now()) {
			t.Errorf("%+v since %s (%v), asked at %s", e, since, ok, q.sent)
		}
	}
	if len(p.edges) != len(want) || len(p.owners) != len(owners) {
		t.Errorf("%v, %v; want %v", p.edges, p.owners, want)
	}
	for o := range owners {
		if !p.owners[o] {
			t.Errorf("no owner %v", o)
		}
	}
	if p.answer["truncated"] != nil || p.answer["note"] != nil {
		t.Errorf("%v", p.answer)
	}
}

var (
	dotNode = regexp.MustCompile(`^  (n\d+) \[label="((?:[^"\\]|\\.)*)"\];$`)
	dotEdge = regexp.MustCompile(`^  (n\d+) -> (n\d+) \[label="((?:[^"\\]|\\.)*)"\];$`)
	dotNote = regexp.MustCompile(`^  label="((?:[^"\\]|\\.)*)";$`)
)

// dot is what the graph has in Graphviz's language: the labels of the nodes, how many edges, and the graph's own label.
// Where Graphviz is installed, it must read it too.
func (n *node) dot(t *testing.T) (nodes map[string]string, edges int, note string) {
	t.Helper()
	res, err := http.Get(n.url + "/graph?format=dot")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/vnd.graphviz") {
		t.Fatalf("%v %d %v %s", err, res.StatusCode, res.Header, raw)
	}
	lines := strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
	if !strings.HasPrefix(lines[0], "digraph ") || !strings.HasSuffix(lines[0], " {") || lines[len(lines)-1] != "}" {
		t.Errorf("%s", raw)
	}
	nodes = map[string]string{}
	for _, line := range lines[1 : len(lines)-1] {
		if m := dotNode.FindStringSubmatch(line); m != nil && nodes[m[1]] == "" {
			nodes[m[1]] = m[2]
		} else if m := dotEdge.FindStringSubmatch(line); m != nil && nodes[m[1]] != "" && nodes[m[2]] != "" {
			edges++
		} else if m := dotNote.FindStringSubmatch(line); m != nil && note == "" {
			note = m[1]
		} else {
			t.Errorf("no dot: %s", line)
		}
	}
	if path, err := exec.LookPath("dot"); err == nil && len(lines) < 100 { // it takes its time
		cmd := exec.Command(path, "-Tsvg")
		cmd.Stdin = strings.NewReader(string(raw))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("graphviz: %v\n%s\n%s", err, out, raw)
		}
	}
	return nodes, edges, note
}

// TestDeadlockOff has nodes look for no deadlocks: requests in a circle wait until their time is over. The graph shows it.
func TestDeadlockOff(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "DEADLOCK_DETECTION=false")
	ear := f.nodes[0].ear("*")
	c := newCircle(t, f, "off", f.rest(t, "member", ""), f.wired(t, "last", "thread"))
	closes := c.last.stand(f.nodes[1], "off-first", 1, "waitTimeout", 4)
	self := f.rest(t, "self", "me")
	own := self.keep(f.nodes[0], "own")
	again := self.stand(f.nodes[1], "own", 1, "waitTimeout", 4)
	for _, n := range f.nodes {
		p := n.graph(t)
		p.shows(t, map[edge]*asked{
			{"member", "member", "thread", "last", "off-second"}: c.waits,
			{"thread", "last", "member", "member", "off-first"}:  closes,
			{"me", "self", "me", "self", "own"}:                  again,
		})
		if len(p.cycles) != 2 {
			t.Fatalf("%v", p.cycles)
		}
		for _, cycle := range p.cycles {
			if cycle[0].Client == "self" {
				checkCycle(t, cycle, link{own, again})
			} else {
				checkCycle(t, cycle, link{c.second, closes}, link{c.first, c.waits})
			}
		}
		if nodes, edges, note := n.dot(t); len(nodes) != 3 || edges != 3 || note != "" {
			t.Errorf("%v, %d edges, %q", nodes, edges, note)
		}
	}
	f.quiet(t, ear, c.waits, closes, again)
	for _, q := range []*asked{closes, again} {
		if a := q.must("wait_timeout"); a.num("waitTime") < 4 || q.ended.Sub(q.sent) < 4*time.Second {
			t.Errorf("after %s: %v", q.ended.Sub(q.sent), a)
		}
	}
	c.last.release(f.nodes[0], c.second.answer)
	c.member.release(f.nodes[1], c.waits.must("granted"), c.first.answer)
	for _, n := range f.nodes {
		if got := n.reports(); got != [3]float64{} {
			t.Errorf("%v reported", got)
		}
	}
	if stats := f.nodes[0].call(200, http.MethodGet, "/locks/stats", ""); stats.num("deadlocksDetected") != 0 || ear.has(frame{"event": "deadlock"}) {
		t.Errorf("%v", stats)
	}
}

// TestGraph shows who waits for whom where there is no deadlock, whatever they are called.
func TestGraph(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	n := f.nodes[0]
	n.graph(t).shows(t, nil)
	if nodes, edges, note := n.dot(t); len(nodes) != 0 || edges != 0 || note != "" {
		t.Errorf("%v, %d edges, %q", nodes, edges, note)
	}
	odd := "odd \"lock\" \\ {}<&>/\u00fc\u2028;n1"
	reader, other := f.rest(t, `a "reader" \`, "thread 1"), f.wired(t, "ünï\\n", `"];`)
	writer, last, spare := f.wired(t, "writer", ""), f.rest(t, "writer", "second"), f.rest(t, "spare", "second")
	shared := []answer{reader.hold(n, odd, "mode", "shared"), other.hold(f.nodes[1], odd, "mode", "shared")}
	writes := writer.stand(n, odd, 1)
	pool := []answer{writer.hold(n, "alone"), last.hold(n, "pool", "limit", 2), spare.hold(f.nodes[1], "pool", "limit", 2)}
	waits := reader.stand(f.nodes[1], "pool", 1, "limit", 2)
	want := map[edge]*asked{
		{"writer", "writer", "thread 1", reader.client, odd}:    writes,
		{"writer", "writer", other.owner, other.client, odd}:    writes,
		{"thread 1", reader.client, "second", "writer", "pool"}: waits,
		{"thread 1", reader.client, "second", "spare", "pool"}:  waits,
	}
	for _, n := range f.nodes {
		p := n.graph(t)
		if len(p.cycles) != 0 {
			t.Errorf("%v", p.cycles)
		}
		p.shows(t, want)
		nodes, edges, note := n.dot(t)
		if len(nodes) != 5 || edges != len(want) || note != "" {
			t.Errorf("%v, %d edges, %q", nodes, edges, note)
		}
	}
	if code, a, err := n.try(http.MethodGet, "/graph?format=svg", ""); err != nil || code != 400 || a.str("code") != "invalid_argument" {
		t.Errorf("%d %v %v", code, a, err)
	}
	last.release(n, pool[1])
	spare.release(n, pool[2])
	reader.release(n, waits.must("granted"), shared[0])
	other.release(n, shared[1])
	writer.release(n, writes.must("granted"), pool[0])
	n.graph(t).shows(t, nil)
}

// TestGraphCut has more wait than the graph shows.
func TestGraphCut(t *testing.T) {
	t.Parallel()
	const waiters, shown = 1100, 1000
	f := newFleet(t)
	f.rest(t, "holder", "").hold(f.nodes[0], "crowded")
	p := f.wired(t, "many", "")
	for i := range waiters {
		p.ask(f.nodes[i%2], "crowded", "ownerId", fmt.Sprint("thread-", i))
	}
	f.line(t, "crowded", waiters)
	for _, n := range f.nodes {
		g := n.graph(t)
		if len(g.edges) != shown || g.answer["truncated"] != true || !strings.Contains(g.answer.str("note"), "1,000") || len(g.cycles) != 0 {
			t.Errorf("%d edges, truncated: %v, note %q, %d cycles", len(g.edges), g.answer["truncated"], g.answer.str("note"), len(g.cycles))
		}
		if len(g.owners) != shown+1 || !g.owners[actor{"holder", "holder"}] {
			t.Errorf("%d owners", len(g.owners))
		}
		if nodes, edges, note := n.dot(t); len(nodes) != shown+1 || edges != shown || !strings.Contains(note, "1,000") {
			t.Errorf("%d nodes, %d edges, %q", len(nodes), edges, note)
		}
	}
}
