package queue

import (
	"strings"
	"testing"
	"time"

	"distributedlock/queue/embedded"
	"distributedlock/queue/redistest"
)

func TestAdvise(t *testing.T) {
	t.Parallel()
	with := func(change func(*setup)) setup {
		u := setup{failsOver: true, downAfter: 5 * time.Second, replicas: 2, policy: "noeviction", aof: true, settings: map[string]string{
			"min-replicas-to-write": "1", "min-replicas-max-lag": "2", "save": "", "appendfsync": "everysec"}}
		change(&u)
		return u
	}
	cases := map[string]struct {
		u    setup
		says []string // the beginning of each
	}{
		"as it should be": {with(func(*setup) {}), nil},
		"evicts":          {with(func(u *setup) { u.policy = "volatile-lru" }), []string{"maxmemory-policy is volatile-lru"}},
		"no least":        {with(func(u *setup) { u.settings["min-replicas-to-write"] = "0" }), []string{"min-replicas-to-write is 0 and"}},
		"no lag":          {with(func(u *setup) { u.settings["min-replicas-max-lag"] = "0" }), []string{"min-replicas-to-write is 1 and"}},
		"lag too long":    {with(func(u *setup) { u.settings["min-replicas-max-lag"] = "10" }), []string{"min-replicas-max-lag is 10 s"}},
		"lag as long":     {with(func(u *setup) { u.settings["min-replicas-max-lag"] = "5" }), []string{"min-replicas-max-lag is 5 s"}},
		"nobody else": {with(func(u *setup) {
			u.failsOver, u.replicas, u.settings["min-replicas-to-write"] = false, 0, "0"
		}), nil},
		"replicas without Sentinels": {with(func(u *setup) { u.failsOver, u.settings["min-replicas-to-write"] = false, "0" }),
			[]string{"min-replicas-to-write is 0 and"}},
		"never synced":     {with(func(u *setup) { u.settings["appendfsync"] = "no" }), []string{"appendfsync is no"}},
		"nothing kept":     {with(func(u *setup) { u.aof = false }), []string{"Redis keeps nothing"}},
		"snapshots":        {with(func(u *setup) { u.aof, u.settings["save"] = false, "3600 1" }), []string{"Redis keeps snapshots"}},
		"too few replicas": {with(func(u *setup) { u.wanted = 3 }), []string{"REDIS_WAIT_REPLICAS is 3"}},
		"may not be asked": {with(func(u *setup) { u.settings, u.aof = nil, false }), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := advise(&c.u)
			if len(got) != len(c.says) {
				t.Fatalf("%q, want %q", got, c.says)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], c.says[i]) {
					t.Errorf("%q, want %q", got[i], c.says[i])
				}
			}
		})
	}
}

// TestAdvice asks a Redis, and one that does not let itself be asked.
func TestAdvice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"nothing kept": {nil, []string{"Redis keeps nothing"}},
		"all wrong":    {[]string{"--maxmemory-policy", "allkeys-lru", "--save", "60 1"}, []string{"Redis keeps snapshots", "maxmemory-policy is allkeys-lru"}},
		"silent":       {[]string{"--rename-command", "CONFIG", ""}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := redistest.Start(t, embedded.Args(c.args...))
			s, err := Open(t.Context(), Options{Node: "n", Redis: At(r.Network(), r.Addr())})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			got, err := s.Advice(t.Context())
			if err != nil || len(got) != len(c.want) {
				t.Fatalf("%q, %v", got, err)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], c.want[i]) {
					t.Errorf("%q, want %q", got[i], c.want[i])
				}
			}
		})
	}
}
