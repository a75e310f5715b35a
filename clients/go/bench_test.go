package distributedlock_test

import (
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// fifty goroutines go through cycles of acquire and release over one connection.
func fifty(b *testing.B, name func(cycle int64) string) {
	url := os.Getenv("SDK_URL") // to measure beside others, on what they run on
	if url == "" {
		url = startRedis(b).start(b).url
	}
	c := client(b, url)
	if l, err := c.Acquire("warm", time.Second); err != nil {
		b.Fatal(err)
	} else if err := l.Release(); err != nil {
		b.Fatal(err)
	}
	var cycle atomic.Int64
	done := make(chan error, 50)
	b.ReportAllocs()
	b.ResetTimer()
	for range 50 {
		go func() {
			for {
				n := cycle.Add(1)
				if n > int64(b.N) {
					done <- nil
					return
				}
				l, err := c.Acquire(name(n), 30*time.Second)
				if err == nil {
					err = l.Release()
				}
				if err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range 50 {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "cycles/s")
}

func BenchmarkCold(b *testing.B) {
	fifty(b, func(cycle int64) string { return "cold-" + strconv.FormatInt(cycle, 10) })
}

func BenchmarkHot(b *testing.B) { fifty(b, func(int64) string { return "hot" }) }
