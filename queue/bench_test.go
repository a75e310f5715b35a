package queue

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkLater takes and releases a lock of its own each time, 50 under way at once, by the calls that do not wait.
func BenchmarkLater(b *testing.B) {
	w := newRealTime(b)
	s := w.store("a", func(o *Options) { o.Partitions = 1 })
	left := make(chan struct{}, 50)
	var n atomic.Int64
	var cycle func()
	cycle = func() {
		i := n.Add(1)
		if i > int64(b.N) {
			left <- struct{}{}
			return
		}
		q := &Request{Name: "lock:" + strconv.FormatInt(i, 10), Client: "client-1", Owner: "client-1", ID: NewSecret(), Sole: true,
			LockID: NewSecret(), RenewalToken: NewSecret(), Lease: 30 * time.Second, Wait: time.Minute, Mode: Exclusive, Limit: 1,
			Session: "s", Frame: "1", Grace: 10 * time.Second}
		s.AcquireLater(q, 1000, func(a Acquired, err error) {
			if err != nil || a.Word != Granted {
				b.Error(a.Word, err)
			}
			s.ReleaseLater(q.Name, q.Client, q.LockID, func(_ time.Duration, _ Effects, err error) {
				if err != nil {
					b.Error(err)
				}
				cycle()
			})
			s.Flush()
		})
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range 50 {
		cycle()
	}
	s.Flush()
	for range 50 {
		<-left
	}
	b.StopTimer()
	stats, _ := w.do("INFO", "commandstats").ToString()
	b.Log(infoField(stats, "cmdstat_evalsha"))
}
