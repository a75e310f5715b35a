package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"distributedlock/queue"
	"distributedlock/transport/frametest"
)

const grantedTail = `"acquired":true,"lockId":"kR3vT9qLx0YzB1nM5pWcDg","lockName":"user:1","clientId":"c1","ownerId":"c1",` +
	`"requestId":"r","expiresAt":"2030-01-02T03:04:35.006Z","ttlMs":30000,"fencingToken":1795000000000001,` +
	`"renewalToken":"Zt7HjU2eXv8QaS4oKf6LmN","waitTime":0,"autoRenew":false,"metadata":null}`

// TestGoodFrames holds whole answers against what they must be.
func TestGoodFrames(t *testing.T) {
	fake := newFake()
	ws := connect(t, serve(t, fake, Options{Node: "n1", Heartbeat: 12500 * time.Millisecond}))
	for _, c := range []struct{ say, hear string }{
		{`{"type":"ping"}`, `{"type":"pong"}`},
		{` {"id" : "ü\"","type":"\u0070ing" } `, `{"type":"pong","id":"ü\""}`},
		{`{"type":"ping","id":null}`, `{"type":"pong"}`},
		{`{"type":"hello","clientId":"c1","id":"h","session":null}`, `{"type":"welcome","id":"h","session":"session-of-c1","heartbeat":12.5,"node":"n1","resumed":false,"time":"2030-01-02T03:04:05.006Z"}`},
		{`{"type":"acquire","id":"1","lockName":"user:1","requestId":"r"}`, `{"type":"granted","id":"1",` + grantedTail},
		{`{"type":"acquire","id":"1","lockName":"user:1","requestId":"r","clientId":"c1"}`, `{"type":"granted","id":"1",` + grantedTail},
		{`{"type":"release","id":"2","lockName":"user:1","lockId":"l"}`, `{"type":"released","id":"2","released":true,"lockName":"user:1","lockId":"l","heldFor":1.5}`},
		{`{"type":"renew","id":"3","lockName":"user:1","renewalToken":"t","timeout":5}`,
			`{"type":"renewed","id":"3","renewed":true,"lockName":"user:1","expiresAt":"2030-01-02T03:04:35.006Z","ttlMs":5000,"fencingToken":7}`},
		{`{"type":"subscribe","id":"4","locks":["a","b*"],"events":["granted"]}`, `{"type":"subscribed","id":"4","subscription":"s1"}`},
		{`{"type":"subscribe","id":"5","locks":["*"]}`, `{"type":"subscribed","id":"5","subscription":"s2"}`},
		{`{"type":"unsubscribe","id":"6","subscription":"s1"}`, `{"type":"unsubscribed","id":"6","subscription":"s1"}`},
	} {
		if !strings.Contains(c.say, `"id":null`) { // lenient, and not promised
			frametest.Client(t, []byte(c.say))
		}
		ws.say(c.say)
		ws.expect(c.hear)
	}
	if w := <-fake.watched; fmt.Sprint(w.names, w.prefixes) != "[a] [b]" {
		t.Errorf("watched %q %q", w.names, w.prefixes)
	}
	if w := <-fake.watched; len(w.names) != 0 || len(w.prefixes) != 1 || w.prefixes[0] != "" {
		t.Errorf("watched %q %q", w.names, w.prefixes)
	}
}

// TestWaiting is a request that waits: its way through the line, and its cancel.
func TestWaiting(t *testing.T) {
	fake := newFake()
	fake.script = func(s *fakeSession) {
		s.acquire = func(q *queue.Request) error {
			s.queue(q)
			s.l.Queued(q, 2, []queue.Grant{held("c9")})
			return nil
		}
	}
	ws := connect(t, serve(t, fake, Options{}))
	session := <-fake.opened
	ws.say(`{"type":"acquire","id":"1","lockName":"user:1","clientId":"c1","waitTimeout":60,"requestId":"r"}`)
	ws.expect(`{"type":"queued","id":"1","lockName":"user:1","requestId":"r","position":2,"holders":[` + strings.ReplaceAll(holderJSON, `"c1"`, `"c9"`) + `]}`)
	q := session.request("1")
	session.l.Moved(q, 1)
	ws.expect(`{"type":"position","id":"1","lockName":"user:1","requestId":"r","position":1}`)
	for _, say := range []string{`{"type":"acquire","id":"1","lockName":"b","clientId":"c1"}`, `{"type":"ping","id":"1"}`, `{"type":"release","id":"1","lockName":"b","clientId":"c1","lockId":"l"}`} {
		ws.say(say)
		ws.expectLike(`{"type":"error","id":"1","code":"invalid_argument"`, `"errors":[{"field":"id","detail":"is that of an acquire under way"}]}`)
	}
	ws.say(`{"type":"cancel","id":"2","target":"1"}`)
	ws.expect(`{"type":"error","id":"1","code":"cancelled","title":"The request was cancelled","status":409,`+
		`"detail":"The request for \"user:1\" was taken back: it has left the line and holds nothing.","requestId":"r"}`, `{"type":"cancelled","id":"2"}`)
	for _, say := range []string{`{"type":"cancel","id":"2","target":"1"}`, `{"type":"cancel","id":"2","requestId":"r"}`} {
		ws.say(say)
		ws.expectLike(`{"type":"error","id":"2","code":"not_found","title":"There is no such request","status":404`)
	}
	ws.say(`{"type":"acquire","id":"1","lockName":"user:1","clientId":"c1","requestId":"r"}`, `{"type":"cancel","id":"3","requestId":"r"}`)
	ws.expectLike(`{"type":"queued"`)
	ws.expectLike(`{"type":"error","id":"1","code":"cancelled"`)
	ws.expect(`{"type":"cancelled","id":"3"}`)
	ws.say(`{"type":"acquire","id":"1","lockName":"user:1","clientId":"c1","requestId":"r"}`)
	ws.expectLike(`{"type":"queued"`)
	session.grant(session.request("1"), 2500*time.Millisecond)
	ws.expect(`{"type":"granted","id":"1",` + strings.Replace(grantedTail, `"waitTime":0`, `"waitTime":2.5`, 1))
	session.l.Lost("user:1", "kR3vT9qLx0YzB1nM5pWcDg", "expired")
	ws.expect(`{"type":"lost","lockName":"user:1","lockId":"kR3vT9qLx0YzB1nM5pWcDg","reason":"expired"}`)
	session.l.Superseded()
	ws.expectClose(websocket.CloseNormalClosure)
}

// TestWhatTheSessionIsAsked holds frames against the requests that the lock manager must see.
func TestWhatTheSessionIsAsked(t *testing.T) {
	plain := queue.Request{Name: "a", Client: "c", Owner: "c", Lease: 30 * time.Second, Mode: queue.Exclusive, Limit: 1, Frame: "i"}
	with := func(change func(*queue.Request)) queue.Request {
		q := plain
		change(&q)
		return q
	}
	got := make(chan queue.Request, 1)
	fake := newFake()
	fake.script = func(s *fakeSession) {
		s.acquire = func(q *queue.Request) error {
			asked := *q
			if !q.Known {
				asked.ID = ""
			}
			asked.LockID, asked.RenewalToken = "", ""
			got <- asked
			s.grant(q, 0)
			return nil
		}
	}
	ws := connect(t, serve(t, fake, Options{}))
	for say, want := range map[string]queue.Request{
		`"clientId":"c"`:                                 plain,
		`"clientId":"c","ownerId":"o"`:                   with(func(q *queue.Request) { q.Owner, q.Explicit = "o", true }),
		`"clientId":"c","autoRenew":true,"maxHold":7`:    with(func(q *queue.Request) { q.AutoRenew, q.MaxHold = true, 7*time.Second }),
		`"clientId":"c","requestId":"r","waitTimeout":2`: with(func(q *queue.Request) { q.ID, q.Known, q.Wait = "r", true, 2*time.Second }),
		`"clientId":"c","mode":"shared","timeout":1`:     with(func(q *queue.Request) { q.Mode, q.Lease = queue.Shared, time.Second }),
		`"clientId":"c","limit":3,"metadata":{"a": 1}`:   with(func(q *queue.Request) { q.Limit, q.Metadata = 3, json.RawMessage(`{"a":1}`) }),
	} {
		ws.say(`{"type":"acquire","id":"i","lockName":"a",` + say + `}`)
		ws.expectLike(`{"type":"granted"`)
		if q := <-got; fmt.Sprintf("%+v", q) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", say, q, want)
		}
	}
}

// TestBadFrames: all that is wrong is told at once, and the connection goes on.
func TestBadFrames(t *testing.T) {
	many := `"` + strings.Repeat(`x","`, 100) + `x"`
	ws := connect(t, serve(t, newFake(), Options{}))
	for _, c := range []struct{ say, id, fields string }{
		{`{}`, "", "type"}, {`{"type":null,"id":"1"}`, "1", "type"}, {`{"type":7}`, "", "type"}, {`{"type":"PING"}`, "", "type"}, {`{"type":"granted","id":"1"}`, "1", "type"},
		{`{"type":"\ud800"}`, "", "type"}, {`{"type":"ping","id":7}`, "", "id"}, {`{"type":"ping","id":""}`, "", "id"}, {`{"type":"ping","id":"a\u0000"}`, "", "id"},
		{`{"type":"ping","id":"` + strings.Repeat("x", 257) + `"}`, "", "id"}, {`{"type":"ping","more":1}`, "", "more"}, {`{"type":"ping","type":"ping"}`, "", "type"},
		{`{"type":"ping","id":"1","id":"2"}`, "1", "id"}, {`{"type":"ping","typ\u0065":"x"}`, "", "type"}, {`{"type":"nope","id":7}`, "", "type id"},
		{`{"type":"hello"}`, "", "clientId"}, {`{"type":"hello","clientId":7,"session":"","x":1}`, "", "clientId session x"},
		{`{"type":"acquire"}`, "", "id lockName clientId"}, {`{"type":"acquire","id":"1","lockName":"a"}`, "1", "clientId"},
		{`{"type":"acquire","id":"1","lockName":"","clientId":"c"}`, "1", "lockName"}, {`{"type":"acquire","id":"1","lockName":"..","clientId":"c"}`, "1", "lockName"},
		{`{"type":"acquire","id":"1","lockName":"` + strings.Repeat("x", 513) + `","clientId":"c"}`, "1", "lockName"},
		{`{"type":"acquire","id":"1","lockName":"a","clientId":"","timeout":0,"mode":"shared","limit":2,"lockId":"x"}`, "1", "clientId timeout lockId limit"},
		{`{"type":"release","id":"1"}`, "1", "lockName lockId clientId"}, {`{"type":"release","id":"1","lockName":"a","lockId":"l","clientId":null}`, "1", "clientId"},
		{`{"type":"renew","id":"1","lockName":7}`, "1", "lockName renewalToken clientId"}, {`{"type":"renew","id":"1","lockName":"a","clientId":"c","renewalToken":"t","timeout":301}`, "1", "timeout"},
		{`{"type":"cancel","id":"1"}`, "1", "target"}, {`{"type":"cancel","id":"1","target":"a","requestId":"b"}`, "1", "target"}, {`{"type":"cancel","target":"a"}`, "", "id"},
		{`{"type":"cancel","id":"1","target":7}`, "1", "target"},
		{`{"type":"subscribe","id":"1"}`, "1", "locks"}, {`{"type":"subscribe","id":"1","locks":"a"}`, "1", "locks"}, {`{"type":"subscribe","id":"1","locks":[]}`, "1", "locks"},
		{`{"type":"subscribe","id":"1","locks":["a",null]}`, "1", "locks"}, {`{"type":"subscribe","id":"1","locks":["a",7]}`, "1", "locks"}, {`{"type":"subscribe","id":"1","locks":[""]}`, "1", "locks"},
		{`{"type":"subscribe","id":"1","locks":["."]}`, "1", "locks"}, {`{"type":"subscribe","id":"1","locks":[` + many + `]}`, "1", "locks"},
		{`{"type":"subscribe","id":"1","locks":["a"],"events":["gap"]}`, "1", "events"}, {`{"type":"subscribe","id":"1","locks":["a"],"events":[]}`, "1", "events"},
		{`{"type":"subscribe","id":"1","locks":["a"],"events":"granted"}`, "1", "events"}, {`{"type":"subscribe","id":"1","locks":["a"],"events":[null]}`, "1", "events"},
		{`{"type":"subscribe","locks":["a","` + strings.Repeat("x", 513) + `"]}`, "", "id locks"},
		{`{"type":"unsubscribe","id":"1"}`, "1", "subscription"}, {`{"type":"unsubscribe","id":"1","subscription":1}`, "1", "subscription"},
	} {
		ws.say(c.say)
		text := ws.hear()
		var p struct {
			problemBody
			ID string
		}
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		var fields []string
		for _, e := range p.Errors {
			fields = append(fields, e.Field)
		}
		if p.Type != "error" || p.ID != c.id || p.Code != "invalid_argument" || p.Status != 400 || p.Title == "" || p.Detail == "" || strings.Join(fields, " ") != c.fields {
			t.Errorf("%.80s: %s", c.say, text)
		}
	}
	ws.pong()
}

// What is no frame at all closes the connection, after the answers to what came before.
func TestFramesThatClose(t *testing.T) {
	addr := serve(t, newFake(), Options{})
	for _, bad := range []string{``, ` `, `{`, `[]`, `null`, `"ping"`, `{"type":"ping"}{}`, "{\"type\":\"\xff\"}", `{"type":"ping",}`} {
		ws := connect(t, addr)
		ws.say(`{"type":"ping"}`, bad, `{"type":"ping"}`)
		ws.expect(`{"type":"pong"}`)
		ws.expectClose(4400)
	}
	ws := connect(t, addr)
	_ = ws.WriteMessage(websocket.BinaryMessage, []byte(`{"type":"ping"}`))
	ws.expectClose(4400)
	ws = connect(t, addr)
	ws.say(strings.Repeat("ü", 40<<10))
	ws.expectLike(`{"type":"error","code":"too_large","title":"The body or frame is too large","status":413`)
	ws.expectClose(websocket.CloseMessageTooBig)
	exact := `{"type":"ping"}`
	ws = connect(t, addr)
	ws.say(exact + strings.Repeat(" ", maxBody-len(exact)))
	ws.expect(`{"type":"pong"}`)
	ws.say(exact + strings.Repeat(" ", maxBody-len(exact)+1))
	ws.expectLike(`{"type":"error","code":"too_large"`)
	ws.expectClose(websocket.CloseMessageTooBig)
}

// A message of which there is no end is read no further than it may be long.
func TestAnEndlessMessage(t *testing.T) {
	ws := connect(t, serve(t, newFake(), Options{}))
	sent := make(chan int, 1)
	go func() {
		w, _ := ws.NextWriter(websocket.TextMessage)
		n, piece := 0, []byte(strings.Repeat(" ", 1<<20))
		for range 1000 {
			if _, err := w.Write(piece); err != nil {
				break
			}
			n++
		}
		sent <- n
	}()
	ws.expectLike(`{"type":"error","code":"too_large"`)
	ws.expectClose(websocket.CloseMessageTooBig)
	_ = ws.NetConn().Close()
	receive(t, sent, "the end of the sending")
}

// TestErrorFrames holds errors of the session against the frames that tell them.
func TestErrorFrames(t *testing.T) {
	var now error
	fake := newFake()
	fake.script = func(s *fakeSession) {
		s.acquire = func(q *queue.Request) error {
			if s.late = !s.late; s.late && !errors.Is(now, queue.ErrInUse) {
				s.l.Failed(q, now)
				return nil
			}
			return now
		}
	}
	ws := connect(t, serve(t, fake, Options{}))
	for _, c := range []struct {
		err    error
		status int
		code   string
		parts  []string
	}{
		{errHeld, 409, "lock_held", []string{`"acquired":false,"holders":[{"clientId":"c9"`, `"queueLength":2}`}},
		{errTimedOut, 409, "wait_timeout", []string{`"waitTime":2.5}`}},
		{errDeadlock, 409, "deadlock", []string{`"cycle":[{"clientId":"c1","ownerId":"a","holds":"l1","heldSince":`}},
		{&queue.LimitError{Limit: 4}, 409, "limit_mismatch", []string{`"limit":4}`}},
		{queue.ErrMismatch, 422, "request_mismatch", []string{`\"r\"`}},
		{&queue.FullError{Queue: 7}, 429, "queue_full", []string{`"retryAfter":1}`, "Ask again in a second"}},
		{queue.ErrBusy, 429, "rate_limited", []string{`"retryAfter":1}`}},
		{queue.ErrDraining, 503, "draining", []string{`"retryAfter":1}`}},
		{errWrapped, 503, "unavailable", []string{`"retryAfter":1}`}},
		{queue.ErrUnknown, 504, "outcome_unknown", []string{"same requestId"}},
		{queue.ErrCancelled, 409, "cancelled", nil},
		{errSurprise, 500, "internal", nil},
	} {
		now = c.err
		for range 2 {
			ws.say(`{"type":"acquire","id":"1","lockName":"user:1","clientId":"c","requestId":"r"}`)
			text := ws.hear()
			for _, part := range append(c.parts, fmt.Sprintf(`{"type":"error","id":"1","code":%q,`, c.code), fmt.Sprintf(`"status":%d`, c.status), `"requestId":"r"`) {
				if !strings.Contains(text, part) {
					t.Errorf("no %s in %s", part, text)
				}
			}
			if strings.Contains(text, "SECRET") || strings.Contains(text, "surprise") || strings.Contains(text, "Retry-After") || strings.Contains(text, "X-Request-Id") {
				t.Error(text)
			}
		}
	}
}

func TestErrorsOfReleaseAndRenew(t *testing.T) {
	fake := newFake()
	ws := connect(t, serve(t, fake, Options{}))
	session := <-fake.opened
	for err, code := range map[error]string{queue.ErrLost: "lock_lost", queue.ErrNotOwner: "not_owner", queue.ErrUnknown: "outcome_unknown", errWrapped: "unavailable"} {
		session.err = err
		ws.say(`{"type":"release","id":"1","lockName":"user:1","clientId":"c","lockId":"l"}`, `{"type":"renew","id":"2","lockName":"user:1","clientId":"c","renewalToken":"t"}`)
		for _, id := range []string{"1", "2"} {
			text := ws.hear()
			if !strings.HasPrefix(text, `{"type":"error","id":"`+id+`","code":"`+code+`"`) || strings.Contains(text, "requestId\":") {
				t.Errorf("%s: %s", code, text)
			}
		}
	}
}

// TestRolesAndPrefixes is what a token may do on a connection.
func TestRolesAndPrefixes(t *testing.T) {
	s := newServer(newFake(), Options{ClientToken: clientToken, AdminToken: adminToken})
	s.auth.known = append(s.auth.known, restricted...)
	addr := serveHandler(t, NewServer(&Handler{s}, Options{}))
	acquire := func(name string) string {
		return `{"type":"acquire","id":"1","clientId":"c","lockName":"` + name + `"}`
	}
	release := func(name string) string {
		return `{"type":"release","id":"1","clientId":"c","lockId":"l","lockName":"` + name + `"}`
	}
	renew := func(name string) string {
		return `{"type":"renew","id":"1","clientId":"c","renewalToken":"t","lockName":"` + name + `"}`
	}
	subscribe := func(name string) string { return `{"type":"subscribe","id":"1","locks":["user:9","` + name + `"]}` }
	for token, cases := range map[string]map[string]string{
		readerToken: {`{"type":"hello","clientId":"c"}`: "welcome", `{"type":"ping"}`: "pong", subscribe("*"): "subscribed", acquire("a"): "forbidden",
			release("a"): "forbidden", renew("a"): "forbidden", `{"type":"cancel","id":"1","target":"x"}`: "forbidden",
			`{"type":"unsubscribe","id":"1","subscription":"x"}`: "not_found"},
		prefixedToken: {acquire("user:1"): "granted", acquire("other"): "forbidden", acquire("user"): "forbidden", release("team:1"): "released", release("x"): "forbidden",
			renew("x"): "forbidden", subscribe("user:*"): "subscribed", subscribe("user:12*"): "subscribed", subscribe("team:x"): "subscribed", subscribe("user*"): "forbidden",
			subscribe("*"): "forbidden", subscribe("other"): "forbidden"},
		adminToken: {acquire("x"): "granted", subscribe("*"): "subscribed"},
	} {
		for say, want := range cases {
			ws := connect(t, addr, "Authorization", "Bearer "+token)
			ws.say(say)
			if text := ws.hear(); !strings.Contains(text, `"`+want+`"`) {
				t.Errorf("%s: %s: %s", token, say, text)
			}
		}
	}
}

func TestHello(t *testing.T) {
	fake := newFake()
	addr := serve(t, fake, Options{})
	const hello = `{"type":"hello","clientId":"c1","id":"h"}`
	ws := connect(t, addr)
	ws.say(hello, hello)
	ws.expectLike(`{"type":"welcome"`)
	ws.expectLike(`{"type":"error","id":"h","code":"invalid_argument"`, `"field":"type"`)
	ws = connect(t, addr)
	ws.say(`{"type":"acquire","id":"1","lockName":"a","clientId":"c1"}`, hello)
	ws.expectLike(`{"type":"granted"`)
	ws.expectLike(`{"type":"error","id":"h","code":"invalid_argument"`, `"field":"type"`)
}

// What a hello causes is told after its welcome, in order; a hello that fails may be tried again, with a session of its
// own.
func TestWhatAHelloCausesComesAfterTheWelcome(t *testing.T) {
	fake := newFake()
	tries := 0
	fake.script = func(s *fakeSession) {
		tries++
		fails := tries == 1
		s.name = func(_ context.Context, id, client string) (string, bool, error) {
			if id != "old" || client != "c1" {
				t.Errorf("%q %q", id, client)
			}
			q := &queue.Request{Name: "user:1", Client: "c1", Owner: "c1", ID: "r", Frame: "1", LockID: "kR3vT9qLx0YzB1nM5pWcDg",
				RenewalToken: "Zt7HjU2eXv8QaS4oKf6LmN", Lease: 30 * time.Second}
			g := grantOf(q)
			s.l.Granted(q, &g, 0)
			s.l.Queued(&queue.Request{Name: "b", ID: "r2", Frame: "2"}, 1, nil)
			s.l.Failed(&queue.Request{Name: "c", ID: "r3", Frame: "3"}, errTimedOut)
			s.l.Lost("d", "kR3vT9qLx0YzB1nM5pWcDg", "force_released")
			if fails {
				return "", false, errWrapped
			}
			return "new", true, nil
		}
	}
	ws := connect(t, serve(t, fake, Options{}))
	const hello = `{"type":"hello","clientId":"c1","session":"old"}`
	ws.say(hello, hello, `{"type":"ping"}`)
	ws.expectLike(`{"type":"error","code":"unavailable"`)
	ws.expectLike(`{"type":"welcome","session":"new"`, `"resumed":true,`)
	ws.expect(`{"type":"granted","id":"1",` + grantedTail)
	ws.expect(`{"type":"queued","id":"2","lockName":"b","requestId":"r2","position":1,"holders":[]}`)
	ws.expectLike(`{"type":"error","id":"3","code":"wait_timeout"`)
	ws.expect(`{"type":"lost","lockName":"d","lockId":"kR3vT9qLx0YzB1nM5pWcDg","reason":"force_released"}`, `{"type":"pong"}`)
	first := <-fake.opened
	if lost := receive(t, first.closed, "the end of the first session"); len(lost) != 1 || lost[0].ID != "r" {
		t.Errorf("given back: %v", lost)
	}
	if second := <-fake.opened; len(second.closed) > 0 {
		t.Error("the second session was closed too")
	}
}

// A panic in one frame is an error of that frame alone.
func TestAPanicInAFrame(t *testing.T) {
	fake := newFake()
	fake.script = func(s *fakeSession) { s.acquire = func(*queue.Request) error { panic("oh no") } }
	ws := connect(t, serve(t, fake, Options{}))
	ws.say(`{"type":"acquire","id":"1","lockName":"a","clientId":"c"}`)
	ws.expectLike(`{"type":"error","id":"1","code":"internal"`)
	ws.pong()
}
