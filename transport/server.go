package transport

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/gorilla/websocket"
	"github.com/julienschmidt/httprouter"
	"go.uber.org/zap"
)

const (
	// readTimeout is for a request's head and body together; a request that waits is freed of it once it is read.
	readTimeout = 10 * time.Second
	idleTimeout = 2 * time.Minute
	// writeSlack is how much longer than the longest wait an answer may take to be read by its client.
	writeSlack = 30 * time.Second
	// grantTimeout is for a client that waited to take its grant.
	grantTimeout   = 10 * time.Second
	maxHeaderBytes = 16 << 10
)

// server answers the calls.
type server struct {
	locks  Locks
	opts   Options
	log    *zap.Logger
	auth   authenticator
	router *httprouter.Router
	routes []*route
	// unmatched stands for every path and method that no route takes.
	unmatched *route
	bodies    bodyFields

	// frames are the WebSocket's, by type; noFrame stands for those of no type.
	frames     map[string]*frameKind
	noFrame    *route
	upgrader   websocket.Upgrader
	conns      connections
	events     eventCache
	connected  *metrics.Gauge
	slowClosed *metrics.Counter
}

// Handler is the handler of every call. It outlives the http.Server in its WebSockets: end them with Drain or Close.
type Handler struct{ s *server }

// New is the handler for a lock manager.
func New(locks Locks, opts Options) *Handler { return &Handler{s: newServer(locks, opts)} }

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.s.ServeHTTP(w, r) }

func newServer(locks Locks, opts Options) *server {
	opts = opts.withDefaults()
	s := &server{locks: locks, opts: opts, log: opts.Logger, auth: newAuthenticator(opts.ClientToken, opts.AdminToken)}
	s.bodies = newBodyFields(opts)
	s.frames, s.noFrame, s.upgrader = frameTable(), &route{pattern: "frame"}, newUpgrader()
	s.conns.most = opts.MaxConns
	s.connected = opts.Metrics.GetOrCreateGauge("distributed_locks_ws_connections", nil)
	s.slowClosed = opts.Metrics.GetOrCreateCounter("distributed_locks_ws_slow_closed_total")
	s.route()
	return s
}

// NewServer is an HTTP server for the handler, with a bound on everything that a client could draw out. Its write
// timeout is longer than the longest wait: a shorter one would lose grants in silence.
func NewServer(handler http.Handler, opts Options) *http.Server {
	opts = opts.withDefaults()
	return &http.Server{
		Addr:              opts.Addr,
		Handler:           handler,
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      opts.MaxWait + readTimeout + writeSlack,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          zap.NewStdLog(opts.Logger.Named("http")),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
	}
}
