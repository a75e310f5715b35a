package transport

import (
	"context"
	"time"

	"distributedlock/queue"
)

// Sessions is what the WebSocket needs of the lock manager beside [Locks].
type Sessions interface {
	// Open makes the session of a new connection. It is in this node's memory alone until it is named.
	Open(l Listener) Session
	// Watch tells of the events of locks: of every lock that has one of the names or begins with one of the prefixes,
	// of every kind, once each and in the order of each lock; of kind "quarantine", without a lock; and of kind "gap", without a lock, where some may have been
	// missed. tell is called from one goroutine for each lock and must not wait. Watch returns once nothing from now on
	// is missed; stop ends it, and returns when tell will not be called again. Errors: queue.ErrUnavailable, ctx.Err().
	Watch(ctx context.Context, names, prefixes []string, tell func(*queue.Event)) (stop func(), err error)
}

// Session is a client's connection, or several one after the other. Its requests live as long as it does: for the
// grace after its connection ended. All methods are safe for concurrent use.
type Session interface {
	// Name keeps the session in Redis under an id to come back with. Where id is that of a session of the same client
	// that still lives, on whatever node, this one takes it over, and its listener is told where each of its requests
	// stands: Granted, Queued, Failed, or Lost. It is called once at most, before any Acquire. Errors: queue.ErrUnavailable,
	// ErrUnknown, ErrDraining.
	Name(ctx context.Context, id, client string) (now string, resumed bool, err error)
	// Acquire asks for a lock; the listener is told what comes of it, maybe before Acquire returns. q.Frame is the
	// client's name for the request. Errors, for what was not even begun: queue.ErrInUse, ErrBusy.
	Acquire(q *queue.Request) error
	// Cancel ends a request by its frame or, where that is "", by its requestId. done is told when it is over, after the
	// listener was told Failed with queue.ErrCancelled; or, with queue.ErrNoRequest, after it was told of a grant that an
	// earlier call of the request had. The error is queue.ErrNoRequest where there is none under way.
	Cancel(frame, requestID string, done func(error)) error
	// Uses reports whether a request with this frame is under way.
	Uses(frame string) bool
	// Release and Renew are as in [Locks]; done is called once, from any goroutine, and must not wait.
	Release(name, client, lockID string, done func(heldFor time.Duration, err error))
	Renew(name, client, renewalToken string, lease time.Duration, done func(g queue.Grant, err error))
	// Flush sends to Redis what was asked since the last Flush. Call it before waiting for more.
	Flush()
	// Close says that the connection has ended. Places and locks are kept for the grace. The listener is told nothing any
	// more, and then undelivered is asked once for the grants that surely never reached the client: they are given back,
	// their places kept.
	Close(undelivered func() []*queue.Request)
}

// Listener is told what becomes of a session's requests. The calls come from any goroutine, those about one request in
// order and one at a time; they must not wait and must not call the session. q is the request as it was given to
// Acquire, or for a resumed one, as it was then; it must not be changed.
type Listener interface {
	// Queued: the request waits, at a position from 1, for these and those before it.
	Queued(q *queue.Request, position int, holders []queue.Grant)
	// Moved: its position is now this.
	Moved(q *queue.Request, position int)
	// Granted ends a request. waited is 0 where it did not have to.
	Granted(q *queue.Request, g *queue.Grant, waited time.Duration)
	// Failed ends a request, with an error as of [Locks].Acquire, or queue.ErrCancelled.
	Failed(q *queue.Request, err error)
	// Lost: a lock that the session held is no more. reason is "expired" or "force_released".
	Lost(name, lockID, reason string)
	// Superseded: the session goes on over another connection.
	Superseded()
}
