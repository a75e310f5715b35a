package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// step is one entry of a cycle.
type step struct {
	Client       string    `json:"clientId"`
	Owner        string    `json:"ownerId"`
	Holds        string    `json:"holds"`
	HeldSince    time.Time `json:"heldSince"`
	WaitsFor     string    `json:"waitsFor"`
	WaitingSince time.Time `json:"waitingSince"`
}

// cycleOf reads a cycle, which must have these fields and no others.
func cycleOf(t *testing.T, raw any) (cycle []step) {
	t.Helper()
	text, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&cycle); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return cycle
}

// link is what an entry of a cycle must tell: who was granted, or stands in line for, the one and waits for the other.
type link struct{ has, waits *asked }

// checkCycle holds a cycle against what was asked.
func checkCycle(t *testing.T, cycle []step, want ...link) {
	t.Helper()
	if len(cycle) != len(want) {
		t.Fatalf("%d in the cycle, want %d: %v", len(cycle), len(want), cycle)
	}
	now := time.Now().Add(clockSlack)
	for i, s := range cycle {
		has, waits := want[i].has, want[i].waits
		p := waits.p
		if s.Client != p.client || s.Owner != p.ownerID() || s.Holds != has.lock || s.WaitsFor != waits.lock {
			t.Errorf("step %d: %+v, want %s/%s, which has %s and waits for %s", i, s, p.client, p.ownerID(), has.lock, waits.lock)
		}
		if s.HeldSince.Before(has.sent.Add(-clockSlack)) || s.HeldSince.After(waits.sent.Add(clockSlack)) {
			t.Errorf("step %d: held since %s, asked for at %s and before %s", i, s.HeldSince, has.sent, waits.sent)
		}
		if s.WaitingSince.Before(waits.sent.Add(-clockSlack)) || s.WaitingSince.After(now) {
			t.Errorf("step %d: waiting since %s, asked at %s", i, s.WaitingSince, waits.sent)
		}
	}
}

// broken waits until a request was failed to break this circle, of which it is the first. It must be as the document
// says, and soon.
func (q *asked) broken(want ...link) {
	q.p.t.Helper()
	a := q.must("deadlock")
	if a["acquired"] != false || a.str("requestId") == "" || a.str("detail") == "" {
		q.p.t.Errorf("%v", a)
	}
	checkCycle(q.p.t, cycleOf(q.p.t, a["cycle"]), want...)
}

// ear hears of deadlocks and of requests that leave a line.
func (n *node) ear(locks string) *wsClient {
	n.t.Helper()
	c := n.dial()
	c.send(answer{"type": "subscribe", "id": "ear", "locks": []string{locks}, "events": []string{"deadlock", "dequeued"}})
	c.get(frame{"type": "subscribed", "id": "ear"})
	return c
}

// reports are how many deadlocks a node has broken, by its metric, its other metric and its log.
func (n *node) reports() [3]float64 {
	n.t.Helper()
	return [3]float64{n.metric("distributed_locks_deadlocks_detected"), n.failures("deadlock"), float64(len(n.logged()))}
}

// failures are how many acquires failed for a reason; the page does not have those that never came up.
func (n *node) failures(reason string) (value float64) {
	n.t.Helper()
	res, err := crowd.Get(n.url + "/metrics")
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	if _, text, ok := strings.Cut(string(raw), fmt.Sprintf("distributed_locks_acquire_failures_total{reason=%q} ", reason)); ok {
		if _, err := fmt.Sscan(text, &value); err != nil {
			n.t.Error(err)
		}
	}
	return value
}

// detected is how many deadlocks all nodes have broken.
func (f *fleet) detected() (sum float64) {
	for _, n := range f.nodes {
		sum += n.metric("distributed_locks_deadlocks_detected")
	}
	return sum
}

// logged are the log lines about deadlocks.
func (n *node) logged() (lines []answer) {
	for line := range strings.Lines(n.said()) {
		var a answer
		if strings.Contains(line, "deadlock broken") && json.Unmarshal([]byte(line), &a) == nil {
			lines = append(lines, a)
		}
	}
	return lines
}

// quiet waits for a while in which a sweep comes by, and sees that none of the requests has ended and nobody was told
// of a deadlock.
func (f *fleet) quiet(t *testing.T, ear *wsClient, waiting ...*asked) {
	t.Helper()
	time.Sleep(sweepsBy) // what must not happen cannot be waited for
	for _, q := range waiting {
		if q.over() {
			t.Errorf("%s asked for %s: %s %v", q.p.client, q.lock, q.word, q.answer)
		}
	}
	if ear.has(frame{"event": "deadlock"}) {
		t.Errorf("told of a deadlock: %v", ear.all())
	}
}
