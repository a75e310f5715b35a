package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// heldLocks is how many locks there are to queue for. They are many, so that hardly any two wait for the same.
const heldLocks = 500

// queuersAtOnce is how many connections the requests come over.
const queuersAtOnce = 4

// queuedFor is how long a request waits before it is cancelled: longer than it takes to be looked at.
const queuedFor = 60 * time.Millisecond

// fill takes locks and has so many wait for each, all of them different owners, and takes those to queue for.
func (s *side) fill(standing *crowd, locks, perLock int) error {
	sockets, err := standing.sockets(queuersAtOnce, s.node.addr)
	if err != nil {
		return err
	}
	names := locksOf(locks)
	s.held = locksOf(heldLocks)
	taken := slices.Concat(names, s.held)
	err = inParallel(len(sockets), func(i int) error {
		var mine []string
		for k := i; k < len(taken); k += len(sockets) {
			mine = append(mine, taken[k])
		}
		err := sockets[i].askAll(mine, "holder", 0, "granted")
		for k := range perLock {
			mine = slices.DeleteFunc(mine, func(name string) bool { return slices.Contains(s.held, name) })
			if err == nil {
				err = sockets[i].askAll(mine, "waiter-"+strconv.Itoa(k), 7200, "queued")
			}
		}
		return err
	})
	if err == nil {
		listen(sockets)
	}
	return err
}

// askAll asks for locks, and reads an answer of that type to each. The owners are called after their locks.
func (s *socket) askAll(locks []string, owner string, wait int, answer string) error {
	const ahead = 50
	for some := range slices.Chunk(locks, ahead) {
		for _, lock := range some {
			s.put(opText, fmt.Appendf(nil, `{"type":"acquire","id":"%[1]s of %[2]s","lockName":"%[2]s","clientId":"%[1]s of %[2]s","timeout":7200,"waitTimeout":%[3]d}`,
				owner, lock, wait))
		}
		for range some {
			b, err := s.next()
			if err != nil {
				return err
			}
			if string(frameType(b)) != answer {
				return fmt.Errorf("%w: %s", errAnswer, b)
			}
		}
	}
	return nil
}

// queueing has requests queue for locks that are held and stay so, at a rate, or as many as can with so many under way
// at once. The acquires of the outcome end with the answer that the request is in line.
func (b *bench) queueing(ctx context.Context, s *side, requests, rate, ahead int) (*coldRound, error) {
	crowd := newCrowd(ctx)
	defer crowd.hangUp()
	sockets, err := crowd.sockets(queuersAtOnce, s.node.addr)
	if err != nil {
		return nil, err
	}
	queuers := make([]*queuer, len(sockets))
	for i, c := range sockets {
		q := &queuer{in: c, out: socket{Conn: c.Conn}, number: i, ahead: ahead / len(sockets), held: s.held}
		q.asked = make([]atomic.Int64, requests/len(sockets))
		q.stood = make([]atomic.Int64, len(q.asked))
		if rate > 0 {
			q.every = time.Second * time.Duration(len(sockets)) / time.Duration(rate)
		}
		queuers[i] = q
	}
	return measured(ctx, s.store, s.node.pid(), func() (*outcome, error) {
		o := &outcome{}
		begin := time.Now()
		err := inParallel(len(queuers), func(i int) error { return queuers[i].run(ctx) })
		o.took = time.Since(begin)
		for _, q := range queuers {
			o.cycles += len(q.asked)
			o.acquires = append(o.acquires, q.took...)
		}
		slices.Sort(o.acquires)
		return o, err
	})
}

// queuer has requests queue over one connection, and cancels each when it has waited.
type queuer struct {
	in     *socket
	out    socket // the same connection, for the goroutine that writes
	number int
	held   []string
	every  time.Duration // 0: at once
	ahead  int           // how many may be under way

	asked, stood []atomic.Int64 // when each request was sent, and when it was in line
	took         []time.Duration
	ended        atomic.Int64
}

func (q *queuer) run(ctx context.Context) error {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	read := make(chan error, 1)
	go func() {
		defer stop()
		read <- q.read()
	}()
	if err := q.write(reading); err != nil {
		_ = q.in.Close()
		return errors.Join(err, <-read)
	}
	return <-read
}

// write sends what is due, again and again, until all has been sent or nobody reads any more.
func (q *queuer) write(ctx context.Context) error {
	begin := time.Now()
	for asked, cancelled := 0, 0; cancelled < len(q.asked) && ctx.Err() == nil; pause(ctx, time.Millisecond) {
		for asked < len(q.asked) && time.Since(begin) >= q.every*time.Duration(asked) && asked-int(q.ended.Load()) < q.ahead {
			q.ask(asked)
			asked++
		}
		for cancelled < asked {
			stood := q.stood[cancelled].Load()
			if stood == 0 || time.Since(time.Unix(0, stood)) < queuedFor {
				break
			}
			q.out.put(opText, fmt.Appendf(nil, `{"type":"cancel","id":"c","target":"%d"}`, cancelled))
			cancelled++
		}
		if err := q.out.flush(); err != nil {
			return err
		}
	}
	return nil
}

func (q *queuer) ask(i int) {
	lock := q.held[(q.number+i*queuersAtOnce)%len(q.held)]
	q.asked[i].Store(time.Now().UnixNano())
	q.out.put(opText, fmt.Appendf(nil, `{"type":"acquire","id":"%d","lockName":"%s","clientId":"queuer-%d-%d","timeout":30,"waitTimeout":60}`, i, lock, q.number, i))
}

var cancelledCode = []byte(`"code":"cancelled"`)

// read reads the answers until all requests have ended.
func (q *queuer) read() error {
	for int(q.ended.Load()) < len(q.asked) {
		b, err := q.in.next()
		if err != nil {
			return err
		}
		kind := string(frameType(b))
		switch {
		case kind == "queued":
			i, err := strconv.Atoi(string(member(b, "id")))
			if err != nil || i >= len(q.asked) {
				return fmt.Errorf("%w: %s", errAnswer, b)
			}
			now := time.Now().UnixNano()
			q.took = append(q.took, time.Duration(now-q.asked[i].Load()))
			q.stood[i].Store(now)
		case kind == "error" && bytes.Contains(b, cancelledCode):
			q.ended.Add(1)
		case kind != "cancelled" && kind != "position":
			return fmt.Errorf("%w: %s", errAnswer, b)
		}
	}
	return nil
}
