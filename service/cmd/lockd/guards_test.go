package main

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestQuarantine starts on an empty Redis, which may have held anything.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	env, _ := redisEnv(t)
	n := start(t, append(env, "FAILOVER_QUARANTINE=on", "MAX_TIMEOUT=8", "DEFAULT_TIMEOUT=5"))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.url+"/locks/x/acquire", strings.NewReader(`{"clientId":"c"}`))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	after, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if res.StatusCode != http.StatusServiceUnavailable || err != nil || after < 1 || after > 8 {
		t.Errorf("%s, Retry-After %q", res.Status, res.Header.Get("Retry-After"))
	}
	health := n.call(http.StatusOK, http.MethodGet, "/health", "")
	about, _ := health["quarantine"].(map[string]any)
	if left := answer(about).num("seconds"); health.str("status") != "degraded" || about["reason"] != "data_lost" || left <= 0 || left > 8 {
		t.Errorf("/health: %v", health)
	}
	if a := n.acquire(http.StatusServiceUnavailable, "x", `{"clientId":"c","waitTimeout":0.1}`); a.str("code") != "unavailable" {
		t.Errorf("a short wait: %v", a)
	}
	n.acquire(http.StatusOK, "x", `{"clientId":"c","waitTimeout":20}`)
	eventually(t, "all is well", 5*time.Second, func() bool {
		_, health, err := n.try(http.MethodGet, "/health", "")
		return err == nil && health.str("status") == "ok" && health["quarantine"] == nil
	})
	for _, line := range []string{"quarantine: no lock is granted", "the quarantine is over"} {
		eventually(t, line, 5*time.Second, func() bool { return strings.Contains(n.said(), line) })
	}
}

// TestWaitReplicas waits for a replica that is not there.
func TestWaitReplicas(t *testing.T) {
	t.Parallel()
	env, _ := redisEnv(t)
	n := start(t, append(env, "REDIS_WAIT_REPLICAS=1"))
	if a := n.acquire(http.StatusServiceUnavailable, "x", `{"clientId":"c"}`); a.str("code") != "unavailable" || !strings.Contains(a.str("title"), "replicas") {
		t.Errorf("%v", a)
	}
	if st := n.call(http.StatusOK, http.MethodGet, "/locks/x/status", ""); st["locked"] != false {
		t.Errorf("%v", st)
	}
	health := n.call(http.StatusOK, http.MethodGet, "/health", "")
	about, _ := health["redis"].(map[string]any)
	if warnings, _ := about["warnings"].([]any); len(warnings) == 0 || !strings.Contains(warnings[0].(string)+warnings[len(warnings)-1].(string), "REDIS_WAIT_REPLICAS") {
		t.Errorf("/health: %v", health)
	}
}
