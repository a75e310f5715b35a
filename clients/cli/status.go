package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	dl "distributedlock/clients/go"
)

// statusCmd shows one lock.
type statusCmd struct {
	ExitCode bool   `help:"Exit with 1 where the lock is free."`
	Name     string `arg:"" help:"Name of the lock."`
}

// Run shows the lock.
func (s *statusCmd) Run(a *app) error {
	return a.call(true, func(ctx context.Context, c *dl.Client) error {
		status, err := c.Status(ctx, s.Name)
		if err != nil {
			return err
		}
		if err := a.show(status, func(w io.Writer) { statusText(w, status) }); err != nil {
			return err
		}
		if s.ExitCode && !status.Locked {
			return exit(1)
		}
		return nil
	})
}

func statusText(w io.Writer, s *dl.Status) {
	row(w, "lock", printable(s.LockName))
	row(w, "state", state(s))
	for i := range s.Holders {
		h := &s.Holders[i]
		row(w, "holder", holderText(h))
	}
	if s.QueueLength > 0 {
		row(w, "waiting", strconv.Itoa(s.QueueLength))
	}
	for _, q := range s.Waiters {
		row(w, fmt.Sprintf("%4d", q.Position), printable(q.ClientID)+", for "+brief(seconds(q.Waiting)))
	}
	if more := s.QueueLength - len(s.Waiters); more > 0 {
		row(w, "", fmt.Sprintf("%d more", more))
	}
}

// state is free, held, or how it is held.
func state(s *dl.Status) string {
	switch {
	case !s.Locked:
		return "free"
	case s.Mode == "shared":
		return fmt.Sprintf("shared by %d", len(s.Holders))
	case s.Limit > 1:
		return fmt.Sprintf("%d of %d held", len(s.Holders), s.Limit)
	}
	return "held"
}

func holderText(h *dl.Holder) string {
	s := []string{
		printable(h.ClientID), fmt.Sprintf("token %d", h.FencingToken), "for " + held(h, serviceNow(h)), "lease ends in " + left(h),
	}
	if h.AutoRenew {
		s = append(s, "renewed by the service")
	}
	for _, key := range []string{"command", "host", "pid"} { // what run tells
		if v, ok := h.Metadata[key]; ok {
			s = append(s, key+" "+printable(fmt.Sprint(plain(v))))
		}
	}
	return strings.Join(s, ", ")
}

// plain is a JSON number without an exponent.
func plain(v any) any {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return v
}

// listCmd lists locks.
type listCmd struct {
	Prefix string `arg:"" optional:"" help:"Beginning of the names; all without."`
}

// Run lists the locks that are held, as the service finds them, however many there are.
func (l *listCmd) Run(a *app) error {
	c, err := a.client(true)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it holds nothing
	if err := a.reach(context.Background(), c); err != nil {
		return err
	}
	if a.JSON {
		return a.listJSON(c, l.Prefix)
	}
	var failed error
	err = aligned(a.out, func(w io.Writer) {
		row(w, "LOCK", "STATE", "HOLDER", "HELD FOR", "LEASE LEFT", "WAITING")
		for s, err := range c.List(context.Background(), l.Prefix) {
			if err != nil {
				failed = err
				return
			}
			lockRow(w, &s)
		}
	})
	return cmp.Or(failed, err)
}

// lockRow is a lock in one line, with its holder that has had it longest.
func lockRow(w io.Writer, s *dl.Status, more ...string) {
	holder, since, rest := "-", "-", "-"
	if len(s.Holders) > 0 {
		h := &s.Holders[0]
		holder, since, rest = names(s.Holders), held(h, serviceNow(h)), left(h)
	}
	row(w, append([]string{printable(s.LockName), state(s), holder, since, rest, strconv.Itoa(s.QueueLength)}, more...)...)
}

// listJSON writes one document, as it comes.
func (a *app) listJSON(c *dl.Client, prefix string) error {
	before := `{"locks":[`
	for s, err := range c.List(context.Background(), prefix) {
		if err != nil {
			return err
		}
		var raw strings.Builder
		if err := writeJSON(&raw, s); err != nil {
			return err
		}
		if _, err := io.WriteString(a.out, before+strings.TrimSuffix(raw.String(), "\n")); err != nil {
			return err
		}
		before = ","
	}
	end := "]}\n"
	if before != "," {
		end = before + end
	}
	_, err := io.WriteString(a.out, end)
	return err
}
