package service

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// scripts is how many scripts Redis has run, and how long it was at it.
func (f *fleet) scripts() (calls, micros float64) {
	info, err := f.do(f.plain(), "INFO", "commandstats").ToString()
	if err != nil {
		f.t.Fatal(err)
	}
	for line := range strings.Lines(info) {
		if _, err := fmt.Sscanf(line, "cmdstat_evalsha:calls=%f,usec=%f,", &calls, &micros); err == nil {
			return calls, micros
		}
	}
	return 0, 0
}

// BenchmarkCycle times acquire and release of a lock of its own each cycle, and of one lock for all, by 50 clients.
func BenchmarkCycle(b *testing.B) {
	for _, hot := range []bool{false, true} {
		name := "cold"
		if hot {
			name = "hot"
		}
		b.Run(name, func(b *testing.B) {
			f := newFleet(b)
			n := f.node()
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for c := range 50 {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						lock := "hot"
						if !hot {
							lock = "lock:" + strconv.FormatInt(i, 10)
						}
						q := request(lock, "client-"+strconv.Itoa(c), 30*time.Second, time.Minute)
						g, _, err := n.Acquire(b.Context(), q)
						if err != nil {
							b.Error(err)
							return
						}
						if _, err := n.Release(b.Context(), lock, q.Client, g.LockID); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			calls, micros := f.scripts()
			b.ReportMetric(calls/float64(b.N), "scripts/op")
			b.ReportMetric(micros/float64(b.N), "redis-µs/op")
		})
	}
}
