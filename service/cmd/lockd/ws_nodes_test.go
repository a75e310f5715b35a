package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestWebSocketRedisAway stops, kills and restarts Redis under a connection: it stays, and works again afterwards.
func TestWebSocketRedisAway(t *testing.T) {
	t.Parallel()
	env, redis := redisEnv(t)
	n := start(t, env)
	c, ear := n.dial(), n.dial()
	sub := ear.subscribe("all", "*")
	c.hello("c", "")
	held := c.hold("h", "x", "timeout", 120)
	c.stand("w", "x", 1)
	tries := 0
	refused := func(what string) {
		t.Helper()
		eventually(t, "refused while redis is "+what, 20*time.Second, func() bool {
			tries++
			id := fmt.Sprint("try ", tries)
			c.acquire(id, "y")
			e := c.wait(id, 20*time.Second, frame{"id": id}.is)
			if e.str("type") != "error" || e.str("code") != "unavailable" && e.str("code") != "outcome_unknown" {
				t.Fatalf("%v", e)
			}
			return e.str("code") == "unavailable" && e.num("retryAfter") > 0
		})
		c.pong("ping, " + what)
		if e := c.refused(answer{"type": "subscribe", "id": "sub, " + what, "locks": []string{"a"}}, "unavailable"); e.num("retryAfter") <= 0 {
			t.Errorf("%v", e)
		}
		late := n.dial()
		late.refused(answer{"type": "hello", "id": "hello", "clientId": "late"}, "unavailable")
		late.pong("p")
	}
	serves := func() {
		t.Helper()
		eventually(t, "serving again", patience, func() bool {
			tries++
			id := fmt.Sprint("try ", tries)
			c.acquire(id, "y", "waitTimeout", 1, "timeout", 1)
			return c.wait(id, 20*time.Second, func(f answer) bool { return f["id"] == id && f.str("type") != "queued" }).str("type") == "granted"
		})
	}
	release := func(g answer) { // just back, Redis may be missed once more
		t.Helper()
		eventually(t, "released", patience, func() bool {
			tries++
			id := fmt.Sprint("try ", tries)
			c.send(answer{"type": "release", "id": id, "lockName": g["lockName"], "lockId": g["lockId"]})
			r := c.get(frame{"id": id})
			if r.str("type") != "released" && r.str("code") != "unavailable" {
				t.Fatalf("%v", r)
			}
			return r.str("type") == "released"
		})
	}
	if err := redis.Pause(); err != nil {
		t.Fatal(err)
	}
	refused("paused")
	if err := redis.Resume(); err != nil {
		t.Fatal(err)
	}
	serves()
	release(held)
	held = c.get(frame{"type": "granted", "id": "w"}) // it has waited on
	waiter := ""
	eventually(t, "in line again", patience, func() bool { // as above
		tries++
		waiter = fmt.Sprint("wait ", tries)
		c.acquire(waiter, "x", "waitTimeout", 60)
		return c.get(frame{"id": waiter}).str("type") == "queued"
	})
	gaps := ear.count(frame{"event": "gap"})
	if err := redis.Kill(); err != nil {
		t.Fatal(err)
	}
	refused("killed")
	if err := redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	serves()
	after := c.get(frame{"type": "granted", "id": waiter}) // the lock went with Redis's data
	if after.num("fencingToken") <= held.num("fencingToken") {
		t.Errorf("%v after %v", after, held)
	}
	release(after)
	eventually(t, "told of a gap, and then of events", patience, func() bool {
		tries++
		id := fmt.Sprint("try ", tries)
		c.acquire(id, "z")
		if g := c.get(frame{"id": id}); g.str("type") == "granted" {
			release(g)
		}
		return ear.count(frame{"event": "gap"}) > gaps && ear.has(frame{"subscription": sub, "event": "released", "lockName": "z"})
	})
}

// TestWebSocketDrain ends a node with SIGTERM: its clients are told and go elsewhere, with what they hold and wait for.
func TestWebSocketDrain(t *testing.T) {
	t.Parallel()
	env, _ := redisEnv(t)
	a, b := start(t, env), start(t, env)
	holder, later := b.dial(), b.dial()
	held := holder.hold("1", "x", "clientId", "holder")
	c, session := a.named("c")
	own := c.hold("own", "own", "timeout", 1, "autoRenew", true)
	c.stand("mine", "x", 1)
	later.stand("next", "x", 2, "clientId", "later")
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.get(frame{"type": "draining"})
	told := time.Now()
	if _, res, err := a.handshake(); res == nil {
		if t.Logf("%s after draining: %v", time.Since(told), err); time.Since(told) < 500*time.Millisecond {
			t.Error("no answer")
		}
	} else {
		raw, _ := io.ReadAll(res.Body)
		var problem answer
		if err := json.Unmarshal(raw, &problem); err != nil || res.StatusCode != http.StatusServiceUnavailable || problem.str("code") != "draining" || res.Header.Get("Retry-After") == "" {
			t.Errorf("%d %s", res.StatusCode, raw)
		}
		res.Body.Close()
	}
	c.closed(websocket.CloseGoingAway)
	if e := c.all()[len(c.all())-1]; c.count(frame{"type": "draining"}) != 1 || c.has(frame{"type": "granted", "id": "mine"}) {
		t.Errorf("%v", e)
	}
	for _, f := range c.all() {
		if f.str("type") == "error" {
			t.Logf("told %v", f)
		}
	}
	again := b.back("c", session)
	again.get(frame{"type": "queued", "id": "mine", "position": 1})
	if f := again.get(frame{"type": "granted", "id": "own"}); f["lockId"] != own["lockId"] || f["fencingToken"] != own["fencingToken"] {
		t.Errorf("%v, was %v", f, own)
	}
	holder.release(held)
	again.release(again.get(frame{"type": "granted", "id": "mine"}))
	later.release(later.get(frame{"type": "granted", "id": "next"}))
	again.release(own)
	select {
	case <-a.ended:
	case <-time.After(20 * time.Second):
		t.Error("the node did not end")
	}
}

// TestWebSocketAndREST has both sides work with the same locks, over two nodes.
func TestWebSocketAndREST(t *testing.T) {
	t.Parallel()
	env, _ := redisEnv(t)
	a, b := start(t, env), start(t, env)
	c, d := a.dial(), b.dial()
	first := c.hold("1", "x", "clientId", "c", "metadata", map[string]any{"why": "test"})
	d.stand("2", "x", 1, "clientId", "d")
	var rest sync.WaitGroup
	var third answer
	rest.Go(func() {
		_, third, _ = a.tryContext(context.Background(), http.MethodPost, "/locks/x/acquire", `{"clientId":"e","waitTimeout":30}`)
	})
	b.queue("x", 2)
	st := b.call(200, http.MethodGet, "/locks/x/status", "")
	if st.str("clientId") != "c" || st.num("fencingToken") != first.num("fencingToken") {
		t.Errorf("%v", st)
	}
	b.release("x", "c", first.str("lockId")) // over REST, on the other node
	second := d.get(frame{"type": "granted", "id": "2"})
	c.refused(answer{"type": "release", "id": "3", "lockName": "x", "clientId": "c", "lockId": first.str("lockId")}, "lock_lost")
	c.release(second) // whatever connection has it
	rest.Wait()
	if third["acquired"] != true || third.num("fencingToken") <= second.num("fencingToken") {
		t.Errorf("%v after %v", third, second)
	}
	a.call(409, http.MethodPost, "/locks/x/acquire", `{"clientId":"f"}`)

	body := func(more string) string { return `{"clientId":"c","requestId":"once","timeout":20` + more + `}` }
	once := c.hold("4", "y", "clientId", "c", "requestId", "once", "timeout", 20)
	again := b.acquire(200, "y", body(""))
	waited := b.acquire(200, "y", body(`,"waitTimeout":3`))
	over := d.hold("5", "y", "clientId", "c", "requestId", "once", "timeout", 20)
	for _, field := range []string{"lockId", "renewalToken", "fencingToken", "requestId"} {
		if once[field] != again[field] || once[field] != waited[field] || once[field] != over[field] || once[field] == nil {
			t.Errorf("%s: %v, %v, %v, %v", field, once[field], again[field], waited[field], over[field])
		}
	}
	b.acquire(422, "y", body(`,"limit":2`))
	d.refused(answer{"type": "acquire", "id": "6", "lockName": "y", "clientId": "c", "requestId": "once", "timeout": 21}, "request_mismatch")

	// A request that waits over the WebSocket is asked for over REST too: both are told of the one grant.
	var got answer
	d.stand("7", "y", 1, "clientId", "d", "requestId", "w", "waitTimeout", 30)
	rest.Go(func() {
		_, got, _ = b.tryContext(context.Background(), http.MethodPost, "/locks/y/acquire", `{"clientId":"d","requestId":"w","waitTimeout":30}`)
	})
	eventually(t, "the call shares the place", patience, func() bool {
		return b.metric(`distributed_locks_redis_command_seconds_count{script="acquire"}`) >= 7
	})
	c.release(once)
	g := d.get(frame{"type": "granted", "id": "7"})
	rest.Wait()
	if got.str("lockId") != g.str("lockId") || g.str("lockId") == "" {
		t.Errorf("%v and %v", g, got)
	}
	d.release(g)
	if st := a.call(200, http.MethodGet, "/locks/y/status", ""); st["locked"] != false || st.num("queueLength") != 0 {
		t.Errorf("%v", st)
	}
}
