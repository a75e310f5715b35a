package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// metric is what a node's page says of a metric.
func (n *node) metric(name string) (value float64) {
	n.t.Helper()
	res, err := http.Get(n.url + "/metrics")
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			if value, err = strconv.ParseFloat(text, 64); err != nil {
				n.t.Error(err)
			}
			return value
		}
	}
	n.t.Errorf("no metric %s", name)
	return 0
}

// mebibytes is how much memory a node has.
func (n *node) mebibytes() int {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		n.t.Skip("no /proc:", err)
	}
	_, text, _ := strings.Cut(string(raw), "VmRSS:")
	text, _, _ = strings.Cut(text, "kB")
	kib, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		n.t.Fatal(err)
	}
	return kib >> 10
}

// maxMebibytes is more than a node under load may have; with the race detector it has some eight times what it has without.
const maxMebibytes = 1200

// TestWebSocketSlowReader has a client that never reads subscribe to everything, under load. It is cut off, nobody else
// notices, and when it comes back, its lock is still its own.
func TestWebSocketSlowReader(t *testing.T) {
	env, _ := redisEnv(t)
	n := start(t, env)
	slow, _, err := n.handshake("Sec-WebSocket-Protocol", subprotocol)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.ws.Close()
	_ = slow.tcp.SetReadBuffer(4 << 10)
	slow.send(answer{"type": "hello", "id": "hello", "clientId": "slow"})
	slow.send(answer{"type": "acquire", "id": "mine", "lockName": "kept", "timeout": 2, "autoRenew": true})
	slow.send(answer{"type": "subscribe", "id": "all", "locks": []string{"*"}})
	said := map[string]answer{}
	for said["welcome"] == nil || said["granted"] == nil || said["subscribed"] == nil { // and then it never reads again
		var f answer
		if err := slow.ws.ReadJSON(&f); err != nil {
			t.Fatal(err)
		}
		said[f.str("type")] = f
	}
	quick := n.dial()
	sub := quick.subscribe("all", "*")

	quit := make(chan struct{})
	var load sync.WaitGroup
	var mu sync.Mutex
	cycles, slowest := 0, time.Duration(0)
	long := strings.Repeat("x", 200)
	for i := range 3 {
		c := n.dial()
		c.hello(fmt.Sprint("c", i, long), "")
		load.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-quit:
					return
				default:
				}
				begin := time.Now()
				c.cycles(fmt.Sprint(k), 1, func() string { return fmt.Sprint(i, long, long) })
				mu.Lock()
				cycles, slowest = cycles+1, max(slowest, time.Since(begin))
				mu.Unlock()
			}
		})
	}
	eventually(t, "the slow one is cut off", 30*time.Second, func() bool { return n.metric("distributed_locks_ws_slow_closed_total") == 1 })
	close(quit)
	load.Wait()
	if got := n.metric("distributed_locks_ws_connections"); got != 4 {
		t.Errorf("%v connections", got)
	}
	mib := n.mebibytes()
	if t.Logf("%d cycles, the slowest in %s; %d MiB", cycles, slowest, mib); slowest > 5*time.Second || mib > maxMebibytes {
		t.Error("too slow, or too much")
	}
	quick.wait("the last release", patience, func(answer) bool {
		return quick.count(frame{"event": "released"}) == cycles
	})
	if quick.has(frame{"event": "gap"}) || quick.count(frame{"event": "granted", "subscription": sub}) != cycles {
		t.Error("the quick one missed something")
	}

	g := said["granted"]
	again := n.back("slow", said["welcome"].str("session"))
	if told := again.get(frame{"type": "granted", "id": "mine"}); told["lockId"] != g["lockId"] || told["fencingToken"] != g["fencingToken"] {
		t.Errorf("%v, was %v", told, g)
	}
	again.release(g)
	_ = slow.tcp.SetReadBuffer(1 << 20)
	_, err = io.Copy(io.Discard, slow.tcp) // the server has closed: what was on its way is all there is
	t.Logf("the slow one's connection ended with %v", err)
}

// flood is what became of many requests.
type flood struct {
	mu     sync.Mutex
	queued map[string]bool
	ended  map[string]string
	faults []string
}

func (f *flood) heed(a answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id, word := a.str("id"), a.str("type")
	switch {
	case word == "position":
	case word == "queued" && !f.queued[id] && f.ended[id] == "":
		f.queued[id] = true
	case (word == "granted" || word == "error") && f.ended[id] == "":
		f.ended[id] = word + a.str("code")
	default:
		f.faults = append(f.faults, fmt.Sprint(a))
	}
}

func (f *flood) counts() (queued, ended int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.queued), len(f.ended)
}

// TestWebSocketFlood asks for 100,000 locks at once on one connection. Each request comes to one end, most at once, as
// a session may have so many under way; and those of a connection that is closed are gone.
func TestWebSocketFlood(t *testing.T) {
	const requests, locks, most = 100_000, 40, 4096
	env, _ := redisEnv(t)
	n := start(t, env)
	f := &flood{queued: map[string]bool{}, ended: map[string]string{}}
	c := n.dialTo(f.heed)
	for i := range requests {
		c.sendText(fmt.Sprintf(`{"type":"acquire","id":"%d","lockName":"flood:%d","clientId":"c","waitTimeout":6,"timeout":120}`, i, i%locks))
	}
	eventually(t, "each has come to its end", 60*time.Second, func() bool {
		if err := c.why(); err != nil {
			t.Fatal(err)
		}
		_, ended := f.counts()
		return ended == requests
	})
	words := map[string]int{}
	for _, word := range f.ended {
		words[word]++
	}
	t.Logf("%v, %d queued; %d MiB", words, len(f.queued), n.mebibytes())
	if words["granted"] != locks || words["errorrate_limited"] == 0 || words["errorwait_timeout"] != len(f.queued) ||
		words["granted"]+words["errorrate_limited"]+words["errorwait_timeout"] != requests || len(f.faults) > 0 {
		t.Errorf("%v, %d queued; faults %q", words, len(f.queued), f.faults)
	}
	if mib := n.mebibytes(); mib > maxMebibytes {
		t.Errorf("%d MiB", mib)
	}
	before := len(f.queued)
	for i := range most {
		c.sendText(fmt.Sprintf(`{"type":"acquire","id":"again %d","lockName":"flood:%d","clientId":"c","waitTimeout":60}`, i, i%locks))
	}
	waiting := func() float64 {
		return n.call(http.StatusOK, http.MethodGet, "/locks/stats", "").num("waitingClients")
	}
	eventually(t, "all wait", 30*time.Second, func() bool {
		queued, _ := f.counts()
		return queued == before+most && waiting() == most
	})
	c.cut()
	eventually(t, "nobody waits any more", 30*time.Second, func() bool { return waiting() == 0 })
	n.dial().pong("p")
}
