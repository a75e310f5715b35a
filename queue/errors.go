package queue

import (
	"errors"
	"fmt"
	"time"
)

// What can go wrong. Match with errors.Is; a call wraps the cause.
var (
	// ErrUnavailable: Redis was not reached, or refused; nothing was changed.
	ErrUnavailable = errors.New("redis is not available")
	// ErrRefused comes with ErrUnavailable where Redis answered that it would not do it: it is out of memory, loading,
	// or a replica.
	ErrRefused = errors.New("redis refused the command")
	// ErrUnknown: the command was sent and no answer came; it may have run. Ask again with the same request id.
	ErrUnknown = errors.New("the outcome is unknown")
	// ErrNotReplicated: too few replicas confirmed in time. With ErrUnavailable it is a grant that must be taken back by
	// [Store.Undo] before anybody is told; with ErrUnknown, something that stays as it is and may yet be confirmed.
	ErrNotReplicated = errors.New("too few replicas confirmed in time")
	// ErrLost: no such grant lives; it expired, was released or was forced.
	ErrLost = errors.New("the grant is no longer held")
	// ErrNotOwner: the grant lives, and is another client's.
	ErrNotOwner = errors.New("the grant is another client's")
	// ErrQueueFull: the lock's line is as long as it may be.
	ErrQueueFull = errors.New("the lock's queue is full")
	// ErrMismatch: the same request id came before with another body.
	ErrMismatch = errors.New("the same requestId was used with a different body")
	// ErrNotLocked: nobody holds the lock.
	ErrNotLocked = errors.New("the lock is not held")
	// ErrDraining: this node shuts down; ask another one with the same request id, the place in line is kept.
	ErrDraining = errors.New("this node is shutting down")
	// ErrBusy: this node, or this session, has as many requests under way as it takes.
	ErrBusy = errors.New("too many requests are under way")
	// ErrCancelled: the client took the request back.
	ErrCancelled = errors.New("the request was cancelled")
	// ErrInUse: the session has a request of that name under way.
	ErrInUse = errors.New("a request of that id is under way")
	// ErrNoRequest: the session has no such request under way.
	ErrNoRequest = errors.New("no such request is under way")
)

// BusyError is returned to a request that was not granted because others hold the lock: at once, where it does not
// wait, or after its wait.
type BusyError struct {
	Holders []Grant
	// Queue is the length of the line.
	Queue int
	// Waited is how long the request waited; TimedOut is whether it waited at all.
	Waited   time.Duration
	TimedOut bool
}

func (e *BusyError) Error() string {
	if e.TimedOut {
		return fmt.Sprintf("the lock was not free within %s", e.Waited)
	}
	return "the lock is held"
}

// FullError is ErrQueueFull with who holds the lock.
type FullError struct {
	Holders []Grant
	Queue   int
}

func (e *FullError) Error() string { return ErrQueueFull.Error() }

// Unwrap makes it an ErrQueueFull.
func (e *FullError) Unwrap() error { return ErrQueueFull }

// LimitError is returned where a request's limit is not the live lock's.
type LimitError struct{ Limit int }

func (e *LimitError) Error() string { return fmt.Sprintf("the lock is in use with limit %d", e.Limit) }
