package main

import (
	"context"
	"io"
	"strconv"
	"strings"

	dl "distributedlock/clients/go"
)

// forceCmd takes a lock away.
type forceCmd struct {
	Reason string `required:"" placeholder:"REASON" help:"Why, for the log of the service."`
	Name   string `arg:"" help:"Name of the lock."`
}

// Run takes the lock away from all who hold it.
func (f *forceCmd) Run(a *app) error {
	if strings.TrimSpace(f.Reason) == "" {
		return usage("--reason: want a reason")
	}
	return a.call(true, func(ctx context.Context, c *dl.Client) error {
		holders, err := c.ForceRelease(ctx, f.Name, f.Reason)
		if err != nil {
			return err
		}
		doc := struct {
			Released bool        `json:"released"`
			LockName string      `json:"lockName"`
			Holders  []dl.Holder `json:"holders"`
		}{true, f.Name, holders}
		return a.show(doc, func(w io.Writer) {
			for i := range holders {
				row(w, "taken from", holderText(&holders[i]))
			}
		})
	})
}

// healthCmd asks how the service is.
type healthCmd struct{}

// Run shows the health of the first node that answers.
func (*healthCmd) Run(a *app) error {
	return a.call(true, func(ctx context.Context, c *dl.Client) error {
		h, err := c.Health(ctx)
		if err != nil {
			return err
		}
		err = a.show(h, func(w io.Writer) {
			row(w, "status", printable(h.Status))
			row(w, "redis", printable(h.Redis.Mode)+" "+printable(h.Redis.Role)+", "+
				strconv.FormatFloat(h.Redis.LatencyMs, 'f', -1, 64)+" ms")
			row(w, "version", printable(h.Version))
			row(w, "uptime", brief(seconds(h.Uptime)))
		})
		if err == nil && h.Status != "ok" {
			err = exit(exitFailed)
		}
		return err
	})
}
