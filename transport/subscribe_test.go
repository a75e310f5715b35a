package transport

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"distributedlock/queue"
)

const eventTail = `"lockName":"user:1","clientId":"c1","ownerId":"o1",`

// TestEvents holds events against their frames.
func TestEvents(t *testing.T) {
	fake := newFake()
	ws := connect(t, serve(t, fake, Options{}))
	ws.say(`{"type":"subscribe","id":"1","locks":["user:*"]}`)
	ws.expect(`{"type":"subscribed","id":"1","subscription":"s1"}`)
	w := <-fake.watched
	const at = `"at":"2030-01-02T03:04:05.006Z"`
	for _, kind := range eventKinds()[:8] { // those about a lock
		e := someEvent(kind)
		token := `"fencingToken":7,`
		switch kind {
		case "queued", "dequeued", "deadlock":
			token = ""
		}
		reason := ""
		if kind == "force_released" {
			e.Reason = "stuck \"job\""
			reason = `,"reason":"stuck \"job\""`
		}
		if kind == "deadlock" {
			reason = `,"cycle":[{"clientId":"c1","ownerId":"o1","holds":"user:1","heldSince":"2030-01-02T03:04:05.006Z",` +
				`"waitsFor":"user:1","waitingSince":"2030-01-02T03:04:05.006Z"}]`
		}
		w.event(e)
		ws.expect(`{"type":"event","subscription":"s1","event":"` + kind + `",` + eventTail + token + at + `,"seq":3` + reason + `}`)
	}
	w.event(&queue.Event{Kind: "quarantine", At: since, Reason: "data_lost", Left: time.Second}) // nobody asked for it
	w.event(&queue.Event{Kind: "gap", At: since})
	ws.expect(`{"type":"event","subscription":"s1","event":"gap",` + at + `}`)
	ws.say(`{"type":"subscribe","id":"2","locks":["x"],"events":["quarantine"]}`)
	ws.expect(`{"type":"subscribed","id":"2","subscription":"s2"}`)
	q := <-fake.watched
	q.event(&queue.Event{Kind: "quarantine", At: since, Reason: "data_lost", Left: 1500 * time.Millisecond})
	ws.expect(`{"type":"event","subscription":"s2","event":"quarantine",` + at + `,"reason":"data_lost","seconds":1.5}`)
	q.event(&queue.Event{Kind: "quarantine", At: since})
	ws.expect(`{"type":"event","subscription":"s2","event":"quarantine",` + at + `,"seconds":0}`)
	// One that is told again with other contents is another event, wherever it lies in memory.
	e := someEvent("granted")
	w.event(e)
	e.Client = "c2"
	w.event(e)
	ws.expectLike(`{"type":"event"`, `"clientId":"c1"`)
	ws.expectLike(`{"type":"event"`, `"clientId":"c2"`)
}

func TestEventsAreFiltered(t *testing.T) {
	fake := newFake()
	ws := connect(t, serve(t, fake, Options{}))
	ws.say(`{"type":"subscribe","id":"1","locks":["*"],"events":["granted","deadlock","quarantine","granted"]}`)
	ws.expectLike(`{"type":"subscribed"`)
	w := <-fake.watched
	for _, kind := range append(eventKinds(), "gap", "unheard-of") {
		w.event(someEvent(kind))
	}
	for _, kind := range []string{"granted", "deadlock", "quarantine", "gap"} {
		ws.expectLike(`{"type":"event","subscription":"s1","event":"` + kind + `"`)
	}
	ws.pong()
}

// No event comes after the unsubscribed, whenever it happens.
func TestUnsubscribe(t *testing.T) {
	fake := newFake()
	ws := connect(t, serve(t, fake, Options{OutLimit: 1 << 30}))
	ws.say(`{"type":"subscribe","id":"1","locks":["*"]}`)
	ws.expectLike(`{"type":"subscribed"`)
	w := <-fake.watched
	var busy sync.WaitGroup
	busy.Go(func() {
		for w.event(someEvent("granted")) {
		}
	})
	ws.say(`{"type":"unsubscribe","id":"2","subscription":"s1"}`)
	for {
		if _, b, err := ws.ReadMessage(); err != nil || strings.HasPrefix(string(b), `{"type":"unsubscribed"`) {
			break
		}
	}
	busy.Wait()
	ws.pong()
	ws.say(`{"type":"unsubscribe","id":"3","subscription":"s1"}`)
	ws.expectLike(`{"type":"error","id":"3","code":"not_found","title":"There is no such subscription"`)
	// Ids are not used again, and the end of the connection stops what is left.
	ws.say(`{"type":"subscribe","id":"4","locks":["*"]}`)
	ws.expectLike(`{"type":"subscribed","id":"4","subscription":"s2"`)
	w = <-fake.watched
	_ = ws.Close()
	receive(t, (<-fake.opened).closed, "the end of the session")
	if w.event(someEvent("granted")) {
		t.Error("the watch goes on")
	}
}

func TestSubscriptionLimits(t *testing.T) {
	fake := newFake()
	ws := connect(t, serve(t, fake, Options{}))
	for i := range maxSubscriptions {
		ws.say(fmt.Sprintf(`{"type":"subscribe","id":"%d","locks":["a"]}`, i))
		ws.expectLike(`{"type":"subscribed"`)
	}
	ws.say(`{"type":"subscribe","id":"x","locks":["a"]}`)
	ws.expectLike(`{"type":"error","id":"x","code":"rate_limited"`, "100 subscriptions", `"retryAfter":1`)
	ws.say(`{"type":"unsubscribe","id":"x","subscription":"s1"}`, `{"type":"subscribe","id":"y","locks":["a"]}`)
	ws.expectLike(`{"type":"unsubscribed"`)
	ws.expectLike(`{"type":"subscribed","id":"y","subscription":"s101"`)
}

// A watch that cannot be had is an error of its frame; what was asked before it is not kept waiting.
func TestAWatchThatFails(t *testing.T) {
	fake := newFake()
	asked := make(chan struct{})
	fake.watch = func(ctx context.Context) error {
		receive(t, asked, "the flush of what came before")
		return errWrapped
	}
	fake.script = func(s *fakeSession) {
		s.late = true
		s.acquire = func(q *queue.Request) error {
			s.answer(func() { close(asked); s.grant(q, 0) })
			return nil
		}
	}
	ws := connect(t, serve(t, fake, Options{}))
	w := (&batch{}).text(`{"type":"acquire","id":"1","lockName":"a","clientId":"c"}`, `{"type":"subscribe","id":"2","locks":["a"]}`)
	_, _ = ws.NetConn().Write(w.b)
	ws.expectLike(`{"type":"granted","id":"1"`)
	ws.expectLike(`{"type":"error","id":"2","code":"unavailable"`, `"retryAfter":1`)
}

// One event is encoded once, however many are told of it.
func TestEventsAreEncodedOnce(t *testing.T) {
	var c eventCache
	e := someEvent("granted")
	first := c.encode(e)
	for range 10 {
		if again := c.encode(e); again != first {
			t.Error("encoded again")
		}
	}
	if n := testing.AllocsPerRun(100, func() { c.encode(e) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if strings.Contains(string(first.tail), "lockId") {
		t.Error("an event tells a lockId")
	}
}
