package queue

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"distributedlock/queue/embedded"
	"distributedlock/queue/redistest"
)

// TestLatestElection holds what Sentinels say against what is believed.
func TestLatestElection(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		followed said
		says     map[string]said
		want     string
	}{
		"nobody":                {said{addr: "a", epoch: 3}, nil, ""},
		"the first":             {said{}, map[string]said{"1": {addr: "a"}}, "a"},
		"all agree":             {said{addr: "a", epoch: 3}, map[string]said{"1": {addr: "b", epoch: 4}, "2": {addr: "b", epoch: 4}}, "b"},
		"one is ahead":          {said{addr: "a", epoch: 3}, map[string]said{"1": {addr: "b", epoch: 4}, "2": {addr: "a", epoch: 3}}, "b"},
		"one has slept":         {said{addr: "b", epoch: 4}, map[string]said{"1": {addr: "b", epoch: 4}, "2": {addr: "a", epoch: 3}}, "b"},
		"only one that slept":   {said{addr: "b", epoch: 4}, map[string]said{"2": {addr: "a", epoch: 3}}, ""},
		"most were set up anew": {said{addr: "b", epoch: 4}, map[string]said{"1": {addr: "c"}, "2": {addr: "c"}}, "c"},
		"another name for it":   {said{addr: "a", epoch: 3}, map[string]said{"1": {addr: "b", epoch: 3}, "2": {addr: "a", epoch: 3}, "3": {addr: "b", epoch: 3}}, "a"},
		"most name one":         {said{}, map[string]said{"1": {addr: "b"}, "2": {addr: "a"}, "3": {addr: "b"}}, "b"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 20 { // a map has no order
				f := &follower{sentinels: []string{"1", "2", "3"}, said: c.says, addr: c.followed.addr, epoch: c.followed.epoch}
				if got := f.latest().addr; got != c.want {
					t.Fatalf("%q is believed, not %q", got, c.want)
				}
			}
		})
	}
}

// TestSentinelsWithPasswords follows the master of a fleet that asks for passwords, through a failover by hand.
func TestSentinelsWithPasswords(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinels(t, redistest.SentinelOptions{Password: "p-w", SentinelPassword: "s-w"})
	moves := make(chan string, 10)
	o := Options{Node: "n", Moved: func(_, to string) { moves <- to }}
	o.Redis = rueidis.ClientOption{InitAddress: s.Addrs(), Password: "p-w",
		Sentinel: rueidis.SentinelOption{MasterSet: s.Name, Password: "wrong"}}
	if _, err := Open(t.Context(), o); err == nil {
		t.Error("opened with a wrong password for the Sentinels")
	}
	o.Redis.Sentinel.Password = "s-w"
	store, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	was := s.Master()
	taken := acquireBy(t, store, "before")
	if err := s.Command(s.Sentinels[0], "SENTINEL", "FAILOVER", s.Name).Error(); err != nil {
		t.Fatal(err)
	}
	now := s.Promoted(was)
	select {
	case to := <-moves:
		if to != now.Addr() {
			t.Errorf("the store went to %s, the master is %s", to, now.Addr())
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the store has not heard of the new master within 5 s")
	}
	redistest.Until(t, "the store works again", 5*time.Second, func() bool {
		_, _, err := store.Beat(context.Background(), nil)
		return err == nil
	})
	if again := acquireBy(t, store, "after"); again <= taken {
		t.Errorf("token %d after %d", again, taken)
	}
}

// acquireBy takes a lock of its own, and returns its token.
func acquireBy(t *testing.T, s *Store, name string) int64 {
	t.Helper()
	a, err := s.Acquire(t.Context(), &Request{Name: name, Client: "c", Owner: "c", ID: "r", LockID: NewSecret(),
		RenewalToken: NewSecret(), Lease: time.Minute, Mode: Exclusive, Limit: 1}, 10)
	if err != nil || a.Word != Granted {
		t.Fatalf("%s: %v, %v", name, a.Word, err)
	}
	return a.Grant.Token
}

// switchable is an address behind which the server may change; connections that stand stay where they are.
type switchable struct {
	net.Listener
	mu sync.Mutex
	to string
	wg sync.WaitGroup
}

func newSwitchable(t *testing.T, to string) *switchable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &switchable{Listener: l, to: to}
	s.wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			far, err := net.Dial("tcp", s.to)
			s.mu.Unlock()
			if err != nil {
				_ = near.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
				s.wg.Go(func() {
					_, _ = io.Copy(pair[0], pair[1])
					_, _ = pair[0].Close(), pair[1].Close()
				})
			}
		}
	})
	return s
}

// TestReadOnly has the server behind an address change while the connections to the old one, a replica by now, stay.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	a, b := redistest.Start(t, embedded.TCP()), redistest.Start(t, embedded.TCP())
	via := newSwitchable(t, a.Addr())
	store, err := Open(t.Context(), Options{Node: "n", Redis: At("tcp", via.Addr().String())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		store.Close()
		_ = via.Close()
		via.wg.Wait()
	})
	taken := acquireBy(t, store, "before")
	host, port, _ := net.SplitHostPort(b.Addr())
	if err := redistest.Command(a, "", "REPLICAOF", host, port).Error(); err != nil {
		t.Fatal(err)
	}
	via.mu.Lock()
	via.to = b.Addr()
	via.mu.Unlock()
	tries, moved := 0, false
	redistest.Until(t, "the store is on the new server", 5*time.Second, func() bool {
		tries++
		pulses, _, err := store.Beat(context.Background(), nil)
		for _, p := range pulses {
			moved = moved || p.Moved
		}
		return err == nil
	})
	if tries <= refusalsMost || !moved {
		t.Errorf("it took %d beats; moved: %v", tries, moved)
	}
	if again := acquireBy(t, store, "after"); again <= taken {
		t.Errorf("token %d after %d", again, taken)
	}
}
