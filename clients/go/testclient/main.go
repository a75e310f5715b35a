// Command testclient does with the Go SDK what the conformance runner asks for, in lines of JSON on its stdin. The
// protocol is in clients/conformance/README.md.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	dl "distributedlock/clients/go"
)

// A request is a line of the runner's.
type request struct {
	ID   int    `json:"id"`
	Op   string `json:"op"`
	Args args   `json:"args"`
}

// args are all arguments that there are, of all ops.
type args struct {
	URLs, Locks, Events                                                           []string
	ClientID, Token, Name, Owner, RequestID, LockID, RenewalToken, Prefix, Reason string
	WebSocket                                                                     *bool
	TTLMs, HoldMs, MaxHoldMs                                                      millis
	WaitMs                                                                        *millis
	AutoRenew, Shared                                                             bool
	Metadata                                                                      object
	Limit, Target, OwnerOf                                                        int
}

type object = map[string]any

var errCancelled = errors.New("cancelled by the runner")

// program is the one client of this process, with its locks and what can be cancelled, by the ids of their requests.
type program struct {
	start time.Time
	out   sync.Mutex

	mu      sync.Mutex
	client  *dl.Client
	locks   map[int]*dl.Lock
	cancels map[int]context.CancelCauseFunc
}

func main() {
	p := &program{start: time.Now(), locks: map[int]*dl.Lock{}, cancels: map[int]context.CancelCauseFunc{}}
	p.push("ready", 0, object{"lang": "go"})
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var q request
		if err := json.Unmarshal(in.Bytes(), &q); err != nil {
			panic(err)
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		p.mu.Lock()
		p.cancels[q.ID] = cancel
		p.mu.Unlock()
		if q.Op == "leaks" { // not beside itself
			p.answer(ctx, &q)
			continue
		}
		go p.answer(ctx, &q)
	}
}

// write sends a line, with the time of its sending.
func (p *program) write(o object) {
	p.out.Lock()
	defer p.out.Unlock()
	o["at"] = ms(time.Since(p.start))
	line, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.Write(append(line, '\n')) // where nobody listens, stdin ends as well
}

func (p *program) push(event string, of int, more object) {
	o := object{"event": event, "of": of}
	maps.Copy(o, more)
	p.write(o)
}

func (p *program) answer(ctx context.Context, q *request) {
	ok, err := p.do(ctx, q)
	if q.Op != "subscribe" {
		p.mu.Lock()
		p.cancels[q.ID](nil)
		delete(p.cancels, q.ID)
		p.mu.Unlock()
	}
	switch {
	case err != nil:
		p.write(object{"id": q.ID, "error": failure(err)})
	case ok == nil:
		p.write(object{"id": q.ID, "ok": object{}})
	default:
		p.write(object{"id": q.ID, "ok": ok})
	}
}

func (p *program) do(ctx context.Context, q *request) (object, error) {
	a := &q.Args
	p.mu.Lock()
	c, lock, cancel := p.client, p.locks[a.Target], p.cancels[a.Target]
	p.mu.Unlock()
	switch q.Op {
	case "open":
		return p.open(a), nil
	case "close":
		return nil, c.Close()
	case "leaks":
		return object{"tasks": runtime.NumGoroutine()}, nil
	case "acquire", "try":
		return p.acquire(ctx, c, q)
	case "do":
		return p.block(ctx, c, q)
	case "release":
		return nil, lock.Release()
	case "renew":
		err := lock.Renew(ctx, a.TTLMs.duration())
		return object{"leftMs": left(lock)}, err
	case "check":
		return object{"held": lock.Err() == nil, "leftMs": left(lock)}, lock.Err()
	case "cancel":
		if cancel != nil {
			cancel(errCancelled)
		}
		return nil, nil
	case "subscribe":
		go p.listen(ctx, c, q)
		return nil, nil
	}
	return plain(ctx, c, q)
}

// plain are the calls without a lock of this process.
func plain(ctx context.Context, c *dl.Client, q *request) (object, error) {
	a := &q.Args
	switch q.Op {
	case "releaseById":
		held, err := c.Release(ctx, a.Name, a.LockID)
		return object{"heldForMs": ms(held)}, err
	case "renewByToken":
		r, err := c.Renew(ctx, a.Name, a.RenewalToken, a.TTLMs.duration())
		return object{"fencingToken": r.FencingToken, "ttlMs": ms(r.TTL)}, err
	case "status":
		s, err := c.Status(ctx, a.Name)
		return asObject(s), err
	case "list":
		names := []string{}
		for s, err := range c.List(ctx, a.Prefix) {
			if err != nil {
				return nil, err
			}
			names = append(names, s.LockName)
		}
		slices.Sort(names)
		return object{"names": names}, nil
	case "force":
		holders, err := c.ForceRelease(ctx, a.Name, a.Reason)
		return object{"holders": holders}, err
	}
	return nil, errors.New("there is no op " + q.Op)
}

func (p *program) open(a *args) object {
	opts := []dl.ClientOption{dl.WithEndpoints(a.URLs[1:]...), dl.WithClientID(a.ClientID), dl.WithToken(a.Token)}
	if a.WebSocket != nil && !*a.WebSocket {
		opts = append(opts, dl.WithoutWebSocket())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client = dl.NewDistributedLockClient(a.URLs[0], opts...)
	return object{"clientId": p.client.ClientID()}
}

// acquire answers with the grant, and tells later of its loss.
func (p *program) acquire(ctx context.Context, c *dl.Client, q *request) (object, error) {
	ctx, stop := p.inside(ctx, q.Args.OwnerOf)
	defer stop()
	get := c.AcquireContext
	if q.Op == "try" {
		get = c.TryAcquire
	}
	l, err := get(ctx, q.Args.Name, q.Args.TTLMs.duration(), p.options(q)...)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.locks[q.ID] = l
	p.mu.Unlock()
	context.AfterFunc(l.Context(), func() {
		if cause := context.Cause(l.Context()); errors.Is(cause, dl.ErrLockLost) {
			p.push("lost", q.ID, failure(cause))
		}
	})
	return object{
		"lockId": l.ID, "name": l.Name, "clientId": l.ClientID, "ownerId": l.OwnerID, "requestId": l.RequestID,
		"renewalToken": l.RenewalToken, "fencingToken": l.FencingToken, "waitedMs": ms(l.Waited), "autoRenew": l.AutoRenew,
		"metadata": l.Metadata, "leftMs": left(l), "endsAt": ms(l.ExpiresAt().Sub(p.start)),
	}, nil
}

// inside gives ctx the owner of a lock: what it acquires is acquired inside of that lock.
func (p *program) inside(ctx context.Context, id int) (context.Context, func()) {
	p.mu.Lock()
	outer := p.locks[id]
	p.mu.Unlock()
	if outer == nil {
		return ctx, func() {}
	}
	inner, cancel := context.WithCancelCause(outer.Context())
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return inner, func() { stop(); cancel(nil) }
}

func (p *program) options(q *request) []dl.Option {
	a := &q.Args
	opts := []dl.Option{dl.OnQueued(func(at dl.Place) {
		p.push("queued", q.ID, object{"position": at.Position, "holders": len(at.Holders)})
	})}
	add := func(given bool, o dl.Option) {
		if given {
			opts = append(opts, o)
		}
	}
	if a.WaitMs != nil {
		opts = append(opts, dl.WithWait(a.WaitMs.duration()))
	}
	add(a.AutoRenew, dl.WithAutoRenew())
	add(a.MaxHoldMs > 0, dl.WithMaxHold(a.MaxHoldMs.duration()))
	add(a.Metadata != nil, dl.WithMetadata(a.Metadata))
	add(a.Shared, dl.WithShared())
	add(a.Limit > 0, dl.WithLimit(a.Limit))
	add(a.Owner != "", dl.WithOwner(a.Owner))
	add(a.RequestID != "", dl.WithRequestID(a.RequestID))
	add(q.Op == "do" && a.TTLMs > 0, dl.WithTTL(a.TTLMs.duration()))
	return opts
}

// block runs the SDK's block for holdMs, or until it is told to stop. Do keeps its lock to itself: no token is told.
func (p *program) block(ctx context.Context, c *dl.Client, q *request) (object, error) {
	finished := false
	err := c.Do(ctx, q.Args.Name, func(ctx context.Context) error {
		p.push("entered", q.ID, nil)
		defer p.push("left", q.ID, nil)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(q.Args.HoldMs.duration()):
			finished = true
			return nil
		}
	}, p.options(q)...)
	return object{"finished": finished}, err
}

func (p *program) listen(ctx context.Context, c *dl.Client, q *request) {
	for e, err := range c.Subscribe(ctx, dl.Subscription{Locks: q.Args.Locks, Events: q.Args.Events}) {
		if err != nil {
			p.push("ended", q.ID, failure(err))
			return
		}
		o := asObject(e)
		o["kind"] = e.Kind
		delete(o, "event")
		p.push("event", q.ID, o)
	}
	p.push("ended", q.ID, nil)
}
