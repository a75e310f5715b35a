package main

import (
	"fmt"
	"strings"
	"testing"
)

// Clients that read all the time, and ask for much at once: that is not reading too slowly.

// TestWebSocketHoldsMuch has a client come back to a session of 400 locks, which is some 2 MiB to be told.
func TestWebSocketHoldsMuch(t *testing.T) {
	const locks = 400
	env, _ := redisEnv(t)
	n := start(t, env)
	c, session := n.named("holder")
	note := map[string]any{"note": strings.Repeat("x", 4000)}
	for i := range locks {
		c.acquire(fmt.Sprint("g", i), fmt.Sprint("held:", i), "autoRenew", true, "metadata", note)
	}
	for i := range locks {
		c.get(frame{"type": "granted", "id": fmt.Sprint("g", i)})
	}
	c.cut()
	again := n.back("holder", session)
	for i := range locks {
		again.get(frame{"type": "granted", "id": fmt.Sprint("g", i)})
	}
}

// TestWebSocketManyHolders has 20 requests wait for a pool, each of which is told of its 80 holders: some 6 MiB.
func TestWebSocketManyHolders(t *testing.T) {
	const limit, waiters = 80, 20
	env, _ := redisEnv(t)
	n := start(t, env)
	c, w := n.dial(), n.dial()
	note := map[string]any{"note": strings.Repeat("x", 4000)}
	for i := range limit {
		c.hold(fmt.Sprint("h", i), "pool", "clientId", fmt.Sprint("c", i), "limit", limit, "metadata", note)
	}
	for i := range waiters {
		w.acquire(fmt.Sprint("w", i), "pool", "clientId", "w", "limit", limit, "waitTimeout", 60)
	}
	for i := range waiters {
		if q := w.get(frame{"type": "queued", "id": fmt.Sprint("w", i)}); len(q["holders"].([]any)) != limit {
			t.Errorf("%d holders", len(q["holders"].([]any)))
		}
	}
}
