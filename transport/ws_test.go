package transport

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/gorilla/websocket"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// refused makes a handshake that must be refused, and returns the problem.
func refused(t *testing.T, addr string, status int, code string, header ...string) string {
	t.Helper()
	ws, res, err := dialWS(addr, header...)
	if err == nil {
		_ = ws.Close()
		t.Fatalf("%q: connected", header)
	}
	if res == nil {
		t.Fatalf("%q: %v", header, err)
	}
	text, _ := io.ReadAll(res.Body)
	if res.StatusCode != status || !strings.Contains(string(text), `"code":"`+code+`"`) || res.Header.Get("Content-Type") != typeProblem[0] {
		t.Errorf("%q: %d %s", header, res.StatusCode, text)
	}
	return string(text)
}

func TestHandshakeTokens(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	s := newServer(newFake(), Options{ClientToken: clientToken, AdminToken: adminToken, Logger: zap.New(core)})
	s.auth.known = append(s.auth.known, restricted...)
	addr := serveHandler(t, NewServer(&Handler{s}, Options{}))
	const protocols = "Sec-WebSocket-Protocol"
	for _, header := range [][]string{
		{"Authorization", "Bearer " + clientToken}, {"Authorization", "Bearer " + readerToken},
		{protocols, "bearer." + clientToken}, {protocols, subprotocol + ", bearer." + adminToken}, {protocols, "bearer." + clientToken + "," + subprotocol},
		{protocols, "chat", protocols, "bearer." + clientToken, protocols, subprotocol},
		{"Authorization", "Bearer " + clientToken, protocols, "bearer.wrong, " + subprotocol},
	} {
		ws, res, err := dialWS(addr, header...)
		if err != nil {
			t.Errorf("%q: %v", header, err)
			continue
		}
		want := ""
		if strings.Contains(strings.Join(header, ","), subprotocol) {
			want = subprotocol
		}
		if got := res.Header.Get(protocols); got != want || ws.Subprotocol() != want || len(res.Header[http.CanonicalHeaderKey(protocols)]) > 1 {
			t.Errorf("%q: answered %q", header, got)
		}
		if res.Header.Get("X-Request-Id") == "" {
			t.Error("no X-Request-Id")
		}
		_ = ws.Close()
	}
	for _, header := range [][]string{nil, {"Authorization", "Bearer wrong-token"}, {protocols, "bearer.wrong-token"}, {protocols, "bearer."}, {protocols, subprotocol},
		{"Authorization", "Bearer wrong-token", protocols, "bearer." + clientToken}} {
		text := refused(t, addr, 401, "unauthorized", header...)
		if strings.Contains(text, "wrong-token") {
			t.Errorf("the token is told: %s", text)
		}
	}
	if text := refused(t, addr, 401, "unauthorized", protocols, "bearer.wrong-token"); !strings.Contains(text, "Sec-Websocket-Protocol") {
		t.Error(text)
	}
	for _, line := range logs.All() {
		for k, v := range line.ContextMap() {
			if text, ok := v.(string); ok && strings.Contains(text, "-token") {
				t.Errorf("logged: %s %s: %s", line.Message, k, text)
			}
		}
	}
}

func TestHandshakeOrigins(t *testing.T) {
	addr := serve(t, newFake(), Options{AllowedOrigins: []string{"https://console.example", "null"}})
	for _, origin := range []string{"http://" + addr, "https://" + strings.ToUpper(addr), "https://console.example", "HTTPS://Console.Example", "null"} {
		ws, _, err := dialWS(addr, "Origin", origin)
		if err != nil {
			t.Errorf("%s: %v", origin, err)
			continue
		}
		_ = ws.Close()
	}
	for _, origin := range []string{"https://elsewhere.example", "https://console.example.evil.example", "https://console.example:444", "http://console.example",
		"http://" + addr + ".evil.example", "://", "file://", "http://"} {
		refused(t, addr, 403, "forbidden", "Origin", origin)
	}
	open := serve(t, newFake(), Options{AllowedOrigins: []string{"*"}})
	ws, _, err := dialWS(open, "Origin", "https://elsewhere.example")
	if err != nil {
		t.Fatal(err)
	}
	_ = ws.Close()
	foreign := serve(t, newFake(), Options{})
	refused(t, foreign, 403, "forbidden", "Origin", "null")
}

func TestHandshakesThatAreNone(t *testing.T) {
	addr := serve(t, newFake(), Options{})
	url := "http://" + addr + "/ws"
	if a := ask(t, http.MethodGet, url, ""); a.status != 400 || !strings.Contains(a.text, "this path is a WebSocket") {
		t.Errorf("%d %s", a.status, a.text)
	}
	if a := ask(t, http.MethodHead, url, "", "Connection", "Upgrade", "Upgrade", "websocket"); a.status != 400 {
		t.Errorf("HEAD: %d", a.status)
	}
	if a := ask(t, http.MethodPost, url, ""); a.status != 405 || a.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %s", a.status, a.header)
	}
	for _, head := range []string{"Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "Sec-WebSocket-Version: 13\r\n",
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n"} {
		conn := dial(t, addr)
		_, _ = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+head+"\r\n")
		res, text := readAnswer(t, conn)
		if res.StatusCode != http.StatusBadRequest || !strings.Contains(text, `"code":"invalid_argument"`) || res.Header.Get("Sec-WebSocket-Version") != "13" {
			t.Errorf("%q: %d %s", head, res.StatusCode, text)
		}
	}
	// What comes before the answer to the handshake is no WebSocket; the server goes on.
	conn := dial(t, addr)
	_, _ = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"+strings.Repeat("x", 100))
	_, _ = io.ReadAll(conn)
	connect(t, addr).pong()
}

func TestHandshakeLimits(t *testing.T) {
	set := metrics.NewSet()
	fake := newFake()
	addr := serve(t, fake, Options{MaxConns: 2, Metrics: set})
	one := connect(t, addr)
	session := <-fake.opened
	two := connect(t, addr)
	two.pong()
	if text := refused(t, addr, 429, "rate_limited"); !strings.Contains(text, "as many WebSocket connections") {
		t.Error(text)
	}
	if page := metricsOf(set); !strings.Contains(page, "distributed_locks_ws_connections 2\n") || !strings.Contains(page, `{route="/ws",code="101"} 2`) {
		t.Error(page)
	}
	_ = one.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "bye"))
	one.expectClose(websocket.CloseNormalClosure)
	if lost := receive(t, session.closed, "the end of the session"); len(lost) > 0 {
		t.Errorf("undelivered %v", lost)
	}
	eventually(t, func() bool {
		ws, _, err := dialWS(addr)
		if err != nil {
			return false
		}
		_ = ws.Close()
		return true
	}, "room for another")
	_ = two.Close()
	eventually(t, func() bool { return strings.Contains(metricsOf(set), "distributed_locks_ws_connections 0\n") }, "the count at 0")
}

func metricsOf(set *metrics.Set) string {
	var b strings.Builder
	set.WritePrometheus(&b)
	return b.String()
}

// Breaches of RFC 6455 are closed with the codes that it has for them.
func TestBreachesOfTheProtocol(t *testing.T) {
	fake := newFake()
	addr := serve(t, fake, Options{})
	for name, c := range map[string]struct {
		raw  []byte
		code int
	}{
		"unmasked":              {[]byte{0x81, 2, '{', '}'}, websocket.CloseProtocolError},
		"reserved bits":         {[]byte{0xf1, 0x80, 1, 2, 3, 4}, websocket.CloseProtocolError},
		"a strange opcode":      {[]byte{0x83, 0x80, 1, 2, 3, 4}, websocket.CloseProtocolError},
		"a continuation":        {[]byte{0x80, 0x80, 1, 2, 3, 4}, websocket.CloseProtocolError},
		"a fragmented ping":     {[]byte{0x09, 0x80, 1, 2, 3, 4}, websocket.CloseProtocolError},
		"a negative length":     {[]byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}, websocket.CloseMessageTooBig},
		"a bad code of closing": {[]byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed}, websocket.CloseProtocolError},
	} {
		ws := connect(t, addr)
		_, _ = ws.NetConn().Write(c.raw)
		if c.code == websocket.CloseMessageTooBig {
			ws.expectLike(`{"type":"error","code":"too_large"`)
		}
		_, _, err := ws.ReadMessage()
		if !websocket.IsCloseError(err, c.code) {
			t.Errorf("%s: %v", name, err)
		}
		_ = ws.Close()
		receive(t, (<-fake.opened).closed, name+": the end of the session")
	}
}

// A frame may come in pieces with pings between, and is answered once; the last ping is.
func TestPingsAndPieces(t *testing.T) {
	fake := newFake()
	ws := connect(t, serve(t, fake, Options{}))
	pongs := make(chan string, 10)
	ws.SetPongHandler(func(payload string) error {
		pongs <- payload
		return nil
	})
	w, _ := ws.NextWriter(websocket.TextMessage)
	_, _ = io.WriteString(w, `{"type":"pi`)
	_ = ws.WriteControl(websocket.PingMessage, []byte("are you there?"), time.Now().Add(patience))
	_, _ = io.WriteString(w, `ng","id":"a"}`)
	_ = w.Close()
	ws.expect(`{"type":"pong","id":"a"}`)
	ws.pong()
	if got := receive(t, pongs, "the pong"); got != "are you there?" {
		t.Error(got)
	}
}

// A client that stops without a word, and one that says so, both end their session.
func TestClientsThatGo(t *testing.T) {
	fake := newFake()
	addr := serve(t, fake, Options{})
	for name, leave := range map[string]func(*net.TCPConn){
		"closes":      func(c *net.TCPConn) { _ = c.Close() },
		"resets":      func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() },
		"half-closes": func(c *net.TCPConn) { _ = c.CloseWrite() },
	} {
		ws := connect(t, addr)
		ws.say(`{"type":"release","id":"1","lockName":"a","clientId":"c","lockId":"l"}`)
		leave(ws.NetConn().(*net.TCPConn))
		session := <-fake.opened
		receive(t, session.closed, name+": the end of the session")
		if session.flushed() == 0 {
			t.Errorf("%s: its last words were not sent", name)
		}
	}
}

// The client's last words count, although it waits for no answer.
func TestAReleaseAndACloseInOnePacket(t *testing.T) {
	fake := newFake()
	ws := connect(t, serve(t, fake, Options{}))
	w := &batch{}
	w.frame(websocket.TextMessage, []byte(`{"type":"release","id":"1","lockName":"a","clientId":"c","lockId":"l"}`))
	w.frame(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
	_, _ = ws.NetConn().Write(w.b)
	ws.expectClose(websocket.CloseNormalClosure)
	session := <-fake.opened
	receive(t, session.closed, "the end of the session")
	if session.flushed() != 1 {
		t.Errorf("%d flushes", session.flushed())
	}
}

// batch is client frames, masked with zeros, to be sent in one packet.
type batch struct{ b []byte }

func (w *batch) frame(kind byte, payload []byte) {
	w.b = append(w.b, 0x80|kind)
	if len(payload) < 126 {
		w.b = append(w.b, 0x80|byte(len(payload)))
	} else {
		w.b = append(w.b, 0x80|126, byte(len(payload)>>8), byte(len(payload)))
	}
	w.b = append(append(w.b, 0, 0, 0, 0), payload...)
}

func (w *batch) text(frames ...string) *batch {
	for _, f := range frames {
		w.frame(websocket.TextMessage, []byte(f))
	}
	return w
}

// A connection that net/http gives away is answered in full before, and the request is counted.
func TestHandshakeAnswer(t *testing.T) {
	conn := dial(t, serve(t, newFake(), Options{}))
	_, _ = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Request-Id: x-1\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" || res.Header.Get("X-Request-Id") != "x-1" ||
		res.Header.Get("Sec-WebSocket-Extensions") != "" || res.Header.Get("Sec-WebSocket-Protocol") != "" {
		t.Errorf("%+v", res)
	}
}

func TestOverTLS(t *testing.T) {
	fake := newFake()
	h := New(fake, Options{})
	s := httptest.NewUnstartedServer(h)
	s.Config.ConnContext = NewServer(h, Options{}).ConnContext
	s.StartTLS()
	t.Cleanup(func() {
		h.Close()
		s.Close()
	})
	d := websocket.Dialer{TLSClientConfig: s.Client().Transport.(*http.Transport).TLSClientConfig.Clone(), HandshakeTimeout: patience}
	d.TLSClientConfig.NextProtos = []string{"http/1.1"}
	conn, _, err := d.Dial("wss://"+s.Listener.Addr().String()+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ws := &wsClient{Conn: conn, t: t}
	ws.say(acquires(1, 1)...)
	ws.expectLike(`{"type":"granted","id":"1"`)
	ws.say(`[]`)
	ws.expectClose(closeBadFrame)
	if lost := receive(t, (<-fake.opened).closed, "the end of the session"); len(lost) > 0 {
		t.Errorf("given back: %v", lost)
	}
}
