package main

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"distributedlock/queue"
	"distributedlock/queue/embedded"
	"distributedlock/service"
	"distributedlock/transport"
)

// locks fits the manager to what transport asks for; the load test asks for no graph.
type locks struct{ *service.Manager }

func (locks) Now() time.Time                                      { return time.Now() }
func (locks) Graph(context.Context, int) (transport.Graph, error) { return transport.Graph{}, nil }

func (l locks) Open(to transport.Listener) transport.Session { return l.Manager.Open(to) }

// lockService is the whole service in this process, on a private Redis.
func lockService(t *testing.T, token string) http.Handler {
	t.Helper()
	redis, err := embedded.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := redis.Stop(); err != nil {
			t.Error(err)
		}
	})
	o := queue.Options{Node: "one", Redis: queue.At(redis.Network(), redis.Addr()), Embedded: !redis.Real()}
	store, err := queue.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	m := service.New(store, service.Options{RenewalInterval: 5 * time.Second, MaxHold: time.Hour, Grace: 10 * time.Second,
		MaxQueue: 10_000, Connect: func() (rueidis.Client, error) { return queue.Connect(o) }})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		store.Close()
	})
	return transport.New(locks{m}, transport.Options{ClientToken: token})
}

func TestAgainstTheService(t *testing.T) {
	h := lockService(t, "secret")
	code, stdout, stderr := result(t, h, "-token", "secret", "-operations", "600", "-concurrent", "30", "-locks", "4")
	if code != exitOK {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	wants(t, stdout, "600 operations by 30 clients on 4 locks", "two holders at once: 0", "did not rise: 0", "errors: 0")
	code, _, stderr = result(t, h, "-token", "wrong")
	if code != exitUsage {
		t.Errorf("with a wrong token: exit code %d", code)
	}
	wants(t, stderr, "unauthorized")
	code, stdout, _ = result(t, h, "-token", "secret", "-operations", "20", "-concurrent", "10", "-locks", "1", "-wait", "0s", "-hold", "200ms")
	if code != exitFailed {
		t.Errorf("without waiting: exit code %d", code)
	}
	wants(t, stdout, "× lock_held")
}
