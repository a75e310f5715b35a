package main

import (
	"context"
	"io"
	"strconv"
	"time"

	dl "distributedlock/clients/go"
)

// acquireCmd takes a lock and leaves it held.
type acquireCmd struct {
	lockFlags

	Name string `arg:"" help:"Name of the lock."`
}

// grant is the API's answer to an acquire.
type grant struct {
	Acquired     bool           `json:"acquired"`
	LockID       string         `json:"lockId"`
	LockName     string         `json:"lockName"`
	ClientID     string         `json:"clientId"`
	OwnerID      string         `json:"ownerId"`
	RequestID    string         `json:"requestId"`
	ExpiresAt    string         `json:"expiresAt"`
	TTLMs        int64          `json:"ttlMs"`
	FencingToken int64          `json:"fencingToken"`
	RenewalToken string         `json:"renewalToken"`
	WaitTime     float64        `json:"waitTime"`
	AutoRenew    bool           `json:"autoRenew"`
	Metadata     map[string]any `json:"metadata"`
}

// Run takes the lock and prints what a release and a renewal need. The lease runs on when the process has ended, so
// the client is not closed after a grant: that would give the lock back.
func (c *acquireCmd) Run(a *app) error {
	if err := c.check(); err != nil {
		return err
	}
	client, err := a.client(false)
	if err != nil {
		return err
	}
	lock, err := a.take(client, c.Name, &c.lockFlags, catchDeadly())
	if err != nil {
		_ = client.Close() // nothing is held
		return err
	}
	end := lock.ExpiresAt()
	doc := grant{
		Acquired: true, LockID: lock.ID, LockName: lock.Name, ClientID: lock.ClientID, OwnerID: lock.OwnerID,
		RequestID: lock.RequestID, ExpiresAt: wire(end), TTLMs: max(time.Until(end), 0).Milliseconds(),
		FencingToken: lock.FencingToken, RenewalToken: lock.RenewalToken, WaitTime: lock.Waited.Seconds(),
		AutoRenew: lock.AutoRenew, Metadata: lock.Metadata,
	}
	if doc.Metadata == nil {
		doc.Metadata = map[string]any{}
	}
	err = a.show(doc, func(w io.Writer) {
		row(w, "lockId", doc.LockID)
		row(w, "fencingToken", strconv.FormatInt(doc.FencingToken, 10))
		row(w, "renewalToken", doc.RenewalToken)
		row(w, "expiresAt", doc.ExpiresAt)
	})
	if err != nil { // nobody knows of it
		_ = client.Close()
	}
	return err
}

// releaseCmd gives back what acquireCmd took.
type releaseCmd struct {
	Name   string `arg:"" help:"Name of the lock."`
	LockID string `arg:"" name:"lockid" help:"The lockId that acquire printed."`
}

// Run releases the lock.
func (r *releaseCmd) Run(a *app) error {
	return a.call(false, func(ctx context.Context, c *dl.Client) error {
		if err := a.reach(ctx, c); err != nil { // the client would try for as long as it may
			return err
		}
		heldFor, err := c.Release(ctx, r.Name, r.LockID)
		if err != nil {
			return err
		}
		doc := struct {
			Released bool    `json:"released"`
			LockName string  `json:"lockName"`
			LockID   string  `json:"lockId"`
			HeldFor  float64 `json:"heldFor"`
		}{true, r.Name, r.LockID, heldFor.Seconds()}
		return a.show(doc, func(w io.Writer) {
			row(w, "released "+printable(r.Name)+", held for "+brief(heldFor))
		})
	})
}

// renewCmd begins a lease anew.
type renewCmd struct {
	TTL          period `name:"ttl" placeholder:"DURATION" help:"New lease; default the lease's own."`
	Name         string `arg:"" help:"Name of the lock."`
	RenewalToken string `arg:"" name:"renewaltoken" help:"The renewalToken that acquire printed."`
}

// Run renews the lease.
func (r *renewCmd) Run(a *app) error {
	return a.call(false, func(ctx context.Context, c *dl.Client) error {
		if err := a.reach(ctx, c); err != nil {
			return err
		}
		renewal, err := c.Renew(ctx, r.Name, r.RenewalToken, r.TTL.duration())
		if err != nil {
			return err
		}
		doc := struct {
			Renewed      bool   `json:"renewed"`
			LockName     string `json:"lockName"`
			ExpiresAt    string `json:"expiresAt"`
			TTLMs        int64  `json:"ttlMs"`
			FencingToken int64  `json:"fencingToken"`
		}{true, r.Name, wire(renewal.ExpiresAt), renewal.TTL.Milliseconds(), renewal.FencingToken}
		return a.show(doc, func(w io.Writer) {
			row(w, "renewed "+printable(r.Name)+" until "+doc.ExpiresAt)
		})
	})
}
