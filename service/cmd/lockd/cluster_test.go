package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"distributedlock/queue/redistest"
)

// TestCluster serves on a Redis Cluster, over two nodes.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	env := []string{"REDIS_CLUSTER=" + strings.Join(c.Addrs(), ","), "CLIENT_TOKEN=", "ADMIN_TOKEN="}
	a, b := start(t, env), start(t, env)
	health := a.call(http.StatusOK, http.MethodGet, "/health", "")
	if about, _ := health["redis"].(map[string]any); health.str("status") != "ok" || about["mode"] != "cluster" {
		t.Errorf("/health: %v", health)
	}
	for i := range 20 { // over all masters
		name := fmt.Sprint("x", i)
		held := a.acquire(http.StatusOK, name, `{"clientId":"c"}`)
		got := make(chan answer, 1)
		go func() {
			_, next, _ := b.try(http.MethodPost, "/locks/"+name+"/acquire", `{"clientId":"d","waitTimeout":10}`)
			got <- next
		}()
		a.queue(name, 1)
		a.release(name, "c", held.str("lockId"))
		if next := <-got; next["acquired"] != true || next.num("fencingToken") <= held.num("fencingToken") {
			t.Fatalf("%s: %v after %v", name, next, held)
		}
	}
	locks, _ := b.call(http.StatusOK, http.MethodGet, "/locks", "")["locks"].([]any)
	if stats := a.call(http.StatusOK, http.MethodGet, "/locks/stats", ""); len(locks) != 20 || stats.num("activeLocks") != 20 {
		t.Errorf("%d listed; %v", len(locks), stats)
	}
}
