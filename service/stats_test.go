package service

import (
	"testing"
	"time"

	"distributedlock/queue"
)

// TestCountersNeverFall asks for the totals all the time while beats carry the counts to Redis.
func TestCountersNeverFall(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a := f.node()
	last := map[string]int64{}
	for end := time.Now().Add(4 * queue.Beat); time.Now().Before(end); {
		f.released(a, f.held(a, request("x", "c", time.Minute, 0)))
		got, err := a.Totals(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for name, n := range got.Counters {
			if n < last[name] {
				t.Fatalf("%s: %d after %d", name, n, last[name])
			}
			last[name] = n
		}
	}
	if last["acquired"] < 100 {
		t.Errorf("%d acquired", last["acquired"])
	}
}
