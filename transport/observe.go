package transport

import (
	"bytes"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
)

// secondsBuckets reach from an answer out of memory to the longest wait.
var secondsBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}

const (
	lowestStatus  = 100
	highestStatus = 599
)

// histograms are a route's, by status. Each is made when it is first needed: most never are.
type histograms [highestStatus - lowestStatus + 1]atomic.Pointer[metrics.PrometheusHistogram]

func (s *server) histogram(rt *route, status int) *metrics.PrometheusHistogram {
	at := &rt.seconds[min(max(status, lowestStatus), highestStatus)-lowestStatus]
	h := at.Load()
	if h == nil {
		name := `distributed_locks_http_request_seconds{route="` + rt.pattern + `",code="` + strconv.Itoa(status) + `"}`
		h = s.opts.Metrics.GetOrCreatePrometheusHistogramExt(name, secondsBuckets)
		at.Store(h)
	}
	return h
}

// observe counts and logs a call that is over.
func (c *call) observe() {
	took := time.Since(c.began)
	c.s.histogram(c.route, c.status).Update(took.Seconds())
	level := zap.DebugLevel
	if c.status >= http.StatusInternalServerError {
		level = zap.WarnLevel
	}
	if !c.s.log.Core().Enabled(level) {
		return
	}
	c.s.log.Log(level, "call", zap.String("method", c.r.Method), zap.String("route", c.route.pattern),
		zap.String("lock", c.name), zap.Int("status", c.status), zap.String("code", c.code), zap.Duration("took", took),
		zap.String("xRequestId", c.id), zap.String("requestId", c.acquireID), zap.String("by", c.who.name),
		zap.String("from", c.r.RemoteAddr), zap.Error(c.cause))
}

// metrics is GET /metrics.
func (c *call) metrics() error {
	page := bytes.NewBuffer(c.out)
	c.s.opts.Metrics.WritePrometheus(page)
	metrics.WriteProcessMetrics(page)
	c.out = page.Bytes()
	return c.ok(typeText)
}
