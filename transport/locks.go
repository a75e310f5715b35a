package transport

import (
	"context"
	"time"

	"distributedlock/queue"
)

// Locks is what the calls need of the lock manager. Every error is one of package queue's, or is answered as 500.
type Locks interface {
	Sessions
	// Acquire blocks up to q.Wait. It fills in what the caller left open of q: the id, the capabilities and the terms of
	// renewal. How long the request waited in line is 0 where it was granted at once. The error is *queue.BusyError,
	// *queue.FullError, *queue.LimitError, *queue.DeadlockError, queue.ErrMismatch, ErrUnavailable, ErrUnknown, ErrDraining,
	// ErrBusy, or ctx.Err() where the client went away.
	Acquire(ctx context.Context, q *queue.Request) (g queue.Grant, waited time.Duration, err error)
	// Abandon gives back a grant whose answer could not be delivered. It returns at once.
	Abandon(q *queue.Request)
	// Release ends a grant. Errors: queue.ErrLost, ErrNotOwner, ErrUnavailable, ErrUnknown.
	Release(ctx context.Context, name, client, lockID string) (heldFor time.Duration, err error)
	// Renew gives a grant a new end; lease 0 is the grant's own. Errors as for Release.
	Renew(ctx context.Context, name, client, renewalToken string, lease time.Duration) (queue.Grant, error)
	// Status tells who holds a lock and who waits, the first so many.
	Status(ctx context.Context, name string, waiters int) (queue.Status, error)
	// List returns up to limit locks held after a name, and the name to go on after, "" at the end.
	List(ctx context.Context, prefix, after string, limit int) (locks []queue.Status, next string, err error)
	// ForceRelease takes a lock from all its holders, whom it returns. Errors: queue.ErrNotLocked and as for Release.
	ForceRelease(ctx context.Context, name, reason, by string) ([]queue.Grant, error)
	// Totals are the fleet's, at most 2 s old. Its counters are acquired, released, expired, forceReleased, renewed and
	// deadlocks.
	Totals(ctx context.Context) (queue.Totals, error)
	// Graph is who waits for whom, with as many edges at most.
	Graph(ctx context.Context, edges int) (Graph, error)
	// Health asks Redis how it is.
	Health(ctx context.Context) (queue.Health, error)
	// Ready is nil, or why this node should get no requests: it drains, Redis is away, or Redis may evict locks.
	Ready(ctx context.Context) error
	// Now is Redis's time, as far as this node can tell without asking.
	Now() time.Time
	// Draining reports whether this node shuts down.
	Draining() bool
}

// Graph is the wait-for graph.
type Graph struct {
	Owners []queue.Owner
	Edges  []GraphEdge
	// Cut is whether there are more edges.
	Cut bool
	// Cycles are the deadlocks in it.
	Cycles [][]queue.CycleStep
}

// GraphEdge is a waiter and one of those it waits for.
type GraphEdge struct {
	Waiter, Holder queue.Owner
	Lock           string
	// Since is when the waiter entered the line.
	Since time.Time
}
