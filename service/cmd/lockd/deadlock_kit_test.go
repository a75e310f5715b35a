package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"distributedlock/queue/embedded"
	"distributedlock/transport/frametest"
)

const (
	// soon is when a deadlock must be broken, which takes 100 ms where nothing else runs.
	soon = 3 * time.Second
	// sweepsBy is when a sweep for deadlocks must have come by on any node.
	sweepsBy = 2500 * time.Millisecond
	// clockSlack is how far the times of Redis and of the test may be apart: they are rounded to milliseconds.
	clockSlack = 20 * time.Millisecond
	// checked is how many frames of each type and connection are held against the document.
	checked = 10
)

// crowd keeps more connections than [http.DefaultClient], so that many clients at once do not use up the ports.
var crowd = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}

// fleet is nodes over one Redis.
type fleet struct {
	nodes []*node
	env   []string
	redis *embedded.Server
	posts sync.WaitGroup
}

// newFleet starts two nodes.
func newFleet(t *testing.T, env ...string) *fleet {
	t.Helper()
	f := &fleet{}
	f.env, f.redis = redisEnv(t)
	f.env = append(f.env, env...)
	f.nodes = []*node{launch(t, f.env), launch(t, f.env)}
	for _, n := range f.nodes {
		eventually(t, "ready", patience, func() bool {
			code, _, err := n.try(http.MethodGet, "/readyz", "")
			return err == nil && code == http.StatusOK
		})
	}
	t.Cleanup(func() {
		f.posts.Wait() // the test's context has ended, and with it they have
		crowd.CloseIdleConnections()
	})
	return f
}

// line waits until so many stand in line, by way of the last node.
func (f *fleet) line(t *testing.T, lock string, length int) {
	t.Helper()
	n := f.nodes[len(f.nodes)-1]
	eventually(t, fmt.Sprintf("%d in line for %s", length, lock), patience, func() bool {
		_, a, err := n.try(http.MethodGet, "/locks/"+url.PathEscape(lock)+"/status", "")
		return err == nil && a.num("queueLength") == float64(length)
	})
}

// party is an owner that holds and waits: over REST on any node, or over a WebSocket to each.
type party struct {
	t *testing.T
	f *fleet
	// owner is what the client names; "" where it does not.
	client, owner string
	wires         map[*node]*wire
}

func (f *fleet) rest(t *testing.T, client, owner string) *party {
	return &party{t: t, f: f, client: client, owner: owner}
}

// wired is a party with a WebSocket to each of these nodes; all of the fleet where none is given.
func (f *fleet) wired(t *testing.T, client, owner string, nodes ...*node) *party {
	t.Helper()
	if len(nodes) == 0 {
		nodes = f.nodes
	}
	p := &party{t: t, f: f, client: client, owner: owner, wires: map[*node]*wire{}}
	for _, n := range nodes {
		p.wires[n] = newWire(t, n)
	}
	return p
}

// either is a party over REST or over the WebSocket.
func (f *fleet) either(t *testing.T, wired bool, client, owner string) *party {
	t.Helper()
	if wired {
		return f.wired(t, client, owner)
	}
	return f.rest(t, client, owner)
}

// ownerID is what the service calls the owner.
func (p *party) ownerID() string {
	if p.owner == "" {
		return p.client
	}
	return p.owner
}

// asked is a request that was sent. What has come of it may be read when done is closed.
type asked struct {
	p    *party
	n    *node
	id   string
	lock string
	sent time.Time
	// cancel ends a call over REST as if the client went away.
	cancel context.CancelFunc
	done   chan struct{}

	ended time.Time
	// word is the type of the answer, or of an error its code; "gone" where none came.
	word   string
	answer answer
}

func (q *asked) end(word string, a answer) {
	q.ended, q.word, q.answer = time.Now(), word, a
	close(q.done)
}

func (q *asked) over() bool {
	select {
	case <-q.done:
		return true
	default:
		return false
	}
}

// comes waits for the answer, and reports whether it came.
func (q *asked) comes(within time.Duration) bool {
	select {
	case <-q.done:
		return true
	case <-time.After(within):
		return false
	}
}

// within waits for what comes of it.
func (q *asked) within(d time.Duration) answer {
	q.p.t.Helper()
	if !q.comes(d) {
		q.p.t.Fatalf("%s/%s has no answer about %s within %s", q.p.client, q.p.owner, q.lock, d)
	}
	return q.answer
}

// must waits until it has ended like this.
func (q *asked) must(word string) answer {
	q.p.t.Helper()
	within := patience
	if word == "deadlock" {
		within = soon
	}
	if a := q.within(within); q.word != word {
		q.p.t.Fatalf("%s/%s asked for %s: %s %v, want %s", q.p.client, q.p.owner, q.lock, q.word, a, word)
	}
	return q.answer
}

// ask asks for a lock on a node. more are fields and values in turn.
func (p *party) ask(n *node, lock string, more ...any) *asked {
	p.t.Helper()
	body := answer{"clientId": p.client, "timeout": 120, "waitTimeout": 60}
	if p.owner != "" {
		body["ownerId"] = p.owner
	}
	for i := 0; i < len(more); i += 2 {
		body[more[i].(string)] = more[i+1]
	}
	return p.send(n, "acquire", lock, body)
}

// give sends the release of a grant.
func (p *party) give(n *node, g answer) *asked {
	p.t.Helper()
	return p.send(n, "release", g.str("lockName"), answer{"clientId": p.client, "lockId": g.str("lockId")})
}

func (p *party) send(n *node, what, lock string, body answer) *asked {
	ctx, cancel := context.WithCancel(p.t.Context())
	q := &asked{p: p, n: n, lock: lock, cancel: cancel, done: make(chan struct{}), sent: time.Now()}
	if w := p.wires[n]; w != nil {
		body["type"], body["lockName"] = what, lock
		w.send(q, body)
		return q
	}
	raw, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	p.f.posts.Go(func() {
		defer cancel()
		post(ctx, q, n.url+"/locks/"+url.PathEscape(lock)+"/"+what, raw)
	})
	return q
}

func post(ctx context.Context, q *asked, to string, raw []byte) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(raw))
	if err != nil {
		panic(err)
	}
	res, err := crowd.Do(req)
	if err != nil {
		q.end("gone", answer{"error": err.Error()})
		return
	}
	defer res.Body.Close()
	var a answer
	raw, err = io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(raw, &a)
	}
	switch {
	case err != nil:
		q.end("gone", answer{"error": err.Error()})
	case res.StatusCode != http.StatusOK:
		if a.num("status") != float64(res.StatusCode) || a.str("code") == "deadlock" && res.StatusCode != http.StatusConflict {
			q.p.t.Errorf("%d: %s", res.StatusCode, raw)
		}
		q.end(a.str("code"), a)
	case a["acquired"] == true:
		q.end("granted", a)
	default:
		q.end("released", a)
	}
}

// hold asks for a lock, and must get it. keep does too, and returns the whole request.
func (p *party) hold(n *node, lock string, more ...any) answer {
	p.t.Helper()
	return p.keep(n, lock, more...).answer
}

func (p *party) keep(n *node, lock string, more ...any) *asked {
	p.t.Helper()
	q := p.ask(n, lock, more...)
	q.must("granted")
	return q
}

// stand asks for a lock, and must then be in its line, which is so long.
func (p *party) stand(n *node, lock string, length int, more ...any) *asked {
	p.t.Helper()
	q := p.ask(n, lock, more...)
	p.f.line(p.t, lock, length)
	return q
}

// release gives grants back.
func (p *party) release(n *node, grants ...answer) {
	p.t.Helper()
	for _, g := range grants {
		p.give(n, g).must("released")
	}
}

// wire is a WebSocket whose answers go to who asked.
type wire struct {
	t *testing.T
	c *wsClient

	mu   sync.Mutex
	last int
	open map[string]*asked
	sent map[string]int
}

func newWire(t *testing.T, n *node) *wire {
	t.Helper()
	c, _, err := n.handshake("Sec-WebSocket-Protocol", subprotocol)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, c: c, open: map[string]*asked{}, sent: map[string]int{}}
	go w.read()
	t.Cleanup(c.close)
	return w
}

// send sends a frame with an id of its own. Where the connection has ended, so has the request.
func (w *wire) send(q *asked, f answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	q.id = fmt.Sprint(w.last)
	f["id"] = q.id
	raw, err := json.Marshal(f)
	if err != nil {
		panic(err)
	}
	if w.sent[f.str("type")]++; w.sent[f.str("type")] <= checked {
		frametest.Client(w.t, raw)
	}
	if w.open == nil || w.c.ws.WriteMessage(websocket.TextMessage, raw) != nil {
		q.end("gone", nil)
		return
	}
	w.open[q.id] = q
}

func (w *wire) read() {
	defer close(w.c.ended)
	seen := map[string]int{}
	for {
		_, raw, err := w.c.ws.ReadMessage()
		if err != nil {
			w.mu.Lock()
			for _, q := range w.open {
				q.end("gone", answer{"error": err.Error()})
			}
			w.open = nil
			w.mu.Unlock()
			return
		}
		var f answer
		if err := json.Unmarshal(raw, &f); err != nil {
			w.t.Errorf("%s: %v", raw, err)
			continue
		}
		kind := f.str("type")
		if seen[kind]++; seen[kind] <= checked {
			frametest.Server(w.t, raw)
		}
		w.take(kind, f)
	}
}

func (w *wire) take(kind string, f answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.open[f.str("id")]
	switch {
	case kind == "queued" || kind == "position" || kind == "lost" || kind == "draining":
		return
	case q == nil:
		w.t.Errorf("nobody has asked, or it was answered before: %v", f)
	case kind == "error":
		q.end(f.str("code"), f)
	default:
		q.end(kind, f)
	}
	delete(w.open, f.str("id"))
}
