package service

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestAskingAgainTakesNothing has a node ask for its places again all the time, as it does when something may have been
// missed, while they come and go: whoever was told of a grant keeps it until the release.
func TestAskingAgainTakesNothing(t *testing.T) {
	t.Parallel()
	const clients, rounds = 4, 150
	f := newFleet(t)
	nodes := []*member{f.node(), f.node()}
	quit := make(chan struct{})
	var doubts, wg sync.WaitGroup
	for _, n := range nodes {
		doubts.Go(func() {
			for {
				select {
				case <-quit:
					return
				case <-time.After(200 * time.Microsecond):
					n.parts[n.store.Partition("x")].doubt()
				}
			}
		})
	}
	for c := range clients {
		n := nodes[c%2]
		wg.Go(func() {
			for range rounds {
				n.cycle(t, "x", fmt.Sprint("call-", c))
			}
		})
		s := f.open(n)
		wg.Go(func() {
			for i := range rounds {
				frame := fmt.Sprint(c, "-", i)
				s.hold(frame, request("x", fmt.Sprint("session-", c), 30*time.Second, minute))
				s.free(frame)
			}
		})
	}
	wg.Wait()
	close(quit)
	doubts.Wait()
}
