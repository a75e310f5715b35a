package transport

import (
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
)

// Options are the limits and the identity of the face. The zero value of a field is its default.
type Options struct {
	// Addr is where [NewServer] listens. Default ":5000".
	Addr string
	// DefaultTimeout is the lease of a request that names none. Default 30 s.
	DefaultTimeout time.Duration
	// MaxTimeout is the longest lease. Default 300 s.
	MaxTimeout time.Duration
	// MaxWait is the longest waitTimeout. Default 300 s.
	MaxWait time.Duration
	// MaxHold is the longest maxHold. Default 3600 s.
	MaxHold time.Duration
	// ClientToken is what lock calls need; "" leaves them open.
	ClientToken string
	// AdminToken may do everything; "" switches admin calls off.
	AdminToken string
	// AllowedOrigins are those of web pages that may open a WebSocket beside the service's own, "*" for any.
	AllowedOrigins []string
	// Heartbeat is the time between a WebSocket's pings. A client whose pong is not there by the next is taken for gone.
	// Default 15 s.
	Heartbeat time.Duration
	// MaxConns is how many WebSockets may be open. Default 50,000; a negative number is for none.
	MaxConns int
	// OutLimit is how many bytes may wait for a WebSocket's client to read them. Default 1 MiB.
	OutLimit int
	// Node is this node's name, which a WebSocket's client is told.
	Node string
	// Version is what /health tells.
	Version string
	// Started is when the process began, for the uptime. Default now.
	Started time.Time
	// Logger gets the access lines (debug), failures (warn) and forced releases (info). Default none.
	Logger *zap.Logger
	// Metrics is where the request histograms go and what /metrics shows. Default a set of its own.
	Metrics *metrics.Set
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.DefaultTimeout, 30 * time.Second}, {&o.MaxTimeout, 300 * time.Second},
		{&o.MaxWait, 300 * time.Second}, {&o.MaxHold, time.Hour}, {&o.Heartbeat, 15 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if o.MaxConns == 0 {
		o.MaxConns = 50_000
	}
	if o.OutLimit == 0 {
		o.OutLimit = 1 << 20
	}
	if o.Addr == "" {
		o.Addr = ":5000"
	}
	if o.Started.IsZero() {
		o.Started = time.Now()
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	return o
}
