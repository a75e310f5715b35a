package main

import (
	"context"
	"fmt"
	"strings"

	dl "distributedlock/clients/go"
)

// watchCmd prints events.
type watchCmd struct {
	Events   []string `enum:"granted,released,expired,renewed,force_released,queued,dequeued,deadlock" placeholder:"EVENT" help:"Only these: ${enum}."`
	Patterns []string `arg:"" optional:"" name:"pattern" help:"Names of locks, or beginnings with a * behind; all without."`
}

// Run prints events until a signal comes, or nobody reads them any more.
func (w *watchCmd) Run(a *app) error {
	c, err := a.client(true)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it holds nothing
	if err := a.reach(context.Background(), c); err != nil {
		return err
	}
	patterns := w.Patterns
	if len(patterns) == 0 {
		patterns = []string{"*"}
	}
	for e, err := range c.Subscribe(context.Background(), dl.Subscription{Locks: patterns, Events: w.Events}) {
		if err != nil {
			return err
		}
		if err := a.event(&e); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) event(e *dl.Event) error {
	if a.JSON {
		return writeJSON(a.out, e)
	}
	_, err := fmt.Fprintln(a.out, eventText(e))
	return err
}

// eventText is an event in one line, whose columns stand where those of others do.
func eventText(e *dl.Event) string {
	at := "            "
	if !e.At.IsZero() {
		at = e.At.Local().Format("15:04:05.000")
	}
	if e.Kind == "gap" {
		return at + "  gap             events may be missing here"
	}
	s := fmt.Sprintf("%s  %-14s  %-24s  %s", at, e.Kind, printable(e.LockName), printable(e.ClientID))
	if e.FencingToken != 0 {
		s += fmt.Sprintf("  token %d", e.FencingToken)
	}
	if e.Reason != "" {
		s += "  (" + printable(e.Reason) + ")"
	}
	if len(e.Cycle) > 0 {
		s += "  " + cycleText(e.Cycle)
	}
	return strings.TrimRight(s, " ")
}
