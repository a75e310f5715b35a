package service

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"distributedlock/queue"
)

var histories = flag.Int("histories", 500, "how many histories TestHistories records")

// deed is what a client did, and outcome how it came out, as the checker sees them.
type deed struct {
	kind    string // acquire, renew, release
	request string
	token   int64 // the grant that a renewal or release is about
}

type outcome struct {
	word  string // granted, none, renewed, released, lost
	token int64
	// since and end are of the lease, asked is a moment no later than the call's end: all by Redis's clock, in ms.
	since, end, asked int64
}

// lock is what the checker's model knows: who holds it, until when, and the last token.
type lock struct {
	held    bool
	request string
	token   int64
	end     int64
}

// lockModel is a lock with leases: a grant is given only when nobody holds the lock or the lease is over, each with
// a higher token; a release or renewal works only for the grant that is held; the same request finds the same grant.
var lockModel = porcupine.Model{
	Init: func() any { return lock{} },
	Step: func(state, input, output any) (bool, any) {
		l, d, o := state.(lock), input.(deed), output.(outcome)
		switch o.word {
		case "granted":
			if l.held && l.request == d.request && l.token == o.token {
				return true, l
			}
			free := !l.held || o.since >= l.end
			return free && o.token > l.token, lock{held: true, request: d.request, token: o.token, end: o.end}
		case "renewed":
			next := l
			next.end = o.end
			return l.held && l.token == d.token, next
		case "released":
			next := l
			next.held = false
			return l.held && l.token == d.token, next
		case "lost":
			return !l.held || l.token != d.token || o.asked >= l.end, l
		}
		return true, l // an acquire that came to nothing changes nothing
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) },
}

// history records what some clients do with one lock.
type history struct {
	name  string
	begin time.Time
	nodes []*member

	mu     sync.Mutex
	ops    []porcupine.Operation
	grants []queue.Grant
	faults []string
}

func (h *history) fault(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = append(h.faults, fmt.Sprintf(format, args...))
}

// do runs a call and records it.
func (h *history) do(client int, d deed, call func() outcome) outcome {
	from := time.Since(h.begin)
	o := call()
	to := time.Since(h.begin)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: d, Call: int64(from), Output: o, Return: int64(to)})
	return o
}

func (h *history) acquire(ctx context.Context, client, node int, q *queue.Request) (g queue.Grant) {
	h.do(client, deed{kind: "acquire", request: q.Client + "/" + q.ID}, func() outcome {
		var err error
		g, _, err = h.nodes[node].Acquire(ctx, q)
		var busy *queue.BusyError
		if err != nil {
			g = queue.Grant{}
			if !errors.As(err, &busy) && ctx.Err() == nil {
				h.fault("acquire: %v", err)
			}
			return outcome{word: "none"}
		}
		h.mu.Lock()
		h.grants = append(h.grants, g)
		h.mu.Unlock()
		return outcome{word: "granted", token: g.Token, since: g.Since.UnixMilli(), end: g.End.UnixMilli()}
	})
	return g
}

func (h *history) release(client, node int, g queue.Grant, as string) {
	h.do(client, deed{kind: "release", token: g.Token}, func() outcome {
		_, err := h.nodes[node].Release(context.Background(), h.name, as, g.LockID)
		switch {
		case err == nil && as != g.Client:
			h.fault("%s released what %s held", as, g.Client)
		case err == nil:
			return outcome{word: "released"}
		case errors.Is(err, queue.ErrNotOwner) && as != g.Client:
			return outcome{word: "none"}
		case !errors.Is(err, queue.ErrLost):
			h.fault("release: %v", err)
		}
		return outcome{word: "lost", asked: h.nodes[node].store.Now().UnixMilli() + 1}
	})
}

func (h *history) renew(client, node int, g queue.Grant) {
	h.do(client, deed{kind: "renew", token: g.Token}, func() outcome {
		r, err := h.nodes[node].Renew(context.Background(), h.name, g.Client, g.RenewalToken, 0)
		if err != nil {
			return outcome{word: "lost", asked: h.nodes[node].store.Now().UnixMilli() + 1}
		}
		return outcome{word: "renewed", end: r.End.UnixMilli()}
	})
}

// act is one random thing that a client does.
func (h *history) act(rnd *rand.Rand, client int) {
	ctx, node, other := context.Background(), rnd.IntN(len(h.nodes)), rnd.IntN(len(h.nodes))
	who := fmt.Sprintf("%d-%x", client, rnd.Uint32()) // another one each time, so that events tell of one request
	q := request(h.name, who, 20*time.Second, time.Duration(rnd.IntN(3))*150*time.Millisecond)
	q.ID = "r"
	pause := time.NewTimer(time.Duration(rnd.IntN(2000)) * time.Microsecond) // as long as a client works with its lock
	defer pause.Stop()
	switch n := rnd.IntN(20); {
	case n < 9: // hold, and give back
		if g := h.acquire(ctx, client, node, q); g.Token > 0 {
			<-pause.C
			if n == 0 {
				h.release(client, other, g, "somebody else")
			}
			if n == 1 {
				h.renew(client, other, g)
			}
			h.release(client, other, g, who)
		}
	case n < 13: // let a short lease run out, and come late
		q.Lease = 15 * time.Millisecond
		if g := h.acquire(ctx, client, node, q); g.Token > 0 {
			over := time.NewTimer(g.TTL + 5*time.Millisecond)
			<-over.C
			h.release(client, other, g, who)
		}
	case n < 16: // go away
		ctx, cancel := context.WithTimeout(ctx, time.Duration(rnd.IntN(4000))*time.Microsecond)
		defer cancel()
		q.Wait = 300 * time.Millisecond
		if g := h.acquire(ctx, client, node, q); g.Token > 0 {
			h.release(client, other, g, who)
		}
	default: // ask twice
		h.twice(client, node, other, q)
	}
}

// twice asks with the same request id on two nodes, or twice on one, and then gives back what it got.
func (h *history) twice(client, node, other int, q *queue.Request) {
	q.Known = true
	again := *q
	var got [2]queue.Grant
	var wg sync.WaitGroup
	wg.Go(func() { got[0] = h.acquire(context.Background(), client, node, q) })
	wg.Go(func() { got[1] = h.acquire(context.Background(), client+100, other, &again) })
	wg.Wait()
	if got[0].Token > 0 && got[1].Token > 0 && (got[0].Token != got[1].Token || got[0].LockID != got[1].LockID || got[0].RenewalToken != got[1].RenewalToken) {
		h.fault("the same request has two grants: %d and %d", got[0].Token, got[1].Token)
	}
	for i, g := range got {
		if g.Token > 0 && (i == 0 || g.Token != got[0].Token) {
			h.release(client, other, g, g.Client)
		}
	}
}

// record has some clients do random things, and at the end the lock must be free.
func record(nodes []*member, seed uint64) *history {
	h := &history{name: fmt.Sprint("history-", seed), begin: time.Now(), nodes: nodes}
	var wg sync.WaitGroup
	for client := range 4 {
		rnd := rand.New(rand.NewPCG(seed, uint64(client)))
		wg.Go(func() {
			for range 4 {
				h.act(rnd, client)
			}
		})
	}
	wg.Wait()
	last := request(h.name, "last", 20*time.Second, 3*time.Second)
	g, _, err := nodes[0].Acquire(context.Background(), last)
	if err != nil {
		h.fault("the lock is left held: %v", err)
		return h
	}
	h.grants = append(h.grants, g)
	if _, err := nodes[0].Release(context.Background(), h.name, "last", g.LockID); err != nil {
		h.fault("the last release: %v", err)
	}
	return h
}

// story is what happened, a line for each call, in the order of their ends.
func (h *history) story() string {
	slices.SortFunc(h.ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	s := ""
	for _, o := range h.ops {
		s += fmt.Sprintf("%10s %10s client %3d: %+v -> %+v\n", time.Duration(o.Call), time.Duration(o.Return), o.ClientId, o.Input, o.Output)
	}
	return s
}

// check holds a history against the model and the oracles, and tells what is wrong with it. ticket is where a
// client's request entered the line.
func (h *history) check(ticket func(name, client string) int64) map[string]string {
	wrong := map[string]string{}
	if len(h.faults) > 0 {
		wrong["faults"] = fmt.Sprint(h.faults)
	}
	if res := porcupine.CheckOperationsTimeout(lockModel, h.ops, 20*time.Second); res != porcupine.Ok {
		wrong["model"] = string(res) + "\n" + h.story()
	}
	byToken := map[int64]queue.Grant{}
	for _, g := range h.grants {
		if before, there := byToken[g.Token]; there && before.LockID != g.LockID {
			wrong["tokens"] = fmt.Sprintf("token %d was given twice", g.Token)
		}
		byToken[g.Token] = g
	}
	grants := slices.SortedFunc(maps.Values(byToken), func(a, b queue.Grant) int { return a.Since.Compare(b.Since) })
	for i := 1; i < len(grants); i++ {
		if grants[i].Token <= grants[i-1].Token {
			wrong["tokens"] = fmt.Sprintf("token %d after %d", grants[i].Token, grants[i-1].Token)
		}
	}
	enter := func(g queue.Grant) int64 { // one granted at once came when it was granted
		return cmp.Or(ticket(h.name, g.Client), g.Token)
	}
	slices.SortFunc(grants, func(a, b queue.Grant) int { return cmp.Compare(enter(a), enter(b)) })
	for i := 1; i < len(grants); i++ {
		if a, b := grants[i-1], grants[i]; b.Token < a.Token {
			wrong["order"] = fmt.Sprintf("%s came %d, after %s at %d, and was granted %d, before %d", b.Client, enter(b), a.Client,
				enter(a), b.Token, a.Token)
		}
	}
	return wrong
}

// campaign records and checks histories, some at once, until there are so many or enough of them are wrong.
func campaign(t *testing.T, f *fleet, nodes []*member, from, count, enough int) (done int, wrong map[string]int, first map[string]string) {
	t.Helper()
	spy := f.spy()
	wrong, first = map[string]int{}, map[string]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	seeds := make(chan uint64)
	for range 12 {
		wg.Go(func() {
			for seed := range seeds {
				h := record(nodes, seed)
				spy.sync()
				verdict := h.check(spy.ticket)
				mu.Lock()
				done++
				for what, why := range verdict {
					if wrong[what]++; first[what] == "" {
						first[what] = h.name + ": " + why
					}
				}
				mu.Unlock()
			}
		})
	}
	for seed := from; seed < from+count; seed++ {
		mu.Lock()
		stop := len(wrong) >= enough
		mu.Unlock()
		if stop {
			break
		}
		seeds <- uint64(seed)
	}
	close(seeds)
	wg.Wait()
	return done, wrong, first
}

// TestHistories records what clients of two nodes see, and finds nothing wrong with it.
func TestHistories(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	begin := time.Now()
	done, wrong, first := campaign(t, f, []*member{f.node(loud), f.node(loud)}, 0, *histories, 1)
	t.Logf("%d histories in %s", done, time.Since(begin))
	if len(wrong) > 0 {
		t.Errorf("wrong: %v\n%s", wrong, first)
	}
}
