package queue

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"distributedlock/queue/embedded"
)

// rig runs the same calls on the scripts and on the model.
type rig struct {
	w *world
	m *model
	// requests are all made so far; caps all the capabilities ever handed out or asked for, and whose they are.
	requests []*Request
	caps     []capability
	// granted is the highest token of each grant seen, and by whom.
	granted map[int64]string
	top     int64
}

type capability struct {
	q      *Request
	lockID string
}

const modelled = "x"

// pick draws one of some things.
func pick[T any](t *rapid.T, what string, of []T) T { return rapid.SampledFrom(of).Draw(t, what) }

func (r *rig) node(t *rapid.T) string {
	return pick(t, "node", []string{"a", "b", "c"})
}

// same fails where the scripts and the model answer differently.
func (r *rig) same(t *rapid.T, what, got, want string) {
	if got != want {
		t.Fatalf("%s: %s, but the model says: %s", what, got, want)
	}
}

func (r *rig) acquire(t *rapid.T) {
	var q *Request
	if len(r.requests) > 0 && rapid.IntRange(0, 2).Draw(t, "again") == 0 {
		q = pick(t, "request", r.requests)
	} else {
		q = &Request{Name: modelled, ID: fmt.Sprint("r", len(r.requests)), Client: pick(t, "client", []string{"c1", "c2", "c3"}),
			Lease: pick(t, "lease", []time.Duration{300 * time.Millisecond, 2 * time.Second, time.Minute}), Mode: Exclusive,
			Limit: r.m.limit, Grace: time.Hour, Known: true}
		if r.m.limit == 1 && rapid.Bool().Draw(t, "shared") {
			q.Mode = Shared
		}
		r.requests = append(r.requests, q)
	}
	r.ask(t, r.node(t), q, pick(t, "wait", []time.Duration{0, time.Second, time.Minute, time.Minute}))
}

// ask asks with capabilities of its own, as each call does.
func (r *rig) ask(t *rapid.T, node string, q *Request, wait time.Duration) {
	lockID := fmt.Sprint("L", len(r.caps))
	r.caps = append(r.caps, capability{q, lockID})
	call := *q
	call.LockID, call.RenewalToken, call.Wait = lockID, "R"+lockID, wait
	a, err := r.w.store(node).Acquire(context.Background(), &call, 1000)
	got := fmt.Sprint(a.Word)
	switch {
	case err != nil:
		got = err.Error()
	case a.Word == Granted:
		got = fmt.Sprintf("granted %s %d", a.Grant.LockID, a.Grant.Token)
	case a.Word == Queued:
		got = fmt.Sprintf("queued %d", a.Ticket)
	}
	r.same(t, q.ID+" on "+node, got, r.m.acquire(node, q, lockID, wait))
}

// use draws a capability, most often a live one.
func (r *rig) use(t *rapid.T) capability {
	var live []capability
	for _, h := range r.m.holders {
		live = append(live, capability{h.q, h.lockID})
	}
	for _, w := range r.m.line {
		live = append(live, capability{w.q, w.lockID})
	}
	if len(live) > 0 && rapid.IntRange(0, 3).Draw(t, "live") > 0 {
		return pick(t, "capability", live)
	}
	if len(r.caps) == 0 {
		return capability{&Request{Name: modelled, ID: "none", Client: "c1"}, "none"}
	}
	return pick(t, "capability", r.caps)
}

func (r *rig) client(t *rapid.T, c capability) string {
	if rapid.IntRange(0, 7).Draw(t, "stranger") == 0 {
		return "stranger"
	}
	return c.q.Client
}

func word(ok string, err error) string {
	if err != nil {
		return errorName(err)
	}
	return ok
}

func (r *rig) release(t *rapid.T) {
	c, node := r.use(t), r.node(t)
	client := r.client(t, c)
	_, _, err := r.w.store(node).Release(context.Background(), modelled, client, c.lockID)
	r.same(t, "release "+c.lockID, word("released", err), r.m.release(node, client, c.lockID))
}

func (r *rig) renew(t *rapid.T) {
	c, node, lease := r.use(t), r.node(t), pick(t, "lease", []time.Duration{0, time.Second, time.Hour})
	client := r.client(t, c)
	_, _, err := r.w.store(node).Renew(context.Background(), modelled, client, "R"+c.lockID, lease)
	r.same(t, "renew "+c.lockID, word("renewed", err), r.m.renew(node, client, c.lockID, lease))
}

func (r *rig) cancel(t *rapid.T) {
	c, node, park := r.use(t), r.node(t), rapid.Bool().Draw(t, "park")
	call := *c.q
	call.LockID = c.lockID
	out, err := r.w.store(node).Cancel(context.Background(), &call, park)
	r.same(t, "cancel "+c.lockID, word(out.Word, err), r.m.cancel(node, c.q, c.lockID, park))
	if park {
		return
	}
	for _, h := range r.m.holders { // no grant after cancel
		if h.lockID == c.lockID && !h.kept {
			t.Fatalf("%s was cancelled, and is held", c.lockID)
		}
	}
}

func (r *rig) claim(t *rapid.T) {
	node := r.node(t)
	if _, err := r.w.store(node).Claim(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	r.m.claim(node)
}

func (r *rig) due(t *rapid.T) {
	node := r.node(t)
	if _, err := r.w.store(node).Due(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	r.m.due(node)
}

func (r *rig) force(t *rapid.T) {
	node := r.node(t)
	lost, _, err := r.w.store(node).ForceRelease(context.Background(), modelled, "")
	if err != nil && !errors.Is(err, ErrNotLocked) {
		t.Fatal(err)
	}
	r.same(t, "force", fmt.Sprintf("%d forced", len(lost)), r.m.force(node))
}

func (r *rig) die(t *rapid.T) {
	node := r.node(t)
	r.w.dies(node)
	r.m.there[node] = false
}

func (r *rig) wake(t *rapid.T) {
	node := r.node(t)
	r.w.alive(node)
	r.m.there[node] = true
}

func (r *rig) bury(t *rapid.T) {
	node, dead := r.node(t), r.node(t)
	if _, err := r.w.store(node).Bury(context.Background(), modelled, dead); err != nil {
		t.Fatal(err)
	}
	r.m.bury(node, dead)
}

func (r *rig) pass(t *rapid.T) {
	by := pick(t, "time", []time.Duration{time.Millisecond, 299 * time.Millisecond, time.Second, claim, 30 * time.Second})
	r.w.clock(by)
	r.m.now += by.Milliseconds()
}

// check compares what can be seen, and holds it against the promises by themselves.
func (r *rig) check(t *rapid.T) {
	st, err := r.w.store("c").Status(context.Background(), modelled, 1000)
	if err != nil {
		t.Fatal(err)
	}
	got, writers := "", 0
	for _, h := range st.Holders {
		got += fmt.Sprintf("%s holds by %s with %d until %d\n", h.Request, h.LockID, h.Token, h.End.UnixMilli())
		if h.Mode == Exclusive {
			writers++
		}
		if by, seen := r.granted[h.Token]; seen && by != h.LockID {
			t.Fatalf("token %d was given to %s and to %s", h.Token, by, h.LockID)
		} else if !seen && h.Token <= r.top {
			t.Fatalf("token %d after %d", h.Token, r.top)
		}
		r.granted[h.Token] = h.LockID
	}
	for _, h := range st.Holders {
		r.top = max(r.top, h.Token)
	}
	if writers > r.m.limit || writers > 0 && writers < len(st.Holders) {
		t.Fatalf("%d writers among %d holders", writers, len(st.Holders))
	}
	seen := map[string]bool{}
	for _, h := range st.Holders {
		seen[h.Request] = true
	}
	for _, q := range st.Waiters {
		if seen[q.Request] {
			t.Fatalf("%s has a second place or grant", q.Request)
		}
		seen[q.Request] = true
		got += fmt.Sprintf("%s waits with %d\n", q.Request, q.Ticket)
	}
	r.same(t, "seen", "\n"+got, "\n"+r.m.state())
}

// TestModel runs random calls by three nodes, with time passing and nodes dying between them, on the scripts and on
// a model: 500 rounds, or as many as -rapid.checks says, of some 30 steps (-rapid.steps).
func TestModel(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue && !testing.Short() {
		if err := f.Value.Set("500"); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{1, 2} {
		t.Run(fmt.Sprint("limit ", limit), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, embedded.RealOnly())
			rounds, steps := 0, 0
			rapid.Check(t, func(rt *rapid.T) {
				w.empty()
				r := &rig{w: w, m: newModel(limit), granted: map[int64]string{}}
				rounds++
				rt.Repeat(map[string]func(*rapid.T){
					"acquire": r.acquire, "acquire ": r.acquire, "acquire  ": r.acquire, "release": r.release, "release ": r.release,
					"renew": r.renew, "cancel": r.cancel, "claim": r.claim, "claim ": r.claim, "due": r.due, "force": r.force,
					"die": r.die, "wake": r.wake, "bury": r.bury, "time": r.pass,
					"": func(t *rapid.T) { steps++; r.check(t) },
				})
			})
			t.Logf("%d rounds, %d steps", rounds, steps)
		})
	}
}
