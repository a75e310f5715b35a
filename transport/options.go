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
	// MaxHold is the longest maxHold, and that of a request that names none. Default 3600 s.
	MaxHold time.Duration
	// ClientToken is what lock calls need; "" leaves them open.
	ClientToken string
	// AdminToken may do everything; "" switches admin calls off.
	AdminToken string
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
		{&o.MaxWait, 300 * time.Second}, {&o.MaxHold, time.Hour},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
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
