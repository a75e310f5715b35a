package distributedlock

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
)

const (
	subprotocol = "distributed-lock.v1"
	// dialPatience is how long a node may take to accept a connection, and then to shake hands.
	dialPatience = 3 * time.Second
	// helloPatience is how long it may take to answer the hello, for which it asks Redis.
	helloPatience = 6 * time.Second
)

// errNoWebSocket: the service, or something before it, speaks no WebSocket.
var errNoWebSocket = errors.New("no WebSocket can be had")

// connect opens a connection to the current endpoint, says hello, and makes it the client's.
func (c *Client) connect() (*conn, error) {
	c.mu.Lock()
	u, session := c.urls[c.endpoint], c.session
	c.mu.Unlock()
	ws, g, err := c.dial(u)
	if err != nil {
		return nil, err
	}
	n := &conn{
		c: c, ws: ws, net: g, wake: make(chan struct{}, 1), dead: make(chan struct{}),
		subs: map[string]*subscriber{}, opened: time.Now(),
	}
	n.hear()
	unhook := context.AfterFunc(c.life, func() { n.kill(ErrClosed) })
	sent, w, err := n.hello(session)
	unhook()
	if err != nil {
		n.kill(err)
		return nil, fmt.Errorf("hello to %s: %w", u.Host, err)
	}
	g.mu.Lock()
	g.gather = true
	g.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		n.kill(ErrClosed)
		return nil, ErrClosed
	}
	n.resumed, n.heartbeat = w.Resumed, time.Duration(w.Heartbeat*float64(time.Second))
	c.session, c.restUntil, c.clock, c.cause = w.Session, time.Time{}, clock{}, nil
	c.clock.learn(w.Time, sent, time.Now())
	c.install(n)
	c.s.log.Debug("connected to the lock service", "endpoint", u.Host, "node", w.Node, "resumed", w.Resumed)
	return n, nil
}

type welcome struct {
	Type, Session, Node string
	Heartbeat           float64
	Resumed             bool
	Time                time.Time
}

// hello names the client and its session.
func (n *conn) hello(session string) (sent time.Time, w welcome, err error) {
	b := appendText([]byte(`{"type":"hello","id":"0"`), "clientId", n.c.s.clientID)
	if session != "" {
		b = appendText(b, "session", session)
	}
	end := time.Now().Add(helloPatience)
	_ = n.net.SetDeadline(end) // fails on a closed connection only
	sent = time.Now()
	if err := n.ws.WriteMessage(websocket.TextMessage, append(b, '}')); err != nil {
		return sent, w, err
	}
	for w.Type != "welcome" {
		_, r, err := n.ws.NextReader()
		if err != nil {
			return sent, w, err
		}
		frame, err := readAll(r, nil)
		if err != nil {
			return sent, w, err
		}
		switch kind, _ := head(frame); string(kind) {
		case "error":
			return sent, w, readError(frame, 0)
		case "draining":
			return sent, w, errDraining
		case "welcome":
			if err := json.Unmarshal(frame, &w); err != nil {
				return sent, w, err
			}
		}
	}
	_ = n.net.SetDeadline(time.Time{}) // likewise
	return sent, w, nil
}

// dial opens a WebSocket.
func (c *Client) dial(u *url.URL) (*websocket.Conn, *gathered, error) {
	var g *gathered
	connected := false
	plain := func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialPatience)
		defer cancel()
		conn, err := (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		connected = true
		g = &gathered{Conn: conn}
		return g, nil
	}
	d := websocket.Dialer{
		NetDialContext: plain, HandshakeTimeout: min(c.s.httpTimeout, 2*dialPatience), Subprotocols: []string{subprotocol},
		ReadBufferSize: 32 << 10, WriteBufferSize: 4 << 10,
		NetDialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := plain(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return c.shakeTLS(ctx, g, conn, u)
		},
	}
	ws, res, err := d.DialContext(c.life, socketURL(u), c.header())
	if err == nil {
		return ws, g, nil
	}
	if res != nil {
		return nil, nil, handshakeError(res)
	}
	if connected && c.life.Err() == nil && isTimeout(err) && c.rest.lives(u) {
		return nil, nil, fmt.Errorf("%w: %s answers over REST and swallows the upgrade", errNoWebSocket, u.Host)
	}
	return nil, nil, err
}

// shakeTLS puts TLS below what is gathered.
func (c *Client) shakeTLS(ctx context.Context, g *gathered, conn net.Conn, u *url.URL) (net.Conn, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.s.tls != nil {
		config = c.s.tls.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = u.Hostname()
	}
	config.NextProtos = []string{"http/1.1"}
	t := tls.Client(g.Conn, config)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // of no use
		return nil, err
	}
	g.Conn = t
	return g, nil
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

func socketURL(u *url.URL) string {
	ws := *u
	ws.Scheme = "ws" + u.Scheme[len("http"):]
	ws.Path += "/ws"
	return ws.String()
}

func (c *Client) header() http.Header {
	h := http.Header{"User-Agent": {"distributedlock-go"}}
	if c.s.token != "" {
		h.Set("Authorization", "Bearer "+c.s.token)
	}
	return h
}

// handshakeError says what a refused handshake means.
func handshakeError(res *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxFrame)) // what there is of it
	_ = res.Body.Close()                                      // likewise
	e := readError(body, res.StatusCode)
	e.RetryAfter = max(e.RetryAfter, retryAfterHeader(res.Header))
	switch {
	case res.StatusCode == http.StatusUnauthorized, res.StatusCode == http.StatusForbidden:
		return e
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode >= 500 && res.StatusCode != http.StatusNotImplemented:
		return e
	}
	return fmt.Errorf("%w: the handshake was answered %d %s", errNoWebSocket, res.StatusCode, bytes.TrimSpace([]byte(e.Code)))
}

func retryAfterHeader(h http.Header) time.Duration {
	n, err := strconv.ParseFloat(h.Get("Retry-After"), 64)
	if err != nil || n < 0 || n > 60 {
		return 0
	}
	return time.Duration(n * float64(time.Second))
}
