package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"distributedlock/queue"
)

// What the calls themselves find wrong, beside the errors of package queue.
var (
	errNoPath        = errors.New("there is no such path")
	errTooLarge      = errors.New("the body is too large")
	errUnauthorized  = errors.New("no token, or one that nobody has")
	errForbidden     = errors.New("the role or its prefixes do not allow it")
	errAdminDisabled = errors.New("admin calls are off")
	errInternal      = errors.New("internal error")
	// errOrigin is errForbidden for web pages from elsewhere.
	errOrigin = fmt.Errorf("%w: foreign origin", errForbidden)
	// errConnections and errSubscriptions are limits of this side, beside those of the lock manager.
	errConnections   = fmt.Errorf("%w: connections", queue.ErrBusy)
	errSubscriptions = fmt.Errorf("%w: subscriptions", queue.ErrBusy)
)

// methodError is errNoPath's sibling: the path is there, for other methods.
type methodError struct{ allow string }

func (e *methodError) Error() string { return "the path does not take this method" }

// notReadyError is why a node should get no requests.
type notReadyError struct{ cause error }

func (e *notReadyError) Error() string { return "not ready: " + e.cause.Error() }
func (e *notReadyError) Unwrap() error { return e.cause }

// problem is a row of the table of errors: which error it is for, and how that is told (RFC 9457).
type problem struct {
	code   string
	status int
	title  string
	match  func(error) bool
	detail func(c *call, err error) string
	// extras, where set, appends the problem's own members.
	extras func(c *call, err error)
	// header, where set, is sent too.
	header [2]string
	// wait, where set, is how long to wait before asking again: Retry-After, where that is another time each time.
	wait func(err error) time.Duration
	// frame is whether it is told in frames of the WebSocket only.
	frame bool
}

// typePrefix and a code are a problem's type: a name that stays, and no address to look up.
const typePrefix = "urn:distributed-lock:problem:"

var again = [2]string{"Retry-After", "1"}

// problems is the one place where errors become answers. The first row that matches counts; the last takes the rest.
var problems = []problem{
	{code: "lock_held", status: http.StatusConflict, title: "The lock is held", match: busy(false), detail: heldDetail, extras: heldExtras},
	{code: "wait_timeout", status: http.StatusConflict, title: "The lock did not come free in time", match: busy(true), detail: timeoutDetail, extras: heldExtras},
	{code: "deadlock", status: http.StatusConflict, title: "The request was part of a deadlock", match: as[*queue.DeadlockError], detail: deadlockDetail, extras: deadlockExtras},
	{code: "limit_mismatch", status: http.StatusConflict, title: "The lock is in use with another limit", match: as[*queue.LimitError], detail: limitDetail, extras: limitExtras},
	{code: "request_mismatch", status: http.StatusUnprocessableEntity, title: "The requestId was used with a different body", match: is(queue.ErrMismatch), detail: mismatchDetail},
	{code: "not_owner", status: http.StatusForbidden, title: "The grant is another client's", match: is(queue.ErrNotOwner), detail: named("That grant of ", " is live, but another client holds it. Only the clientId that acquired it may release or renew it.")},
	{code: "lock_lost", status: http.StatusGone, title: "The grant is no longer held", match: is(queue.ErrLost), detail: named("No such grant of ", " is live: its lease ran out, it was released, or it was forced. Stop the work that it protected; acquire again to go on.")},
	{code: "not_locked", status: http.StatusNotFound, title: "The lock is not held", match: is(queue.ErrNotLocked), detail: named("Nobody holds ", "; there is nothing to release.")},
	{code: "invalid_argument", status: http.StatusBadRequest, title: "The request is not valid", match: as[*invalidError], detail: invalidDetail, extras: invalidExtras},
	{code: "too_large", status: http.StatusRequestEntityTooLarge, title: "The body or frame is too large", match: is(errTooLarge), detail: fixed("A body or a frame may have 64 KiB at most. Send less; metadata is meant for a few labels.")},
	{code: "unauthorized", status: http.StatusUnauthorized, title: "A valid token is needed", match: is(errUnauthorized), detail: unauthorizedDetail, header: [2]string{"WWW-Authenticate", `Bearer realm="distributed-lock"`}},
	{code: "admin_disabled", status: http.StatusForbidden, title: "Admin calls are off", match: is(errAdminDisabled), detail: fixed("This service was started without an admin token, so nobody may make admin calls. Set ADMIN_TOKEN and start it again.")},
	{code: "forbidden", status: http.StatusForbidden, title: "The token does not allow this", match: is(errForbidden), detail: forbiddenDetail},
	{code: "queue_full", status: http.StatusTooManyRequests, title: "The lock's queue is full", match: is(queue.ErrQueueFull), detail: fullDetail, header: again},
	{code: "rate_limited", status: http.StatusTooManyRequests, title: "Too many requests", match: is(queue.ErrBusy), detail: busyDetail, header: again},
	{code: "draining", status: http.StatusServiceUnavailable, title: "The node is shutting down", match: is(queue.ErrDraining), detail: fixed("This node is shutting down and takes no new requests. Ask another node; the same requestId keeps its place in line."), header: again},
	{code: "unavailable", status: http.StatusServiceUnavailable, title: "No lock is granted for now", match: as[*queue.QuarantineError], detail: quarantineDetail, extras: notAcquired, wait: quarantineLeft},
	{code: "outcome_unknown", status: http.StatusGatewayTimeout, title: "The outcome is unknown", match: is(queue.ErrUnknown), detail: unknownDetail},
	{code: "unavailable", status: http.StatusServiceUnavailable, title: "Too few replicas have the grant", match: is(queue.ErrNotReplicated), detail: fixed("The lock was granted, and too few replicas of Redis confirmed it in time; so the grant was taken back, and you hold nothing. Ask again in a second, with the same requestId: a place in line is kept."), header: again},
	{code: "unavailable", status: http.StatusServiceUnavailable, title: "Redis is not available", match: unavailable, detail: unavailableDetail, header: again},
	{code: "cancelled", status: http.StatusConflict, title: "The request was cancelled", match: is(queue.ErrCancelled), detail: named("The request for ", " was taken back: it has left the line and holds nothing."), frame: true},
	{code: "not_found", status: http.StatusNotFound, title: "There is no such request", match: is(queue.ErrNoRequest), detail: fixed("No acquire with that id or requestId is under way in this session: it was never asked for, or is over and its answer on the way."), frame: true},
	{code: "not_found", status: http.StatusNotFound, title: "There is no such subscription", match: is(errNoSubscription), detail: fixed("This connection has no such subscription: it was never made here, or has ended."), frame: true},
	{code: "not_found", status: http.StatusNotFound, title: "There is no such path", match: is(errNoPath), detail: fixed("No call has this path. GET /openapi.json lists all of them; a / in a lock's name is written %2F.")},
	{code: "method_not_allowed", status: http.StatusMethodNotAllowed, title: "The path does not take this method", match: as[*methodError], detail: methodDetail},
	{code: "internal", status: http.StatusInternalServerError, title: "The service failed", match: func(error) bool { return true }, detail: internalDetail},
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func as[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

func busy(timedOut bool) func(error) bool {
	return func(err error) bool {
		e, ok := errors.AsType[*queue.BusyError](err)
		return ok && e.TimedOut == timedOut
	}
}

func unavailable(err error) bool {
	return errors.Is(err, queue.ErrUnavailable) || as[*notReadyError](err) || errors.Is(err, context.DeadlineExceeded)
}

// fail answers an error from the table. Where the client is gone there is nobody to answer.
func (c *call) fail(err error) {
	if c.clientGone(err) {
		c.status = statusGone
		return
	}
	c.cause = err
	c.write(problemOf(err), err)
}

// problemOf is an error's row of the table.
func problemOf(err error) *problem {
	i := 0
	for !problems[i].match(err) {
		i++
	}
	return &problems[i]
}

// clientGone reports whether an error only says that the client went away. A node that shuts down may cut its
// requests off too, and then owes them an answer.
func (c *call) clientGone(err error) bool {
	if errors.Is(err, errGone) {
		return true
	}
	return errors.Is(err, context.Canceled) && c.r.Context().Err() != nil && !c.s.locks.Draining()
}

func (c *call) write(p *problem, err error) {
	c.code = p.code
	c.out = c.out[:0]
	w := &c.out
	w.open('{')
	w.text("type", typePrefix+p.code)
	w.text("title", p.title)
	w.num("status", int64(p.status))
	w.text("detail", p.detail(c, err))
	w.text("code", p.code)
	w.text("requestId", c.problemID())
	if p.extras != nil {
		p.extras(c, err)
	}
	w.close('}')
	h := c.w.Header()
	if p.header[0] != "" {
		h.Set(p.header[0], p.header[1])
	}
	if after := p.retryAfter(err); after != "" {
		h.Set("Retry-After", after)
	}
	if e, ok := errors.AsType[*methodError](err); ok {
		h.Set("Allow", e.allow)
	}
	_ = c.reply(p.status, typeProblem)
}

// retryAfter is in how many whole seconds it is worth asking again, "" where it is not known.
func (p *problem) retryAfter(err error) string {
	switch {
	case p.wait != nil:
		return strconv.FormatFloat(math.Ceil(max(p.wait(err).Seconds(), 1)), 'f', 0, 64)
	case p.header == again:
		return again[1]
	}
	return ""
}

// problemID is the requestId of a problem: the acquire's own where the call is one, otherwise the X-Request-Id.
func (c *call) problemID() string {
	if !c.route.acquires {
		return c.id
	}
	if c.acquireID == "" && c.r != nil {
		c.acquireID = cmp.Or(c.headerKey(), newID())
	}
	return c.acquireID
}
