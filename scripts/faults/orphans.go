package main

import (
	"context"
	"fmt"
	"time"

	distributedlock "distributedlock/clients/go"
)

// orphanTime is how long after its clients have gone a lock or a place may be there: a lease, the time for which a place
// is kept, and that in which a dead node is buried.
const orphanTime = 30 * time.Second

// orphans waits until nothing is held and nobody waits, and tells what is left.
func orphans(ctx context.Context, r *rig) error {
	c := distributedlock.NewDistributedLockClient("http://" + r.nodes[0].addr)
	defer func() { _ = c.Close() }() // it is nil
	left := ""
	err := until(ctx, orphanTime, "nothing is held and nobody waits", func() bool {
		s, err := c.Stats(ctx)
		if err != nil {
			left = err.Error()
			return false
		}
		left = fmt.Sprintf("%d locks are held, %d requests wait, %d locks are contended", s.ActiveLocks, s.WaitingClients, s.ContendedLocks)
		return s.ActiveLocks == 0 && s.WaitingClients == 0 && s.ContendedLocks == 0
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, left)
	}
	return nil
}
