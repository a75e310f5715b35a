package transport

import (
	"time"

	"distributedlock/queue"
)

const (
	minLease = 100 * time.Millisecond
	maxLimit = 10000
	// minHold is the least maxHold: any that is more than nothing.
	minHold = time.Millisecond
)

// acquireBody is the body of an acquire, read straight into the request.
type acquireBody struct {
	queue.Request
	limited bool
}

// releaseBody is that of a release; where it is a frame, the lock's name is in it.
type releaseBody struct{ name, client, lockID string }

type renewBody struct {
	name, client, token string
	lease               time.Duration
}

type forceBody struct{ reason string }

// bodyFields are the fields of each body, with the service's limits.
type bodyFields struct {
	acquire []field[acquireBody]
	release []field[releaseBody]
	renew   []field[renewBody]
	force   []field[forceBody]
	frames  frameFields
}

func newBodyFields(o Options) bodyFields {
	b := bodyFields{
		acquire: acquireFields(o),
		release: []field[releaseBody]{
			{"clientId", true, func(b *releaseBody, v value) string { return v.text(&b.client, maxText) }},
			{"lockId", true, func(b *releaseBody, v value) string { return v.text(&b.lockID, maxText) }},
		},
		renew: []field[renewBody]{
			{"clientId", true, func(b *renewBody, v value) string { return v.text(&b.client, maxText) }},
			{"renewalToken", true, func(b *renewBody, v value) string { return v.text(&b.token, maxText) }},
			{"timeout", false, func(b *renewBody, v value) string { return v.seconds(&b.lease, minLease, o.MaxTimeout) }},
		},
		force: []field[forceBody]{
			{"reason", false, func(b *forceBody, v value) string { return v.text(&b.reason, maxReason) }},
		},
	}
	b.frames = newFrameFields(&b)
	return b
}

func acquireFields(o Options) []field[acquireBody] {
	return []field[acquireBody]{
		{"clientId", true, func(b *acquireBody, v value) string { return v.text(&b.Client, maxText) }},
		{"timeout", false, func(b *acquireBody, v value) string { return v.seconds(&b.Lease, minLease, o.MaxTimeout) }},
		{"waitTimeout", false, func(b *acquireBody, v value) string { return v.seconds(&b.Wait, 0, o.MaxWait) }},
		{"autoRenew", false, func(b *acquireBody, v value) string { return v.boolean(&b.AutoRenew) }},
		{"maxHold", false, func(b *acquireBody, v value) string { return v.seconds(&b.MaxHold, minHold, o.MaxHold) }},
		{"metadata", false, func(b *acquireBody, v value) string { return v.object(&b.Metadata) }},
		{"ownerId", false, func(b *acquireBody, v value) string {
			b.Explicit = true
			return v.text(&b.Owner, maxText)
		}},
		{"requestId", false, func(b *acquireBody, v value) string { return v.text(&b.ID, maxText) }},
		{"mode", false, func(b *acquireBody, v value) string { return readMode(&b.Mode, v) }},
		{"limit", false, func(b *acquireBody, v value) string {
			b.limited = true
			return v.whole(&b.Limit, 1, maxLimit)
		}},
	}
}

func readMode(into *queue.Mode, v value) string {
	var s string
	if v[0] != '"' {
		return v.must("a string")
	}
	if fault := v.text(&s, maxText); fault != "" {
		return fault
	}
	*into = queue.Mode(s)
	if *into != queue.Exclusive && *into != queue.Shared {
		return "must be exclusive or shared"
	}
	return ""
}
