package distributedlock_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	lock "distributedlock/clients/go"
)

// vectors reads one of the files that all SDKs share.
func vectors[T any](t *testing.T, name string) []T {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "conformance", "vectors", name))
	if os.IsNotExist(err) && os.Getenv("CI") != "true" {
		t.Skipf("SKIPPED, the vectors are not here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []T }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) < 10 {
		t.Fatalf("%s has %d cases", name, len(file.Cases))
	}
	return file.Cases
}

var pchars = regexp.MustCompile(`^[A-Za-z0-9\-._~!$&'()*+,;=:@%]+$`)

func TestVectorsNames(t *testing.T) {
	type vector struct {
		Name  *string
		Bytes string
		Legal bool
		Path  string
	}
	c := lock.NewDistributedLockClient("http://127.0.0.1:1")
	t.Cleanup(func() { c.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, v := range vectors[vector](t, "names.json") {
		if v.Name == nil && v.Bytes == "" {
			continue // UTF-16 is not for Go
		}
		b, err := hex.DecodeString(v.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		name := string(b)
		if v.Name != nil {
			name = *v.Name
		}
		if !v.Legal {
			// What it does not refuse by itself goes to the service; what no path can carry must not.
			if mustRefuse := name == "" || name == "." || name == ".." || v.Bytes != ""; mustRefuse {
				if _, err := c.Status(ctx, name); !errors.Is(err, lock.ErrInvalidArgument) {
					t.Errorf("status of %q, which no path can carry: %v", name, err)
				}
			}
			continue
		}
		path, found := strings.CutPrefix(lock.LockPath(name), "/locks/")
		if !found || !pchars.MatchString(path) {
			t.Errorf("%q becomes %q", name, path)
		}
		if back, err := url.PathUnescape(path); err != nil || back != name {
			t.Errorf("%q becomes %q, which is %q (%v)", name, path, back, err)
		}
	}
}

type errorVector struct {
	About string
	HTTP  *struct {
		Status  int
		Headers map[string]string
		Body    string
	}
	Frame  string
	Kind   string
	Fields map[string]any
}

func TestVectorsErrors(t *testing.T) {
	for _, v := range vectors[errorVector](t, "errors.json") {
		t.Run(v.About, func(t *testing.T) {
			t.Parallel()
			if v.Kind == "cancelled" {
				t.Skip("Go's callers see the cause of their context")
			}
			var err error
			if v.HTTP != nil {
				err = askREST(t, v)
			} else {
				err = askFake(t, v.Frame)
			}
			checkError(t, &v, err)
		})
	}
}

// askREST makes a call that is answered as the vector says.
func askREST(t *testing.T, v errorVector) error {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for k, h := range v.HTTP.Headers {
			w.Header().Set(k, h)
		}
		w.WriteHeader(v.HTTP.Status)
		fmt.Fprint(w, v.HTTP.Body)
	}))
	defer s.Close()
	c := lock.NewDistributedLockClient(s.URL)
	defer c.Close()
	_, err := c.Status(t.Context(), "x")
	return err
}

// askFake makes an acquire that is answered with the frame.
func askFake(t *testing.T, frame string) error {
	f := newFake(t)
	f.on("acquire", func(q asked, send func(string)) { send(q.retell(frame)) })
	_, err := f.client(t).TryAcquire(t.Context(), "x", time.Second, lock.WithRequestID("r-1"))
	return err
}

var kindErrors = map[string]error{
	"held": lock.ErrHeld, "wait_timeout": lock.ErrWaitTimeout, "deadlock": lock.ErrDeadlock, "lost": lock.ErrLockLost,
	"not_owner": lock.ErrNotOwner, "not_locked": lock.ErrNotLocked, "limit_mismatch": lock.ErrLimitMismatch,
	"request_mismatch": lock.ErrRequestMismatch, "invalid_argument": lock.ErrInvalidArgument, "too_large": lock.ErrTooLarge,
	"unauthorized": lock.ErrUnauthorized, "forbidden": lock.ErrForbidden, "queue_full": lock.ErrQueueFull,
	"rate_limited": lock.ErrRateLimited, "unavailable": lock.ErrUnavailable, "outcome_unknown": lock.ErrOutcomeUnknown,
}

func checkError(t *testing.T, v *errorVector, err error) {
	t.Helper()
	var e *lock.APIError
	if !errors.As(err, &e) {
		t.Fatalf("no APIError: %v", err)
	}
	for kind, sentinel := range kindErrors {
		// What was tried for some time in vain may be called unavailable as well.
		retried := kind == "unavailable" && v.HTTP == nil
		if is := errors.Is(err, sentinel); is != (kind == v.Kind) && !retried {
			t.Errorf("errors.Is(%v, %s) is %v", err, kind, is)
		}
	}
	got := object(t, e)
	got["waitTimeMs"] = float64(e.WaitTime) / 1e6
	got["retryAfterMs"] = float64(e.RetryAfter) / 1e6
	got["fields"] = got["errors"]
	got["queueLength"] = float64(e.QueueLength)
	if v.Kind == "wait_timeout" {
		delete(v.Fields, "waitTimeMs") // an acquire tells its whole wait, over all that it asked
	}
	delete(v.Fields, "newExtra")
	compare(t, got, v.Fields)
}

// compare holds the wanted fields against those there are. Empty lists and absent ones are the same.
func compare(t *testing.T, got, wanted map[string]any) {
	t.Helper()
	for k, w := range wanted {
		g := got[k]
		if list, is := w.([]any); is && len(list) == 0 && g == nil {
			continue
		}
		if a, is := w.(float64); is {
			if b, is := g.(float64); is && math.Abs(a-b) < 0.001 {
				continue
			}
		}
		if !reflect.DeepEqual(plainTimes(g), plainTimes(w)) {
			t.Errorf("%s is %v, wanted %v", k, g, w)
		}
	}
}

// plainTimes reads times, which may be written in more than one way, and takes fields of later versions out.
func plainTimes(v any) any {
	switch v := v.(type) {
	case string:
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return at
		}
		return v
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plainTimes(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k := range v {
			if k != "future" {
				out[k] = plainTimes(v[k])
			}
		}
		return out
	}
	return v
}

func object(t *testing.T, v any) map[string]any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var o map[string]any
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestVectorsBackoff(t *testing.T) {
	type vector struct {
		Attempt                    int
		RetryAfterMs, MinMs, MaxMs float64
	}
	for _, v := range vectors[vector](t, "backoff.json") {
		tenths := map[int]bool{}
		for range 500 {
			d := float64(lock.Backoff(v.Attempt, time.Duration(v.RetryAfterMs*1e6))) / 1e6
			if d < v.MinMs || d > v.MaxMs {
				t.Fatalf("%+v: %v ms", v, d)
			}
			tenths[int(10*(d-v.MinMs)/(v.MaxMs-v.MinMs))] = true
		}
		if len(tenths) < 8 {
			t.Errorf("%+v: no even jitter: %v", v, tenths)
		}
	}
}

func TestVectorsLease(t *testing.T) {
	type vector struct {
		About                                                                     string
		AtOnce                                                                    bool
		LeaseMs, SentAt, ReceivedAt, ExpiresAt, TTLMs, NoEarlierThan, NoLaterThan float64
		Samples                                                                   []struct{ SentAt, ReceivedAt, ServerTime float64 }
	}
	ms := func(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }
	for _, v := range vectors[vector](t, "lease.json") {
		var samples []lock.ClockSample
		for _, s := range v.Samples {
			samples = append(samples, lock.ClockSample{Sent: ms(s.SentAt), Received: ms(s.ReceivedAt), Server: time.UnixMilli(int64(s.ServerTime))})
		}
		at := lock.LostAt(ms(v.LeaseMs), ms(v.TTLMs), v.AtOnce, ms(v.SentAt), ms(v.ReceivedAt), time.UnixMilli(int64(v.ExpiresAt)), samples)
		if at > ms(v.NoLaterThan) || at < ms(v.NoEarlierThan) {
			t.Errorf("%s: lost at %v, not within %v..%v ms", v.About, at, v.NoEarlierThan, v.NoLaterThan)
		}
	}
}
