package transport

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/julienschmidt/httprouter"

	"distributedlock/queue"
)

// instant grants everything and does nothing else.
type instant struct{ *fakeLocks }

func (instant) Acquire(_ context.Context, q *queue.Request) (queue.Grant, time.Duration, error) {
	q.ID, q.LockID, q.RenewalToken = "5f0e8d3c1b2a49788796a5b4c3d2e1f0", "kR3vT9qLx0YzB1nM5pWcDg", "Zt7HjU2eXv8QaS4oKf6LmN"
	return grantOf(q), 0, nil
}

func (instant) Release(context.Context, string, string, string) (time.Duration, error) {
	return 1500 * time.Microsecond, nil
}

// bare is the least that answers the same two calls: a router and encoding/json.
func bare() http.Handler {
	type acquireIn struct {
		ClientID    string          `json:"clientId"`
		Timeout     float64         `json:"timeout"`
		WaitTimeout float64         `json:"waitTimeout"`
		AutoRenew   bool            `json:"autoRenew"`
		Metadata    json.RawMessage `json:"metadata"`
	}
	type acquireOut struct {
		Acquired     bool            `json:"acquired"`
		LockID       string          `json:"lockId"`
		LockName     string          `json:"lockName"`
		ClientID     string          `json:"clientId"`
		OwnerID      string          `json:"ownerId"`
		RequestID    string          `json:"requestId"`
		ExpiresAt    time.Time       `json:"expiresAt"`
		TTLMs        int64           `json:"ttlMs"`
		FencingToken int64           `json:"fencingToken"`
		RenewalToken string          `json:"renewalToken"`
		WaitTime     float64         `json:"waitTime"`
		AutoRenew    bool            `json:"autoRenew"`
		Metadata     json.RawMessage `json:"metadata"`
	}
	type releaseIn struct {
		ClientID string `json:"clientId"`
		LockID   string `json:"lockId"`
	}
	type releaseOut struct {
		Released bool    `json:"released"`
		LockName string  `json:"lockName"`
		LockID   string  `json:"lockId"`
		HeldFor  float64 `json:"heldFor"`
	}
	var locks instant
	answer := func(w http.ResponseWriter, v any) {
		b, _ := json.Marshal(v)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(b)
	}
	router := httprouter.New()
	router.POST("/locks/:name/acquire", func(w http.ResponseWriter, r *http.Request, p httprouter.Params) {
		var in acquireIn
		body, _ := io.ReadAll(r.Body)
		if json.Unmarshal(body, &in) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		g, waited, _ := locks.Acquire(r.Context(), &queue.Request{Name: p[0].Value, Client: in.ClientID, Owner: in.ClientID,
			Lease: time.Duration(in.Timeout * 1e9), Mode: queue.Exclusive, Limit: 1, AutoRenew: in.AutoRenew, Metadata: in.Metadata})
		answer(w, acquireOut{true, g.LockID, g.Name, g.Client, g.Owner, g.Request, g.End, g.TTL.Milliseconds(), g.Token,
			g.RenewalToken, waited.Seconds(), g.AutoRenew, g.Metadata})
	})
	router.POST("/locks/:name/release", func(w http.ResponseWriter, r *http.Request, p httprouter.Params) {
		var in releaseIn
		body, _ := io.ReadAll(r.Body)
		if json.Unmarshal(body, &in) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		held, _ := locks.Release(r.Context(), p[0].Value, in.ClientID, in.LockID)
		answer(w, releaseOut{true, p[0].Value, in.LockID, held.Seconds()})
	})
	return router
}

// BenchmarkCycle is one acquire and one release over a kept-alive loopback connection, of this package's server and of
// a bare handler. cpu-µs is the whole process's CPU time a cycle, the client's part too, which is the same in both.
func BenchmarkCycle(b *testing.B) {
	b.Run("bare", func(b *testing.B) { benchCycle(b, &http.Server{Handler: bare()}) })
	b.Run("bare-with-timeouts", func(b *testing.B) { benchCycle(b, NewServer(bare(), Options{})) })
	b.Run("transport", func(b *testing.B) {
		benchCycle(b, NewServer(New(instant{}, Options{}), Options{}))
	})
}

func benchCycle(b *testing.B, s *http.Server) {
	addr := serveHandler(b, s)
	acquire := rawPost("/locks/user:123/acquire", `{"clientId":"client-1","timeout":30,"waitTimeout":60}`)
	release := rawPost("/locks/user:123/release", `{"clientId":"client-1","lockId":"kR3vT9qLx0YzB1nM5pWcDg"}`)
	b.ReportAllocs()
	before := cpuTime()
	b.ResetTimer()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		for pb.Next() {
			roundTrip(b, conn, r, acquire)
			roundTrip(b, conn, r, release)
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(cpuTime()-before)/1e3/float64(b.N), "cpu-µs/op")
}

func rawPost(path, body string) []byte {
	return []byte("POST " + path + " HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

// roundTrip sends a request and reads its answer by hand, so that little of the time is the client's.
func roundTrip(b *testing.B, conn net.Conn, r *bufio.Reader, request []byte) {
	if _, err := conn.Write(request); err != nil {
		b.Fatal(err)
	}
	length, first := 0, true
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			b.Fatal(err)
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
			b.Fatalf("%s", line)
		}
		first = false
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
		}
		if len(line) == 2 {
			break
		}
	}
	_, _ = r.Discard(length)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
