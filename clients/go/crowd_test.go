package distributedlock_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	lock "distributedlock/clients/go"
)

// A thousand goroutines share a client and its one connection: they cancel, release, lose and leave locks to run out,
// and nothing is left.
func TestThousandGoroutines(t *testing.T) {
	n := shared(t)
	p := startProxy(t, n.addr)
	c, admin, name := client(t, p.url), client(t, n.url, lock.WithToken("admin")), name(t)
	end := time.Now().Add(5 * time.Second)
	var all sync.WaitGroup
	var released, cancelled, lost, expired, failed atomic.Int64
	for range 1000 {
		all.Go(func() {
			for time.Now().Before(end) {
				lockName := fmt.Sprint(name, rand.IntN(400))
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(800))*time.Millisecond)
				l, err := c.AcquireContext(ctx, lockName, 500*time.Millisecond)
				cancel()
				switch {
				case errors.Is(err, context.DeadlineExceeded):
					cancelled.Add(1)
					continue
				case err != nil:
					t.Error(err)
					failed.Add(1)
					return
				}
				switch rand.IntN(40) {
				case 0:
					if _, err := admin.ForceRelease(context.Background(), lockName, "test"); err == nil {
						<-l.Done()
						lost.Add(1)
					}
					_ = l.Release()
				case 1:
					<-l.Done()
					if err := l.Err(); !errors.Is(err, lock.ErrLockLost) {
						t.Error(err)
					}
					expired.Add(1)
				default:
					time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
					if err := l.Release(); err != nil && !errors.Is(err, lock.ErrLockLost) {
						t.Error(err)
					}
					released.Add(1)
				}
			}
		})
	}
	all.Wait()
	t.Logf("released %d, cancelled %d, lost %d, expired %d", released.Load(), cancelled.Load(), lost.Load(), expired.Load())
	if released.Load() < 1000 || cancelled.Load() < 100 || lost.Load() == 0 || expired.Load() == 0 {
		t.Error("hardly anything happened")
	}
	if opened := p.opened.Load(); opened != 1 {
		t.Errorf("%d connections", opened)
	}
	eventually(t, "nothing under way", 10*time.Second, func() bool {
		calls, locks, loose := c.Left()
		return calls+locks+loose == 0
	})
	eventually(t, "nothing held, nobody in line", 10*time.Second, func() bool {
		for s, err := range admin.List(context.Background(), name) {
			if err != nil || s.Locked || s.QueueLength > 0 {
				return false
			}
		}
		return true
	})
}
