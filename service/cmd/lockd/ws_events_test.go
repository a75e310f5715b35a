package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
)

const adminToken = "admin-token-0123456789"

// cycles has a client take and give back locks so often, and returns the grants.
func (c *wsClient) cycles(id string, often int, pick func() string) (grants []answer) {
	for i := range often {
		g := c.hold(fmt.Sprint(id, "-", i), pick(), "waitTimeout", 30)
		c.release(g)
		grants = append(grants, g)
	}
	return grants
}

// lockStory is what a subscriber heard of a lock so far.
type lockStory struct {
	seq     float64
	holder  answer // nil while it is free
	waiting map[string]bool
	tokens  []float64
}

// follow takes in an event, and says what is wrong with it.
func (s *lockStory) follow(e answer) string {
	client, token := e.str("clientId"), e.num("fencingToken")
	if e.num("seq") <= s.seq {
		return "seq does not rise"
	}
	s.seq = e.num("seq")
	switch e.str("event") {
	case "queued":
		if s.waiting[client] {
			return "it waits already"
		}
		s.waiting[client] = true
	case "dequeued": // but for a node too slow to take a grant: its clients come back
		if !s.waiting[client] || e.str("reason") != "away" {
			return "it does not wait"
		}
		delete(s.waiting, client)
	case "granted":
		if s.holder != nil || token <= 0 || len(s.tokens) > 0 && token <= s.tokens[len(s.tokens)-1] {
			return "it is held, or the token does not rise"
		}
		delete(s.waiting, client)
		s.holder, s.tokens = e, append(s.tokens, token)
	case "released", "expired", "force_released":
		if s.holder == nil || s.holder.str("clientId") != client || s.holder.num("fencingToken") != token || e.str("ownerId") != client {
			return "it is not held by that client with that token"
		}
		s.holder = nil
	default:
		return "not expected"
	}
	return ""
}

// stories sees that the events of a subscription are those of these locks alone, in order and free of secrets.
func stories(t *testing.T, c *wsClient, subscription string, secrets map[string]bool, mine func(lock string) bool) map[string]*lockStory {
	t.Helper()
	all := map[string]*lockStory{}
	for _, e := range c.all() {
		if e.str("type") != "event" || e.str("subscription") != subscription {
			continue
		}
		for field, value := range e {
			if text, ok := value.(string); ok && secrets[text] || field == "lockId" || field == "renewalToken" {
				t.Errorf("a secret is told: %v", e)
			}
		}
		lock := e.str("lockName")
		if !mine(lock) {
			t.Errorf("not subscribed to: %v", e)
			continue
		}
		if all[lock] == nil {
			all[lock] = &lockStory{waiting: map[string]bool{}}
		}
		if before := *all[lock]; true {
			if fault := all[lock].follow(e); fault != "" {
				t.Fatalf("%s: %v after %+v", fault, e, before)
			}
		}
	}
	return all
}

// TestWebSocketEvents has four clients on two nodes take 1,000 turns at five locks, beside others. Subscribers of both
// nodes, by name and by prefix, hear of each grant and its end once, in order, and of nothing else.
func TestWebSocketEvents(t *testing.T) {
	t.Parallel()
	const clients, turns, locks = 4, 250, 5
	env, _ := redisEnv(t)
	nodes := []*node{start(t, env), start(t, env)}
	names := []string{"evt", "oth"}
	for i := range locks {
		names = append(names, fmt.Sprint("evt:", i))
	}
	type ear struct {
		c            *wsClient
		subscription string
	}
	var ears []ear
	for _, n := range nodes {
		c, exact := n.dial(), n.dial()
		ears = append(ears, ear{c, c.subscribe("prefix", "evt:*")}, ear{exact, exact.subscribe("names", names...)})
	}
	evt := func() string { return names[2+rand.IntN(locks)] }
	oth := func() string { return []string{"oth:evt:1", "ev", "evt;1"}[rand.IntN(3)] }
	tokens, secrets := make(map[string]map[float64]string, locks), map[string]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range clients {
		client := fmt.Sprint("c", i)
		c, noise := nodes[i%2].dial(), nodes[i%2].dial()
		c.hello(client, "")
		noise.hello("noise-"+client, "")
		wg.Go(func() {
			for _, g := range c.cycles("turn", turns, evt) {
				mu.Lock()
				if tokens[g.str("lockName")] == nil {
					tokens[g.str("lockName")] = map[float64]string{}
				}
				tokens[g.str("lockName")][g.num("fencingToken")] = client
				secrets[g.str("lockId")], secrets[g.str("renewalToken")] = true, true
				mu.Unlock()
			}
		})
		wg.Go(func() { noise.cycles("noise", turns/5, oth) })
	}
	wg.Wait()
	for _, e := range ears {
		want := map[string]float64{}
		for name, of := range tokens {
			for token := range of {
				want[name] = max(want[name], token)
			}
		}
		for name, token := range want { // the last release of each lock
			e.c.get(frame{"event": "released", "lockName": name, "fencingToken": token, "subscription": e.subscription})
		}
		heard := stories(t, e.c, e.subscription, secrets, func(lock string) bool { return strings.HasPrefix(lock, "evt:") })
		for name, of := range tokens {
			story := heard[name]
			if len(story.tokens) != len(of) || story.holder != nil || len(story.waiting) > 0 {
				t.Errorf("%s: %d grants heard of, %d made; %v waits", name, len(story.tokens), len(of), story.waiting)
			}
			for _, token := range story.tokens {
				if of[token] == "" {
					t.Errorf("%s: token %.0f is nobody's", name, token)
				}
			}
		}
	}
}

// force takes a lock away.
func (n *node) force(name, reason string) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodDelete, n.url+"/locks/"+name+"?reason="+reason, http.NoBody)
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	if code, a := n.do(req); code != http.StatusOK {
		n.t.Fatalf("%d %v", code, a)
	}
}

// TestWebSocketEventKinds has each kind of event told on the other node, with what belongs to it.
func TestWebSocketEventKinds(t *testing.T) {
	t.Parallel()
	env, _ := redisEnv(t)
	env = append(env, "ADMIN_TOKEN="+adminToken)
	a, b := start(t, env), start(t, env)
	ear, some := b.dial(), b.dial()
	sub := ear.subscribe("all", "evt:*")
	some.send(answer{"type": "subscribe", "id": "s", "locks": []string{"*"}, "events": []string{"expired", "renewed"}})
	some.get(frame{"type": "subscribed", "id": "s"})
	c, other := a.dial(), a.dial()
	c.hello("c", "")
	other.hello("other", "")
	heard := func(g answer, kind string, more frame) answer {
		t.Helper()
		want := frame{"type": "event", "subscription": sub, "event": kind, "lockName": g["lockName"], "clientId": g["clientId"], "ownerId": g["ownerId"]}
		if g["fencingToken"] != nil {
			want["fencingToken"] = g["fencingToken"]
		}
		maps.Copy(want, more)
		return ear.get(want)
	}
	short := c.hold("1", "evt:short", "timeout", 0.3, "ownerId", "thread-1")
	heard(short, "granted", nil)
	heard(short, "expired", nil)
	long := c.hold("2", "evt:long", "ownerId", "thread-1")
	c.send(answer{"type": "renew", "id": "3", "lockName": "evt:long", "renewalToken": long.str("renewalToken"), "timeout": 20})
	c.get(frame{"type": "renewed", "id": "3"})
	heard(long, "renewed", nil)
	waiter := answer{"lockName": "evt:long", "clientId": "other", "ownerId": "other"}
	other.stand("4", "evt:long", 1)
	if e := heard(waiter, "queued", nil); e["fencingToken"] != nil {
		t.Errorf("%v", e)
	}
	other.send(answer{"type": "cancel", "id": "5", "target": "4"})
	other.get(frame{"type": "cancelled", "id": "5"})
	if e := other.get(frame{"id": "4", "type": "error"}); e.str("code") != "cancelled" {
		t.Errorf("%v", e)
	}
	heard(waiter, "dequeued", nil)
	waiter["clientId"], waiter["ownerId"] = "third", "third"
	other.stand("6", "evt:long", 1, "clientId", "third", "waitTimeout", 0.2)
	if e := other.get(frame{"id": "6", "type": "error"}); e.str("code") != "wait_timeout" || e.num("waitTime") < 0.2 {
		t.Errorf("%v", e)
	}
	heard(waiter, "dequeued", nil)
	waiter["clientId"], waiter["ownerId"] = "fourth", "fourth"
	gone := a.dial()
	gone.stand("7", "evt:long", 1, "clientId", "fourth")
	gone.cut()
	heard(waiter, "dequeued", frame{"reason": "away"})
	a.force("evt:long", "owner+is+gone")
	heard(long, "force_released", frame{"reason": "owner is gone"})
	again := c.hold("8", "evt:again")
	c.release(again)
	heard(again, "released", nil)
	for _, e := range some.all() {
		if kind := e.str("event"); e.str("type") == "event" && kind != "expired" && kind != "renewed" {
			t.Errorf("not asked for: %v", e)
		}
	}
	ear.send(answer{"type": "unsubscribe", "id": "9", "subscription": sub})
	ear.get(frame{"type": "unsubscribed", "id": "9", "subscription": sub})
	before := len(ear.all())
	last := c.hold("10", "evt:last", "timeout", 0.1)
	some.get(frame{"event": "expired", "lockName": last["lockName"]})
	ear.pong("p")
	if after := ear.all()[before:]; len(after) != 1 {
		t.Errorf("heard after unsubscribed: %v", after)
	}
	ear.refused(answer{"type": "unsubscribe", "id": "11", "subscription": sub}, "not_found")
}

// TestWebSocketLost has a session lose locks, on its node and after it moved to another, and while it is away.
func TestWebSocketLost(t *testing.T) {
	t.Parallel()
	env, _ := redisEnv(t)
	env = append(env, "ADMIN_TOKEN="+adminToken)
	a, b := start(t, env), start(t, env)
	c, session := a.named("c")
	lost := func(on *wsClient, g answer, reason string) {
		t.Helper()
		if f := on.get(frame{"type": "lost", "lockId": g["lockId"]}); f.str("reason") != reason || f["lockName"] != g["lockName"] {
			t.Errorf("%v", f)
		}
	}
	lost(c, c.hold("1", "short", "timeout", 0.2), "expired")
	forced := c.hold("2", "forced", "autoRenew", true)
	a.force("forced", "why")
	lost(c, forced, "force_released")
	c.refused(answer{"type": "release", "id": "3", "lockName": "forced", "lockId": forced.str("lockId")}, "lock_lost")
	c.refused(answer{"type": "renew", "id": "4", "lockName": "forced", "renewalToken": forced.str("renewalToken")}, "lock_lost")

	late, moved, away := c.hold("5", "late", "timeout", 4), c.hold("6", "moved", "autoRenew", true), c.hold("7", "away", "autoRenew", true)
	mine := b.dial()
	mine.subscribe("s", "away")
	c.stand("8", "away", 1)
	c.cut()
	mine.get(frame{"event": "dequeued", "reason": "away"}) // the node has noticed
	a.force("away", "why")
	mine.get(frame{"event": "force_released"})
	again := b.back("c", session)
	lost(again, away, "force_released")
	again.release(again.get(frame{"type": "granted", "id": "8"}))
	a.force("moved", "why")
	lost(again, moved, "force_released")
	lost(again, late, "expired")
	if kinds := again.all(); kinds[0].str("type") != "welcome" {
		t.Errorf("%v", kinds)
	}
	for _, f := range again.all() {
		if f.str("type") == "lost" && again.count(frame{"type": "lost", "lockId": f["lockId"]}) != 1 {
			t.Errorf("told twice: %v", f)
		}
	}
}
