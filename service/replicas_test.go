package service

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"distributedlock/queue"
	"distributedlock/queue/embedded"
	"distributedlock/queue/redistest"
)

// pair is a master and its replica, and nodes that wait for it.
func pair(t *testing.T, nodes int) (f *fleet, replica *embedded.Server, all []*member) {
	t.Helper()
	f = newFleet(t, embedded.TCP(), embedded.Args("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"))
	host, port, _ := net.SplitHostPort(f.redis.Addr())
	replica = redistest.Start(t, embedded.TCP(), embedded.Args("--replicaof", host+" "+port))
	f.confirms(true)
	for range nodes {
		all = append(all, f.node(func(o *queue.Options) { o.Replicas = 1 }))
	}
	return f, replica, all
}

// confirms waits until the master has a replica that confirms, or has none.
func (f *fleet) confirms(does bool) {
	f.t.Helper()
	c := f.plain()
	f.eventually("the replica confirms or does not", 30*time.Second, func() bool {
		f.do(c, "SET", "test:written", "1")
		n, err := f.do(c, "WAIT", "1", "100").AsInt64()
		return err == nil && (n > 0) == does
	})
}

// takenBack are the errors of a grant that was taken back.
func takenBack(err error) bool {
	return errors.Is(err, queue.ErrNotReplicated) && errors.Is(err, queue.ErrUnavailable)
}

func (f *fleet) free(n *member, name string) {
	f.t.Helper()
	st, err := n.Status(f.t.Context(), name, 10)
	if err != nil || st.Locked() {
		f.t.Fatalf("%s is held: %+v, %v", name, st.Holders, err)
	}
}

// TestReplicaMissing stops the replica: no grant is told of any more, whichever way it is made, and none stays behind. When
// the replica is back, those who were told to ask again have their places still.
func TestReplicaMissing(t *testing.T) {
	t.Parallel()
	f, replica, nodes := pair(t, 2)
	holder := request("x", "holder", time.Minute, 0)
	if _, _, err := nodes[0].Acquire(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	line := make([]*queue.Request, 3)
	got := make(chan answer, len(line))
	for i := range line {
		q := request("x", fmt.Sprint("c", i), time.Minute, time.Minute)
		q.ID = fmt.Sprint("id-", i)
		line[i] = q
		go func() {
			g, _, err := nodes[i%2].Acquire(t.Context(), q)
			got <- answer{q.Client, g, err}
		}()
		f.queue(nodes[0], "x", i+1)
	}
	if err := replica.Pause(); err != nil {
		t.Fatal(err)
	}
	f.confirms(false)
	for i, q := range []*queue.Request{request("y", "new", time.Minute, 0), request("y", "newer", time.Minute, time.Minute)} {
		if g, _, err := nodes[i].Acquire(t.Context(), q); !takenBack(err) {
			t.Fatalf("%s: %+v, %v", q.Client, g, err)
		}
		f.free(nodes[0], "y")
	}
	if _, _, err := nodes[1].Acquire(t.Context(), known(*holder)); !errors.Is(err, queue.ErrUnknown) {
		t.Errorf("what was granted before: %v", err)
	}
	if _, err := nodes[1].Renew(t.Context(), "x", "holder", holder.RenewalToken, 0); !errors.Is(err, queue.ErrUnknown) {
		t.Errorf("renewal: %v", err)
	}
	// Each of the line is handed the lock, over both nodes, and none keeps it.
	if _, err := nodes[0].Release(t.Context(), "x", "holder", holder.LockID); err != nil {
		t.Errorf("release: %v", err)
	}
	for range line {
		if a := <-got; !takenBack(a.err) {
			t.Errorf("%s: %+v, %v", a.client, a.Grant, a.err)
		}
	}
	f.free(nodes[1], "x")
	if err := replica.Resume(); err != nil {
		t.Fatal(err)
	}
	f.confirms(true)
	againInLine(t, f, nodes, line)
}

// known is a request that its client asks for again.
func known(q queue.Request) *queue.Request {
	q.Known, q.Sole = true, false
	return &q
}

// againInLine has those of a line ask again, the last first: the first in line has the lock, and the others come after it.
func againInLine(t *testing.T, f *fleet, nodes []*member, line []*queue.Request) {
	f.t.Helper()
	block := request("x", "block", time.Minute, 0)
	if _, _, err := nodes[0].Acquire(f.t.Context(), block); err != nil {
		f.t.Fatal(err)
	}
	got := make(chan answer, len(line))
	for i := range line {
		q := known(*line[len(line)-1-i])
		go func() {
			g, _, err := nodes[i%2].Acquire(f.t.Context(), q)
			got <- answer{q.Client, g, err}
		}()
		f.queue(nodes[0], "x", i+1)
	}
	if _, err := nodes[0].Release(f.t.Context(), "x", "block", block.LockID); err != nil {
		f.t.Fatal(err)
	}
	expect(t, got, len(line), 10*time.Second, func(a answer) {
		if _, err := nodes[1].Release(f.t.Context(), "x", a.client, a.LockID); err != nil {
			f.t.Error(err)
		}
	})
}
