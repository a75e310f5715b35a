package distributedlock_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	lock "distributedlock/clients/go"
)

// asked is a frame of the client's.
type asked struct {
	Type         string `json:"type"`
	ID           string `json:"id"`
	LockName     string `json:"lockName"`
	RequestID    string `json:"requestId"`
	Subscription string `json:"subscription"`
}

var frameID = regexp.MustCompile(`"id":\s*"\d+"`)

// retell is a frame of the vectors as the answer to this one.
func (q asked) retell(frame string) string {
	return frameID.ReplaceAllLiteralString(frame, `"id":"`+q.ID+`"`)
}

// A fake is a node that answers as a test wants.
type fake struct {
	*httptest.Server

	mu      sync.Mutex
	answers map[string]func(asked, func(string))
	wg      sync.WaitGroup
}

func newFake(t *testing.T) *fake {
	f := &fake{answers: map[string]func(asked, func(string)){}}
	f.on("hello", func(q asked, send func(string)) {
		now, _ := json.Marshal(time.Now().UTC().Format("2006-01-02T15:04:05.000Z"))
		send(`{"type":"welcome","id":"` + q.ID + `","session":"s","heartbeat":15,"node":"n","resumed":false,"time":` + string(now) + `}`)
	})
	f.on("release", func(q asked, send func(string)) {
		send(`{"type":"released","id":"` + q.ID + `","released":true,"lockName":"x","lockId":"l","heldFor":1}`)
	})
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(func() { f.Close(); f.wg.Wait() })
	return f
}

func (f *fake) on(kind string, answer func(asked, func(string))) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[kind] = answer
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	u := websocket.Upgrader{Subprotocols: []string{"distributed-lock.v1"}}
	conn, err := u.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	f.wg.Add(1)
	defer f.wg.Done()
	defer conn.Close()
	send := func(text string) { _ = conn.WriteMessage(websocket.TextMessage, []byte(text)) } // one goroutine writes
	for {
		var q asked
		if conn.ReadJSON(&q) != nil {
			return
		}
		f.mu.Lock()
		answer := f.answers[q.Type]
		f.mu.Unlock()
		if answer != nil {
			answer(q, send)
		}
	}
}

func (f *fake) client(t *testing.T) *lock.Client {
	c := lock.NewDistributedLockClient(f.URL, lock.WithClientID("c-1"))
	t.Cleanup(func() { c.Close() })
	return c
}

type frameVector struct {
	About, Frame, Is string
	Fields           map[string]any
}

const plainGrant = `{"type":"granted","id":"1","acquired":true,"lockId":"kR3vT9qLkR3vT9qLkR3vT9qL","lockName":"x","clientId":"c-1",` +
	`"ownerId":"o-1","requestId":"r-1","expiresAt":"2026-11-23T08:04:45.534Z","ttlMs":29999,"fencingToken":5,"renewalToken":"t",` +
	`"waitTime":0,"autoRenew":false,"metadata":null}`

func TestVectorsFrames(t *testing.T) {
	read := map[string]func(*testing.T, frameVector) map[string]any{
		"grant": readGrant, "queued": readPlace, "position": readPlace, "released": readReleased, "renewed": readRenewed,
		"lost": readLost, "event": readEvent, "welcome": passOver, "draining": passOver, "ignored": passOver,
	}
	for _, v := range vectors[frameVector](t, "frames.json") {
		t.Run(v.About, func(t *testing.T) {
			t.Parallel()
			if read[v.Is] == nil {
				t.Fatalf("what is %q?", v.Is)
			}
			if got := read[v.Is](t, v); got != nil {
				compare(t, got, v.Fields)
			}
		})
	}
}

// acquire asks for a lock that the fake grants with the frame.
func (f *fake) acquire(t *testing.T, c *lock.Client, frame, name string) *lock.Lock {
	t.Helper()
	f.on("acquire", func(q asked, send func(string)) { send(q.retell(frame)) })
	l, err := c.TryAcquire(t.Context(), name, 30*time.Second, lock.WithOwner("o-1"), lock.WithRequestID("r-1"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func readGrant(t *testing.T, v frameVector) map[string]any {
	f := newFake(t)
	name, _ := v.Fields["name"].(string)
	l := f.acquire(t, f.client(t), v.Frame, name)
	delete(v.Fields, "metadata")  // the SDK's are the caller's own
	delete(v.Fields, "ttlMs")     // and its end of the lease has vectors of its own
	delete(v.Fields, "expiresAt") // likewise
	return map[string]any{
		"lockId": l.ID, "name": l.Name, "clientId": l.ClientID, "ownerId": l.OwnerID, "requestId": l.RequestID,
		"fencingToken": float64(l.FencingToken), "renewalToken": l.RenewalToken, "waitedMs": float64(l.Waited) / 1e6,
	}
}

func readPlace(t *testing.T, v frameVector) map[string]any {
	f := newFake(t)
	f.on("acquire", func(q asked, send func(string)) {
		if v.Is == "position" {
			send(`{"type":"queued","id":"` + q.ID + `","lockName":"x","requestId":"r-1","position":9,"holders":[]}`)
		}
		send(q.retell(v.Frame))
	})
	want, _ := v.Fields["position"].(float64)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var got map[string]any
	_, err := f.client(t).AcquireContext(ctx, "x", time.Second, lock.WithRequestID("r-1"), lock.OnQueued(func(p lock.Place) {
		if float64(p.Position) == want {
			got = object(t, p)
			cancel()
		}
	}))
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	delete(v.Fields, "requestId")
	return got
}

func readReleased(t *testing.T, v frameVector) map[string]any {
	f := newFake(t)
	c := f.client(t)
	l := f.acquire(t, c, plainGrant, "x")
	f.on("release", func(q asked, send func(string)) { send(q.retell(v.Frame)) })
	held, err := c.Release(t.Context(), "x", l.ID)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{"heldForMs": float64(held) / 1e6}
}

func readRenewed(t *testing.T, v frameVector) map[string]any {
	f := newFake(t)
	c := f.client(t)
	l := f.acquire(t, c, plainGrant, "x")
	f.on("renew", func(q asked, send func(string)) { send(q.retell(v.Frame)) })
	r, err := c.Renew(t.Context(), "x", l.RenewalToken, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := object(t, r)
	got["ttlMs"] = float64(r.TTL) / 1e6
	return got
}

func readLost(t *testing.T, v frameVector) map[string]any {
	f := newFake(t)
	f.on("acquire", func(q asked, send func(string)) {
		send(q.retell(plainGrant))
		send(v.Frame)
	})
	l, err := f.client(t).TryAcquire(t.Context(), "x", 30*time.Second)
	if err != nil && !errors.Is(err, lock.ErrLockLost) {
		t.Fatal(err)
	}
	if err != nil {
		return nil
	}
	select {
	case <-l.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the loss is not told")
	}
	if !errors.Is(l.Err(), lock.ErrLockLost) {
		t.Fatal(l.Err())
	}
	return nil
}

func readEvent(t *testing.T, v frameVector) map[string]any {
	f := newFake(t)
	f.on("subscribe", func(q asked, send func(string)) {
		send(`{"type":"subscribed","id":"` + q.ID + `","subscription":"1"}`)
		send(v.Frame)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for e, err := range f.client(t).Subscribe(ctx, lock.Subscription{Locks: []string{"*"}}) {
		if err != nil {
			t.Fatal(err)
		}
		got := object(t, e)
		got["kind"] = e.Kind
		return got
	}
	t.Fatal("no event")
	return nil
}

// passOver wants that after the frame everything goes on.
func passOver(t *testing.T, v frameVector) map[string]any {
	f := newFake(t)
	c := f.client(t)
	if v.Is == "welcome" {
		f.on("hello", func(q asked, send func(string)) { send(q.retell(v.Frame)) })
	}
	f.on("acquire", func(q asked, send func(string)) {
		if v.Is != "welcome" {
			send(v.Frame)
		}
		send(q.retell(plainGrant))
	})
	for range 2 {
		l, err := c.TryAcquire(t.Context(), "x", 30*time.Second, lock.WithWait(0))
		if err != nil {
			t.Fatal(err)
		}
		if l.Err() != nil || !strings.HasPrefix(l.ID, "kR3v") {
			t.Fatal(l.Err())
		}
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
	}
	return nil
}
