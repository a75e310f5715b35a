package main

import (
	"encoding/json"
	"errors"
	"fmt"

	dl "distributedlock/clients/go"
)

// Exit codes: those of sysexits.h where it has one, and a shell's for what becomes of a command.
const (
	exitFailed      = 1
	exitUsage       = 64  // EX_USAGE
	exitUnavailable = 69  // EX_UNAVAILABLE
	exitNotAcquired = 75  // EX_TEMPFAIL: another time it may work
	exitLost        = 76  // EX_PROTOCOL, for want of a better one
	exitDenied      = 77  // EX_NOPERM
	exitCannotRun   = 126 // the command was found and cannot be run
	exitNotFound    = 127
	exitSignal      = 128 // and the signal's number
)

// coded is an error that has its exit code with it. Without an error, the code says all.
type coded struct {
	code int
	err  error
}

func (e *coded) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}
func (e *coded) Unwrap() error { return e.err }

// exit is an exit code that needs no words.
func exit(code int) error {
	if code == 0 {
		return nil
	}
	return &coded{code: code}
}

// usageError is a command line that cannot be meant.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// denied, lost… are what the service's errors mean for the exit code, the first that fits.
var exitCodes = []struct {
	code int
	of   []error
}{
	{exitDenied, []error{dl.ErrUnauthorized, dl.ErrForbidden, dl.ErrNotOwner}},
	{exitLost, []error{dl.ErrLockLost}},
	{exitNotAcquired, []error{
		dl.ErrHeld, dl.ErrWaitTimeout, dl.ErrDeadlock, dl.ErrLimitMismatch, dl.ErrQueueFull, dl.ErrRateLimited,
	}},
	{exitUsage, []error{dl.ErrInvalidArgument, dl.ErrTooLarge}},
	{exitUnavailable, []error{dl.ErrUnavailable, dl.ErrOutcomeUnknown, errNoAnswer}},
}

// exitCode is what the process ends with for an error.
func exitCode(err error) int {
	var c *coded
	var u *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &c):
		return c.code
	case errors.As(err, &u):
		return exitUsage
	}
	for _, class := range exitCodes {
		for _, target := range class.of {
			if errors.Is(err, target) {
				return class.code
			}
		}
	}
	return exitFailed
}

// fail tells of an error, if it has words, and returns its exit code.
func (a *app) fail(err error) int {
	code := exitCode(err)
	var c *coded
	if err == nil || errors.As(err, &c) && c.err == nil {
		return code
	}
	if a.JSON {
		a.failJSON(err, code)
	} else {
		a.say("%s", describe(err))
	}
	return code
}

// failJSON prints the problem that the service answered, or one in its form.
func (a *app) failJSON(err error, code int) {
	doc := map[string]any{"code": localCode(code), "detail": describe(err)}
	if api, ok := errors.AsType[*dl.APIError](err); ok {
		if raw, err := json.Marshal(api); err == nil {
			_ = json.Unmarshal(raw, &doc)
		}
		if api.WaitTime > 0 {
			doc["waitTime"] = api.WaitTime.Seconds()
		}
	}
	if code == exitNotAcquired {
		doc["acquired"] = false
	}
	doc["exitCode"] = code
	_ = writeJSON(a.err, doc) // there is nowhere left to tell
}

// localCode names an error that did not come from the service.
func localCode(code int) string {
	switch code {
	case exitUsage:
		return "usage"
	case exitUnavailable:
		return "unavailable"
	case exitNotAcquired:
		return "not_acquired"
	case exitLost:
		return "lock_lost"
	case exitCannotRun, exitNotFound:
		return "cannot_run"
	}
	if code > exitSignal {
		return "interrupted"
	}
	return "failed"
}

// describe is the error in one line, with who holds the lock where somebody does.
func describe(err error) string {
	var api *dl.APIError
	if errors.As(err, &api) && len(api.Cycle) > 0 {
		return printable(err.Error()) + "; the circle: " + cycleText(api.Cycle)
	}
	return printable(err.Error())
}
