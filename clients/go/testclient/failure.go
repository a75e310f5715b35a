package main

import (
	"encoding/json"
	"errors"
	"maps"
	"time"

	dl "distributedlock/clients/go"
)

// kinds are the protocol's names of the SDK's errors. The first that fits counts: a loss may carry its cause.
var kinds = []struct {
	err  error
	kind string
}{
	{errCancelled, "cancelled"},
	{dl.ErrLockLost, "lost"},
	{dl.ErrReleased, "released"},
	{dl.ErrClosed, "closed"},
	{dl.ErrHeld, "held"},
	{dl.ErrWaitTimeout, "wait_timeout"},
	{dl.ErrDeadlock, "deadlock"},
	{dl.ErrNotOwner, "not_owner"},
	{dl.ErrNotLocked, "not_locked"},
	{dl.ErrLimitMismatch, "limit_mismatch"},
	{dl.ErrRequestMismatch, "request_mismatch"},
	{dl.ErrInvalidArgument, "invalid_argument"},
	{dl.ErrTooLarge, "too_large"},
	{dl.ErrUnauthorized, "unauthorized"},
	{dl.ErrForbidden, "forbidden"},
	{dl.ErrQueueFull, "queue_full"},
	{dl.ErrRateLimited, "rate_limited"},
	{dl.ErrOutcomeUnknown, "outcome_unknown"},
	{dl.ErrUnavailable, "unavailable"},
}

func failure(err error) object {
	o := object{"kind": "other", "detail": err.Error()}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			o["kind"] = k.kind
			break
		}
	}
	var e *dl.APIError
	if !errors.As(err, &e) {
		return o
	}
	maps.Copy(o, asObject(e))
	o["fields"] = o["errors"]
	o["waitTimeMs"], o["retryAfterMs"] = ms(e.WaitTime), ms(e.RetryAfter)
	o["queueLength"] = e.QueueLength // 0 counts
	return o
}

// asObject is a value with the names that it has on the wire.
func asObject(v any) object {
	text, err := json.Marshal(v)
	if err != nil {
		return object{"broken": err.Error()}
	}
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		return object{"broken": err.Error()}
	}
	return o
}

// millis is a duration as the protocol has it.
type millis float64

func (m millis) duration() time.Duration {
	return time.Duration(float64(m) * float64(time.Millisecond))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// left is what the lock believes to be left of its lease, by the client's own clock.
func left(l *dl.Lock) float64 { return ms(time.Until(l.ExpiresAt())) }
