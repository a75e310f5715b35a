package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"distributedlock/queue"
	"distributedlock/queue/embedded"
)

// away ends a client's connection without a word: the network breaks, or the node dies.
func away(how string, n *node, c *wsClient) {
	if how == "killed" {
		n.kill()
		<-c.ended
		return
	}
	c.cut()
}

// forgotten waits until Redis holds nothing of a session.
func forgotten(t *testing.T, redis *embedded.Server, session string) {
	t.Helper()
	c, err := queue.Connect(queue.Options{Redis: queue.At(redis.Network(), redis.Addr())})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	eventually(t, "the session is forgotten", patience, func() bool {
		keys, err := c.Do(context.Background(), c.B().Keys().Pattern("*"+session+"*").Build()).AsStrSlice()
		return err == nil && len(keys) == 0
	})
}

// TestWebSocketPlaceKept has a waiting client lose its connection, and come back on the other node: it is where it was.
func TestWebSocketPlaceKept(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"cut", "killed"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			env, _ := redisEnv(t)
			a, b := start(t, env), start(t, env)
			holder, other := b.dial(), b.dial()
			held := holder.hold("1", "x", "clientId", "holder")
			c, session := a.named("c")
			c.stand("mine", "x", 1, "requestId", "r")
			other.stand("next", "x", 2, "clientId", "other")
			away(how, a, c)
			if how == "cut" {
				b.queue("x", 1) // its place is put aside, and kept
			}
			again := b.back("c", session)
			q := again.get(frame{"type": "queued"})
			if q.str("id") != "mine" || q.num("position") != 1 || q.str("requestId") != "r" || q.str("lockName") != "x" {
				t.Errorf("%v", q)
			}
			b.queue("x", 2)
			holder.release(held)
			mine := again.get(frame{"type": "granted", "id": "mine"})
			if other.has(frame{"type": "granted"}) {
				t.Error("the next in line was granted too")
			}
			again.release(mine)
			next := other.get(frame{"type": "granted", "id": "next"})
			other.release(next)
			if !(held.num("fencingToken") < mine.num("fencingToken") && mine.num("fencingToken") < next.num("fencingToken")) {
				t.Errorf("tokens: %v %v %v", held, mine, next)
			}
		})
	}
}

// TestWebSocketPlaceGivenUp has a waiting client lose its connection and stay away: the line goes on at once, and after
// the grace its place is gone.
func TestWebSocketPlaceGivenUp(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"cut", "killed"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			env, redis := redisEnv(t)
			env = append(env, "SESSION_GRACE=1")
			a, b := start(t, env), start(t, env)
			holder, other := b.dial(), b.dial()
			held := holder.hold("1", "x", "clientId", "holder")
			c, session := a.named("c")
			c.stand("mine", "x", 1, "requestId", "r")
			other.stand("next", "x", 2, "clientId", "other")
			away(how, a, c)
			if how == "cut" {
				other.get(frame{"type": "position", "id": "next", "position": 1})
			}
			begin := time.Now()
			holder.release(held)
			next := other.get(frame{"type": "granted", "id": "next"})
			t.Logf("the next in line has it after %s", time.Since(begin))
			forgotten(t, redis, session)
			late := b.dial()
			if w := late.hello("c", session); w["resumed"] != false || w.str("session") == session {
				t.Errorf("%v", w)
			}
			other.stand("third", "x", 1, "clientId", "third")
			late.stand("mine", "x", 2, "requestId", "r")
			other.release(next)
			other.release(other.get(frame{"type": "granted", "id": "third"}))
			late.release(late.get(frame{"type": "granted", "id": "mine"}))
		})
	}
}

// watchStatus looks at a lock all the time until stopped, and calls see with each answer.
func (n *node) watchStatus(name string, see func(answer)) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			case <-time.After(5 * time.Millisecond): // a poll until the test ends it
			}
			if code, st, err := n.try(http.MethodGet, "/locks/"+name+"/status", ""); err == nil && code == http.StatusOK {
				see(st)
			} else {
				n.t.Errorf("status: %d %v %v", code, st, err)
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// TestWebSocketRenewalKept has the holder of a lock that renews itself lose its connection, and come back on the other
// node: the lock is its own all the time, five leases long.
func TestWebSocketRenewalKept(t *testing.T) {
	t.Parallel()
	const lease = 2 * time.Second
	for _, how := range []string{"cut", "killed"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			env, _ := redisEnv(t)
			a, b := start(t, env), start(t, env)
			c, session := a.named("c")
			g := c.hold("mine", "x", "timeout", lease.Seconds(), "autoRenew", true, "metadata", map[string]any{"job": "7"})
			other := b.dial()
			events := other.subscribe("s", "x")
			other.stand("next", "x", 1, "clientId", "other")
			looks := 0
			stop := b.watchStatus("x", func(st answer) {
				looks++
				if st["locked"] != true || st.str("clientId") != "c" || st.num("fencingToken") != g.num("fencingToken") {
					t.Errorf("not the holder's: %v", st)
				}
			})
			away(how, a, c)
			again := b.back("c", session)
			told := again.get(frame{"type": "granted"})
			for _, field := range []string{"id", "lockId", "renewalToken", "fencingToken", "requestId", "autoRenew"} {
				if told[field] != g[field] {
					t.Errorf("%s: %v, then %v", field, g[field], told[field])
				}
			}
			end := time.Now().Add(5 * lease)
			other.wait("renewal after five leases", 5*lease+patience, func(f answer) bool {
				at, err := time.Parse(time.RFC3339, f.str("at"))
				return f.str("subscription") == events && f.str("event") == "renewed" && err == nil && at.After(end)
			})
			stop()
			if looks < 50 || other.has(frame{"event": "expired"}) || again.has(frame{"type": "lost"}) {
				t.Errorf("%d looks; heard %v and %v", looks, last(other.all()), last(again.all()))
			}
			again.release(g)
			other.release(other.get(frame{"type": "granted", "id": "next"}))
		})
	}
}

// TestWebSocketRenewalEnds has the holder of a lock that renews itself stay away: the lock is free after the grace and
// its lease, and not before the grace.
func TestWebSocketRenewalEnds(t *testing.T) {
	t.Parallel()
	const lease, grace, dead = 2 * time.Second, 2 * time.Second, 5 * time.Second
	for _, how := range []string{"cut", "killed"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			env, redis := redisEnv(t)
			env = append(env, fmt.Sprint("SESSION_GRACE=", grace.Seconds()))
			a, b := start(t, env), start(t, env)
			c, session := a.named("c")
			c.hold("mine", "x", "timeout", lease.Seconds(), "autoRenew", true)
			other := b.dial()
			other.stand("next", "x", 1, "clientId", "other")
			begin := time.Now()
			away(how, a, c)
			other.wait("the lock", dead+grace+lease+patience, frame{"type": "granted", "id": "next"}.is)
			if took := time.Since(begin); took < grace {
				t.Errorf("free after %s, within the grace of %s", took, grace)
			} else {
				t.Logf("free after %s", took)
			}
			forgotten(t, redis, session)
			if said := b.said(); strings.Contains(said, session) {
				t.Errorf("the session is logged: %s", said)
			}
		})
	}
}
