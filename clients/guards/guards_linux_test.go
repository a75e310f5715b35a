package guards_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"distributedlock/clients/guards"
)

// TestMarks: a resource lets its highest token in again, and no lower one, for reading as for writing; a refused write changes nothing.
func TestMarks(t *testing.T) {
	for _, kind := range []string{"postgres", "redis", "http"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			redis := ""
			if kind == "redis" {
				redis = startRedis(t)
			}
			at := where(t, kind, redis)
			c, err := open(t.Context(), at, kind, "marks", true)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			const high = 1<<53 - 10 // neighbours that floating point just tells apart
			for i, step := range []struct {
				token int64
				write int // 0 to read
				want  int // -1 for stale
			}{
				{high, 1, 1}, {high, 2, 2}, {high - 1, 3, -1}, {high - 1, 0, -1}, {high, 0, 2}, {high + 1, 0, 2}, {high, 4, -1}, {high + 1, 5, 5},
			} {
				got := step.write
				var err error
				if step.write > 0 {
					err = c.write(t.Context(), step.token, step.write)
				} else {
					got, err = c.read(t.Context(), step.token)
				}
				if stale := errors.Is(err, guards.ErrStale); stale != (step.want < 0) || !stale && (err != nil || got != step.want) {
					t.Errorf("step %d: %d, %v; want %d", i, got, err, step.want)
				}
			}
			storm(t, at, kind)
		})
	}
}

// storm has many write with tokens in any order, all at once: what is left is what the highest wrote.
func storm(t *testing.T, at addresses, kind string) {
	t.Helper()
	const most = 64
	tokens := make(chan int64, most)
	for _, n := range rand.Perm(most) {
		tokens <- int64(n + 1)
	}
	close(tokens)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			c, err := open(t.Context(), at, kind, "storm", true)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.close()
			for token := range tokens {
				if err := c.write(t.Context(), token, int(token)); err != nil && !errors.Is(err, guards.ErrStale) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	c, err := open(t.Context(), at, kind, "storm", true)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if n, err := c.read(t.Context(), most); err != nil || n != most {
		t.Errorf("%d is left, %v; want %d", n, err, most)
	}
}

// TestFencedTransaction: while a fenced transaction runs, a higher token waits for its end, and a lower one that waited is refused.
func TestFencedTransaction(t *testing.T) {
	t.Parallel()
	dsn := startPostgres(t)
	connect := func() *pgx.Conn {
		c, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		return c
	}
	for _, step := range []struct {
		first, second int64
		want          error
	}{{1, 2, nil}, {4, 3, guards.ErrStale}} {
		tx, err := connect().Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := guards.FencePostgres(t.Context(), tx, "x", step.first); err != nil {
			t.Fatal(err)
		}
		other, watch := connect(), connect()
		got := make(chan error, 1)
		go func() {
			got <- pgx.BeginFunc(context.Background(), other, func(tx pgx.Tx) error {
				return guards.FencePostgres(context.Background(), tx, "x", step.second)
			})
		}()
		eventually(t, "the second waits for the first", 5*time.Second, func() bool {
			n := 0
			err := watch.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").Scan(&n)
			return err == nil && n == 1
		})
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-got; !errors.Is(err, step.want) {
			t.Errorf("token %d after %d: %v", step.second, step.first, err)
		}
	}
}

// TestHTTPRefuses: what has no token, or none that is one, does not reach the handler, nor does anything while tokens cannot be checked.
func TestHTTPRefuses(t *testing.T) {
	t.Parallel()
	served := 0
	raise := guards.Remember()
	handler := guards.HTTP(func(ctx context.Context, resource string, token int64) error {
		if resource == "/broken" {
			return context.DeadlineExceeded
		}
		return raise(ctx, resource, token)
	}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	for _, c := range []struct {
		path, token string
		want        int
	}{
		{"/a", "", http.StatusPreconditionRequired},
		{"/a", "soon", http.StatusBadRequest},
		{"/a", "-1", http.StatusBadRequest},
		{"/broken", "5", http.StatusServiceUnavailable},
		{"/a", "5", http.StatusOK},
		{"/a", "4", http.StatusPreconditionFailed},
		{"/b", "4", http.StatusOK}, // another resource
	} {
		q := httptest.NewRequest(http.MethodPut, c.path, http.NoBody)
		if c.token != "" {
			q.Header.Set(guards.Header, c.token)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, q)
		if w.Code != c.want {
			t.Errorf("%s with %q: %d, want %d", c.path, c.token, w.Code, c.want)
		}
	}
	if served != 2 {
		t.Errorf("%d reached the handler", served)
	}
}

// TestPage: README.md shows the statement and the script that run.
func TestPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	plain := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	for lang, file := range map[string]string{"sql": "postgres.go", "lua": "redis.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, block, _ := strings.Cut(string(page), "```"+lang+" runs\n")
		block, _, _ = strings.Cut(block, "```")
		if block == "" || !strings.Contains(plain(string(source)), plain(block)) {
			t.Errorf("%s has not what the page shows of it: %s", file, block)
		}
	}
}
