package distributedlock

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"strconv"
)

type ownerKey struct{}

// WithOwnerContext is a context with which that owner acquires: whatever it holds and waits for counts as one thread's.
func WithOwnerContext(ctx context.Context, owner string) context.Context {
	return context.WithValue(ctx, ownerKey{}, owner)
}

// ownerOf is the context's owner, "" for none.
func ownerOf(ctx context.Context) string {
	owner, _ := ctx.Value(ownerKey{}).(string)
	return owner
}

// newID is 128 random bits. They name a request or an owner and guard nothing.
func newID() string {
	var b [16]byte
	for i, n := range [2]uint64{rand.Uint64(), rand.Uint64()} { //nolint:gosec // no secret, and seeded by the system
		for j := range 8 {
			b[8*i+j] = byte(n >> (8 * j))
		}
	}
	return hex.EncodeToString(b[:])
}

// defaultClientID tells people where the client runs.
func defaultClientID() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown"
	}
	if len(host) > 100 {
		host = host[:100]
	}
	return host + "-" + strconv.Itoa(os.Getpid()) + "-" + newID()[:8]
}
