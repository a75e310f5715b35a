package transport

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"distributedlock/queue"
)

// liveAnswer is a request and the answer that it must get.
type liveAnswer struct {
	operation, query, token, body string
	set                           func(*fakeLocks)
	status                        int
	code                          string
	// lock is the name in the path, escaped; by default one that is fine.
	lock string
}

const (
	acquireOp = "POST /locks/{name}/acquire"
	releaseOp = "POST /locks/{name}/release"
	renewOp   = "POST /locks/{name}/renew"
	statusOp  = "GET /locks/{name}/status"
	deleteOp  = "DELETE /locks/{name}"
	listOp    = "GET /locks"
	statsOp   = "GET /locks/stats"
	graphOp   = "GET /graph"
	wsOp      = "GET /ws"
)

var (
	goodBodies = map[string]string{
		acquireOp: `{"clientId":"c1","timeout":30,"waitTimeout":10,"autoRenew":true,"maxHold":60,"metadata":{"a":1},"ownerId":"o","requestId":"r","mode":"exclusive","limit":3}`,
		releaseOp: `{"clientId":"c1","lockId":"l"}`,
		renewOp:   `{"clientId":"c1","renewalToken":"t","timeout":5}`,
		deleteOp:  `{"reason":"stuck"}`,
	}
	tooLarge    = `{"clientId":"` + strings.Repeat("x", 70<<10) + `"}`
	errSurprise = errors.New("a surprise")
	errWrapped  = fmt.Errorf("%w: SECRET address", queue.ErrUnavailable)
	errHeld     = &queue.BusyError{Holders: []queue.Grant{held("c9")}, Queue: 2}
	errTimedOut = &queue.BusyError{Holders: []queue.Grant{held("c9")}, Queue: 2, Waited: 2500 * time.Millisecond, TimedOut: true}
	errDeadlock = &queue.DeadlockError{Cycle: someGraph().Cycles[0]}
)

// liveAnswers are all answers of all operations.
func liveAnswers() []liveAnswer {
	var all []liveAnswer
	for _, op := range []string{acquireOp, releaseOp, renewOp, statusOp, deleteOp, listOp, statsOp, graphOp} {
		all = append(all, commonAnswers(op)...)
	}
	all = append(all, acquireAnswers()...)
	for _, op := range []string{releaseOp, renewOp} {
		all = append(all, withBody(op, failing(queue.ErrNotOwner), 403, "not_owner"), withBody(op, failing(queue.ErrLost), 410, "lock_lost"))
	}
	for _, op := range []string{acquireOp, releaseOp, renewOp, deleteOp} {
		all = append(all, withBody(op, failing(queue.ErrUnknown), 504, "outcome_unknown"),
			liveAnswer{op, "", adminToken, tooLarge, nil, 413, "too_large", ""},
			liveAnswer{op, "", adminToken, `{"clientId":1,"what":2}`, nil, 400, "invalid_argument", ""})
	}
	all = append(all,
		withBody(deleteOp, failing(queue.ErrNotLocked), 404, "not_locked"),
		liveAnswer{deleteOp, "?reason=stuck", adminToken, "", nil, 200, "", ""},
		liveAnswer{deleteOp, "", clientToken, "", nil, 403, "forbidden", ""},
		liveAnswer{deleteOp, "", adminToken, "", nil, 403, "admin_disabled", ""},
		liveAnswer{statusOp, "", clientToken, "", func(f *fakeLocks) { f.status = queue.Status{} }, 200, "", ""},
		liveAnswer{listOp, "?limit=0&cursor=%21", clientToken, "", nil, 400, "invalid_argument", ""},
		liveAnswer{graphOp, "?format=svg", clientToken, "", nil, 400, "invalid_argument", ""},
		liveAnswer{graphOp, "?format=dot", clientToken, "", nil, 200, "", ""},
		liveAnswer{statusOp, "", clientToken, "", nil, 400, "invalid_argument", "%2E%2E"},
		liveAnswer{statusOp, "", prefixedToken, "", nil, 403, "forbidden", "other"},
		liveAnswer{acquireOp, "", readerToken, goodBodies[acquireOp], nil, 403, "forbidden", ""},
	)
	return append(all, serviceAnswers()...)
}

func withBody(op string, set func(*fakeLocks), status int, code string) liveAnswer {
	return liveAnswer{op, "", adminToken, goodBodies[op], set, status, code, ""}
}

// commonAnswers are those that every call about locks has.
func commonAnswers(op string) []liveAnswer {
	all := []liveAnswer{
		withBody(op, nil, 200, ""),
		withBody(op, failing(errWrapped), 503, "unavailable"),
		withBody(op, failing(queue.ErrDraining), 503, "draining"),
		withBody(op, failing(errSurprise), 500, "internal"),
		{op, "", "", goodBodies[op], nil, 401, "unauthorized", ""},
		{op, "", "nobody's", goodBodies[op], nil, 401, "unauthorized", ""},
	}
	return all
}

func acquireAnswers() []liveAnswer {
	return []liveAnswer{
		{acquireOp, "", clientToken, `{"clientId":"c1"}`, nil, 200, "", ""},
		withBody(acquireOp, failing(errHeld), 409, "lock_held"),
		withBody(acquireOp, failing(errTimedOut), 409, "wait_timeout"),
		withBody(acquireOp, failing(errDeadlock), 409, "deadlock"),
		withBody(acquireOp, failing(&queue.LimitError{Limit: 4}), 409, "limit_mismatch"),
		withBody(acquireOp, failing(queue.ErrMismatch), 422, "request_mismatch"),
		withBody(acquireOp, failing(&queue.FullError{Holders: []queue.Grant{held("c9")}, Queue: 10000}), 429, "queue_full"),
		withBody(acquireOp, failing(queue.ErrQueueFull), 429, "queue_full"),
		withBody(acquireOp, failing(queue.ErrBusy), 429, "rate_limited"),
	}
}

func serviceAnswers() []liveAnswer {
	evicts := errors.New("Redis may evict locks: maxmemory-policy is allkeys-lru")
	get := func(path string, set func(*fakeLocks), status int, code string) liveAnswer {
		return liveAnswer{http.MethodGet + " " + path, "", "", "", set, status, code, ""}
	}
	ws := func(set func(*fakeLocks), status int, code string) liveAnswer {
		return liveAnswer{wsOp, "", clientToken, "", set, status, code, ""}
	}
	ready := func(err error) func(*fakeLocks) { return func(f *fakeLocks) { f.ready = err } }
	return []liveAnswer{
		get("/health", nil, 200, ""), get("/health", ready(evicts), 200, ""),
		get("/health", failing(errSurprise), 503, "unavailable"),
		get("/livez", failing(errSurprise), 200, ""),
		get("/readyz", nil, 200, ""), get("/readyz", ready(evicts), 503, "unavailable"),
		get("/readyz", ready(queue.ErrDraining), 503, "draining"), get("/readyz", ready(errWrapped), 503, "unavailable"),
		get("/metrics", nil, 200, ""), get("/openapi.json", nil, 200, ""),
		get("/asyncapi.json", nil, 200, ""), get("/ws", nil, 401, "unauthorized"),
		ws(nil, 101, ""), ws(nil, 400, "invalid_argument"), ws(nil, 403, "forbidden"), ws(nil, 429, "rate_limited"),
		ws(func(f *fakeLocks) { f.draining = true }, 503, "draining"),
	}
}
