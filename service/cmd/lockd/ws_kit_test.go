package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"distributedlock/transport/frametest"
)

const (
	subprotocol = "distributed-lock.v1"
	// patience is how long a test waits for a frame that must come.
	patience = 10 * time.Second
	// wholly is how many frames of each type are held against the document one by one; then every hundredth is, as that
	// takes longer than to read one.
	wholly, sampled = 300, 100
)

// wsClient is a client of the WebSocket. It keeps all that it was sent.
type wsClient struct {
	t   *testing.T
	ws  *websocket.Conn
	tcp *net.TCPConn
	// ended is closed when nothing more comes.
	ended chan struct{}

	// heed, where set, is given each frame instead of its being kept.
	heed func(answer)

	writing sync.Mutex
	checks  map[string]int

	mu     sync.Mutex
	frames []answer
	// news is closed, and another put in its place, whenever something comes.
	news chan struct{}
	// end is why nothing more comes.
	end error
}

// handshake asks for a WebSocket. header is made of names and values in turn.
func (n *node) handshake(header ...string) (*wsClient, *http.Response, error) {
	c := &wsClient{t: n.t, ended: make(chan struct{}), news: make(chan struct{}), checks: map[string]int{}}
	d := websocket.Dialer{HandshakeTimeout: patience, NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			c.tcp = conn.(*net.TCPConn)
		}
		return conn, err
	}}
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	var res *http.Response
	var err error
	c.ws, res, err = d.DialContext(n.t.Context(), strings.Replace(n.url, "http", "ws", 1)+"/ws", h)
	return c, res, err
}

// dial connects a client, which reads until the test ends.
func (n *node) dial(header ...string) *wsClient {
	n.t.Helper()
	return n.dialTo(nil, header...)
}

func (n *node) dialTo(heed func(answer), header ...string) *wsClient {
	n.t.Helper()
	c, _, err := n.handshake(append(header, "Sec-WebSocket-Protocol", subprotocol)...)
	if err != nil {
		n.t.Fatal(err)
	}
	if got := c.ws.Subprotocol(); got != subprotocol {
		n.t.Errorf("subprotocol %q", got)
	}
	c.heed = heed
	go c.read()
	n.t.Cleanup(c.close)
	return c
}

func (c *wsClient) read() {
	defer close(c.ended)
	seen := map[string]int{}
	for {
		kind, raw, err := c.ws.ReadMessage()
		if err != nil {
			c.mu.Lock()
			c.end = err
			close(c.news)
			c.mu.Unlock()
			return
		}
		var f answer
		if err := json.Unmarshal(raw, &f); err != nil || kind != websocket.TextMessage {
			c.t.Errorf("%d %s: %v", kind, raw, err)
			continue
		}
		if due(seen, f.str("type")) {
			frametest.Server(c.t, raw)
		}
		if c.heed != nil {
			c.heed(f)
			continue
		}
		c.mu.Lock()
		c.frames = append(c.frames, f)
		close(c.news)
		c.news = make(chan struct{})
		c.mu.Unlock()
	}
}

// due counts a frame, and reports whether it is one to be held against the document.
func due(seen map[string]int, kind string) bool {
	seen[kind]++
	return seen[kind] <= wholly || seen[kind]%sampled == 0
}

// close ends the connection in good order, and cut as if the network broke.
func (c *wsClient) close() {
	_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	_ = c.ws.SetReadDeadline(time.Now().Add(time.Second))
	select {
	case <-c.ended:
	case <-time.After(patience): // it reads all the time
	}
	_ = c.ws.Close()
	<-c.ended
}

func (c *wsClient) cut() {
	_ = c.tcp.SetLinger(0)
	_ = c.tcp.Close()
	<-c.ended
}

// send sends a frame that a client may send.
func (c *wsClient) send(f answer) {
	c.t.Helper()
	raw, err := json.Marshal(f)
	if err != nil {
		c.t.Fatal(err)
	}
	c.sendText(string(raw))
}

// sendText sends a frame as it stands, which must be one that a client may send.
func (c *wsClient) sendText(raw string) {
	c.t.Helper()
	kind, _, _ := strings.Cut(raw, ",")
	c.writing.Lock()
	check := due(c.checks, kind)
	c.writing.Unlock()
	if check {
		frametest.Client(c.t, []byte(raw))
	}
	c.sendAny(websocket.TextMessage, raw)
}

// sendAny sends whatever it is given.
func (c *wsClient) sendAny(kind int, raw string) {
	c.t.Helper()
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.ws.WriteMessage(kind, []byte(raw)); err != nil {
		c.t.Fatalf("send: %v; the end: %v", err, c.why())
	}
}

// frame is what to wait for: the type, and fields with their values.
type frame map[string]any

func (want frame) is(f answer) bool {
	for field, value := range want {
		if n, ok := value.(int); ok {
			value = float64(n)
		}
		if f[field] != value {
			return false
		}
	}
	return true
}

// get waits for a frame with these fields, and returns the first.
func (c *wsClient) get(want frame) answer {
	c.t.Helper()
	return c.wait(fmt.Sprint(map[string]any(want)), patience, want.is)
}

// count is how many frames with these fields have come, and has whether any has.
func (c *wsClient) count(want frame) (n int) {
	for _, f := range c.all() {
		if want.is(f) {
			n++
		}
	}
	return n
}

func (c *wsClient) has(want frame) bool { return c.count(want) > 0 }

// wait waits for a frame, and returns the first that is it.
func (c *wsClient) wait(what string, within time.Duration, is func(answer) bool) answer {
	c.t.Helper()
	late := time.After(within)
	for next := 0; ; {
		c.mu.Lock()
		frames, news, end := c.frames, c.news, c.end
		c.mu.Unlock()
		for ; next < len(frames); next++ {
			if is(frames[next]) {
				return frames[next]
			}
		}
		if end != nil {
			c.t.Fatalf("no %s before the end: %v; last %v", what, end, last(frames))
		}
		select {
		case <-news:
		case <-late:
			c.t.Fatalf("no %s within %s; last %v", what, within, last(frames))
		}
	}
}

func last(frames []answer) []answer { return frames[max(0, len(frames)-10):] }

func (c *wsClient) all() []answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.frames // which only grows
}

// closed waits for the server's close frame.
func (c *wsClient) closed(code int) {
	c.t.Helper()
	select {
	case <-c.ended:
	case <-time.After(patience):
		c.t.Fatalf("not closed, want %d", code)
	}
	if err, ok := errors.AsType[*websocket.CloseError](c.end); !ok || err.Code != code || err.Text == "" {
		c.t.Errorf("closed with %v, want %d", c.end, code)
	}
}

// why is why nothing more comes, nil as long as something may.
func (c *wsClient) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end
}

// hello names the session, or comes back to one.
func (c *wsClient) hello(client, session string) (welcome answer) {
	c.t.Helper()
	f := answer{"type": "hello", "id": "hello", "clientId": client}
	if session != "" {
		f["session"] = session
	}
	c.send(f)
	welcome = c.get(frame{"id": "hello"})
	if welcome.str("type") != "welcome" || welcome.num("heartbeat") <= 0 || welcome.str("node") == "" {
		c.t.Fatalf("%v", welcome)
	}
	return welcome
}

// named is a session that its client can come back to.
func (n *node) named(client string) (c *wsClient, session string) {
	n.t.Helper()
	c = n.dial()
	w := c.hello(client, "")
	if w["resumed"] != false || w.str("session") == "" {
		n.t.Fatalf("%v", w)
	}
	return c, w.str("session")
}

// back is a client's next connection, which must find its session.
func (n *node) back(client, session string) *wsClient {
	n.t.Helper()
	c := n.dial()
	if w := c.hello(client, session); w["resumed"] != true || w.str("session") != session {
		n.t.Fatalf("%v", w)
	}
	return c
}

// acquire asks for a lock. more are fields and values in turn.
func (c *wsClient) acquire(id, name string, more ...any) {
	c.t.Helper()
	f := answer{"type": "acquire", "id": id, "lockName": name}
	for i := 0; i < len(more); i += 2 {
		f[more[i].(string)] = more[i+1]
	}
	c.send(f)
}

// hold asks for a lock, and must get it.
func (c *wsClient) hold(id, name string, more ...any) answer {
	c.t.Helper()
	c.acquire(id, name, more...)
	return c.get(frame{"type": "granted", "id": id})
}

// stand asks for a lock, and must get this place in its line.
func (c *wsClient) stand(id, name string, position int, more ...any) {
	c.t.Helper()
	c.acquire(id, name, append([]any{"waitTimeout", 60}, more...)...)
	c.get(frame{"type": "queued", "id": id, "lockName": name, "position": position})
}

// release gives a grant back.
func (c *wsClient) release(g answer) answer {
	c.t.Helper()
	id := "release " + g.str("lockId")
	c.send(answer{"type": "release", "id": id, "lockName": g.str("lockName"), "clientId": g.str("clientId"), "lockId": g.str("lockId")})
	r := c.get(frame{"id": id})
	if r.str("type") != "released" || r["released"] != true || r.str("lockId") != g.str("lockId") {
		c.t.Errorf("%v", r)
	}
	return r
}

// refused asks for something, and must get an error.
func (c *wsClient) refused(f answer, code string) answer {
	c.t.Helper()
	c.send(f)
	e := c.get(frame{"id": f["id"]})
	if e.str("type") != "error" || e.str("code") != code {
		c.t.Errorf("%v, want %s", e, code)
	}
	return e
}

// pong sees that the connection is used and served.
func (c *wsClient) pong(id string) {
	c.t.Helper()
	c.send(answer{"type": "ping", "id": id})
	c.get(frame{"type": "pong", "id": id})
}

// subscribe is told of the events of locks from now on.
func (c *wsClient) subscribe(id string, locks ...string) (subscription string) {
	c.t.Helper()
	c.send(answer{"type": "subscribe", "id": id, "locks": locks})
	return c.get(frame{"type": "subscribed", "id": id}).str("subscription")
}
