package distributedlock

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// What a call can fail with, for [errors.Is]. An [*APIError] is each of these whose code it has, so that the details
// are one [errors.As] away.
var (
	// ErrHeld: somebody else holds the lock, and the call does not wait (lock_held).
	ErrHeld = errors.New("the lock is held")
	// ErrWaitTimeout: the lock did not come free within the wait (wait_timeout).
	ErrWaitTimeout = errors.New("the lock did not come free in time")
	// ErrDeadlock: the request was failed to break a deadlock (deadlock). Release what is held, then begin anew.
	ErrDeadlock = errors.New("the request was part of a deadlock")
	// ErrLockLost: the lock is no longer held: its lease ran out, or it was taken (lock_lost, and every loss).
	ErrLockLost = errors.New("the lock is lost")
	// ErrNotOwner: the grant is another client's (not_owner).
	ErrNotOwner = errors.New("the lock is another client's")
	// ErrNotLocked: there is nothing to force (not_locked).
	ErrNotLocked = errors.New("nobody holds the lock")
	// ErrLimitMismatch: the lock is in use with another limit (limit_mismatch).
	ErrLimitMismatch = errors.New("the lock is in use with another limit")
	// ErrRequestMismatch: the request id was used for another request (request_mismatch).
	ErrRequestMismatch = errors.New("the request id belongs to another request")
	// ErrInvalidArgument: something about the call is not allowed (invalid_argument); nothing was done.
	ErrInvalidArgument = errors.New("the request is not valid")
	// ErrTooLarge: the request has more than 64 KiB (too_large).
	ErrTooLarge = errors.New("the request is too large")
	// ErrUnauthorized: no token, or a wrong one (unauthorized).
	ErrUnauthorized = errors.New("the token is missing or wrong")
	// ErrForbidden: the token does not allow it (forbidden), or the service has no admin token (admin_disabled).
	ErrForbidden = errors.New("the token does not allow this")
	// ErrQueueFull: as many wait for the lock as may (queue_full).
	ErrQueueFull = errors.New("the line of the lock is full")
	// ErrRateLimited: the node takes no more requests for now (rate_limited).
	ErrRateLimited = errors.New("too many requests")
	// ErrUnavailable: no endpoint can be reached, or the service cannot do it now (unavailable, draining).
	ErrUnavailable = errors.New("the lock service is unavailable")
	// ErrOutcomeUnknown: the service does not know whether it was done (outcome_unknown). Asking again with the same
	// request id settles it, which the client does by itself.
	ErrOutcomeUnknown = errors.New("the outcome is unknown")
	// ErrClosed: the client was closed.
	ErrClosed = errors.New("the client is closed")
	// ErrReleased: the lock was released here. It is what a released lock's context is cancelled with.
	ErrReleased = errors.New("the lock is released")
)

// codes are the service's names of what a sentinel stands for.
var codes = map[error][]string{
	ErrHeld:            {"lock_held"},
	ErrWaitTimeout:     {"wait_timeout"},
	ErrDeadlock:        {"deadlock"},
	ErrLockLost:        {"lock_lost"},
	ErrNotOwner:        {"not_owner"},
	ErrNotLocked:       {"not_locked"},
	ErrLimitMismatch:   {"limit_mismatch"},
	ErrRequestMismatch: {"request_mismatch"},
	ErrInvalidArgument: {codeInvalid},
	ErrTooLarge:        {"too_large"},
	ErrUnauthorized:    {"unauthorized"},
	ErrForbidden:       {"forbidden", "admin_disabled"},
	ErrQueueFull:       {"queue_full"},
	ErrRateLimited:     {codeRateLimited},
	ErrUnavailable:     {codeUnavailable, codeDraining},
	ErrOutcomeUnknown:  {codeUnknown},
}

// The codes that the client acts on.
const (
	codeInvalid     = "invalid_argument"
	codeRateLimited = "rate_limited"
	codeUnavailable = "unavailable"
	codeDraining    = "draining"
	codeUnknown     = "outcome_unknown"
	codeInternal    = "internal"
	codeLost        = "lock_lost"
	codeTimeout     = "wait_timeout"
)

// APIError is what the service answered instead of what was asked for.
type APIError struct {
	// Code names the case, for programs: lock_held, wait_timeout, deadlock…
	Code string `json:"code"`
	// Status is the HTTP status of the case, over a WebSocket too.
	Status int `json:"status"`
	// Title and Detail are for people: what the case is, and what happened this time and what to do.
	Title  string `json:"title"`
	Detail string `json:"detail"`
	// RequestID is the acquire's, or else the X-Request-Id that the service logged.
	RequestID string `json:"requestId,omitempty"`
	// LockName is the lock that the call was about, "" for none.
	LockName string `json:"lockName,omitempty"`
	// Holders are up to 100 of those in the way, QueueLength how many wait: lock_held and wait_timeout.
	Holders     []Holder `json:"holders,omitempty"`
	QueueLength int      `json:"queueLength,omitempty"`
	// WaitTime is how long the request waited: wait_timeout.
	WaitTime time.Duration `json:"-"`
	// Cycle is the deadlock, each waiting for what the next one holds, the last for what the first holds.
	Cycle []CycleStep `json:"cycle,omitempty"`
	// Limit is the live lock's: limit_mismatch.
	Limit int `json:"limit,omitempty"`
	// RetryAfter is how long to wait before asking again, 0 where the service did not say.
	RetryAfter time.Duration `json:"-"`
	// Fields are all that is wrong with the request: invalid_argument.
	Fields []FieldError `json:"errors,omitempty"`
}

// FieldError is one thing wrong with a request.
type FieldError struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// CycleStep is an owner in a deadlock: it holds what the one before waits for.
type CycleStep struct {
	ClientID     string    `json:"clientId"`
	OwnerID      string    `json:"ownerId"`
	Holds        string    `json:"holds"`
	HeldSince    time.Time `json:"heldSince"`
	WaitsFor     string    `json:"waitsFor"`
	WaitingSince time.Time `json:"waitingSince"`
}

// Error is the service's detail, with the code.
func (e *APIError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("%s (%s, status %d)", e.Title, e.Code, e.Status)
	}
	return e.Detail + " (" + e.Code + ")"
}

// Is reports whether target is the sentinel of the error's code.
func (e *APIError) Is(target error) bool { return slices.Contains(codes[target], e.Code) }

// lossError is a loss, and why.
type lossError struct{ lock, reason string }

func (e *lossError) Error() string { return fmt.Sprintf("the lock %q is lost: %s", e.lock, e.reason) }
func (*lossError) Unwrap() error   { return ErrLockLost }

// unavailable is what a call fails with that got no answer in time, with the last cause.
func unavailable(cause error) error {
	if cause == nil {
		return ErrUnavailable
	}
	if errors.Is(cause, ErrUnavailable) {
		return cause
	}
	return &unavailableError{cause}
}

type unavailableError struct{ cause error }

func (e *unavailableError) Error() string   { return ErrUnavailable.Error() + ": " + e.cause.Error() }
func (e *unavailableError) Unwrap() []error { return []error{ErrUnavailable, e.cause} }

func invalid(field, detail string) *APIError {
	return &APIError{
		Code: codeInvalid, Status: 400, Title: "The request is not valid", Detail: field + " " + detail + ". Nothing was sent.",
		Fields: []FieldError{{Field: field, Detail: detail}},
	}
}
