package transport

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"distributedlock/queue"
)

const (
	subprotocol       = "distributed-lock.v1"
	tokenProtocol     = "bearer."
	subprotocolHeader = "Sec-Websocket-Protocol"
)

// newUpgrader has no pool for writing: a connection keeps as much as most frames need, and what is larger goes past it.
// Its own checks of origin and subprotocol are done before.
func newUpgrader() websocket.Upgrader {
	return websocket.Upgrader{
		ReadBufferSize: 4 << 10, WriteBufferSize: 1 << 10,
		CheckOrigin: func(*http.Request) bool { return true },
		Error:       func(http.ResponseWriter, *http.Request, int, error) {}, // the call answers
	}
}

// websocket is GET /ws. It ends with the handshake; the connection goes on in goroutines of its own, so that the
// request's memory is freed.
func (c *call) websocket() error {
	if err := c.checkHandshake(); err != nil {
		return err
	}
	if c.s.locks.Draining() {
		return queue.ErrDraining
	}
	if err := c.s.conns.reserve(); err != nil {
		return err
	}
	ws, g, err := c.upgrade()
	if err != nil {
		c.s.conns.leave(nil)
		return err
	}
	c.status = http.StatusSwitchingProtocols
	conn := newConn(c, ws, g)
	draining := c.s.conns.enter(conn)
	go conn.run()
	if draining {
		conn.drained()
	}
	return nil
}

func newConn(c *call, ws *websocket.Conn, g *gathered) *conn {
	n := &conn{s: c.s, who: c.who, id: c.id, from: c.r.RemoteAddr, ws: ws, net: g}
	n.out.init(c.s.opts.OutLimit, g)
	n.life, n.die = context.WithCancel(context.Background())
	n.session = c.s.locks.Open(n)
	g.waits = n.flush
	ws.SetPingHandler(func(payload string) error {
		n.out.ping(payload)
		return nil
	})
	ws.SetPongHandler(func(string) error {
		n.alive()
		return nil
	})
	ws.SetCloseHandler(func(int, string) error { return nil }) // read sees it too, and the writer answers
	return n
}

// checkHandshake refuses what is no WebSocket, and pages from elsewhere: a browser sends its user's way wherever a page
// wants, and asks nobody.
func (c *call) checkHandshake() error {
	if c.r.Method != http.MethodGet || !websocket.IsWebSocketUpgrade(c.r) {
		c.faults.add("Upgrade", "must be websocket: this path is a WebSocket, for clients that speak it")
		return c.faults.err()
	}
	for _, origin := range c.r.Header["Origin"] {
		if !c.allowed(origin) {
			return errOrigin
		}
	}
	return nil
}

func (c *call) allowed(origin string) bool {
	for _, allowed := range c.s.opts.AllowedOrigins {
		if allowed == "*" || strings.EqualFold(allowed, origin) {
			return true
		}
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, c.r.Host)
}

// upgrade answers the handshake.
func (c *call) upgrade() (*websocket.Conn, *gathered, error) {
	header := http.Header{"X-Request-Id": {c.id}}
	if slices.Contains(offered(c.r.Header), subprotocol) {
		header[subprotocolHeader] = []string{subprotocol}
	}
	h := &hijacker{ResponseWriter: c.w}
	ws, err := c.s.upgrader.Upgrade(h, c.r, header)
	switch {
	case err == nil:
	case h.net != nil: // taken, and then broken
		_ = h.net.Close()
		return nil, nil, errGone
	case h.err != nil:
		return nil, nil, h.err
	default:
		c.w.Header().Set("Sec-Websocket-Version", "13")
		c.faults.add("handshake", strings.TrimPrefix(err.Error(), "websocket: "))
		return nil, nil, c.faults.err()
	}
	if _, err := h.net.flush(); err != nil {
		_ = h.net.Close()
		return nil, nil, errGone
	}
	return ws, h.net, nil
}

// hijacker has gorilla take the connection with a buffer over it.
type hijacker struct {
	http.ResponseWriter
	net *gathered
	err error
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		h.err = err
		return nil, nil, err
	}
	_ = conn.SetDeadline(time.Time{}) // net/http's; fails on a closed connection only
	boundBuffer(conn)
	h.net = &gathered{Conn: conn}
	return h.net, rw, nil
}

// offered are the subprotocols of a handshake. They may come in several headers.
func offered(h http.Header) []string {
	var all []string
	for _, line := range h[subprotocolHeader] {
		for p := range strings.SplitSeq(line, ",") {
			all = append(all, strings.TrimSpace(p))
		}
	}
	return all
}

// subprotocolToken is the token that came as a subprotocol, "" for none.
func subprotocolToken(h http.Header) string {
	for _, p := range offered(h) {
		if token, ok := strings.CutPrefix(p, tokenProtocol); ok {
			return token
		}
	}
	return ""
}
