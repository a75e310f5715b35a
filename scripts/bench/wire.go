package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// wire is a connection that carries the calls of several clients at once. Calls go out when there is nothing left to
// read, so that many leave together.
type wire interface {
	acquire(client int, lock string)
	release(client int, lock string, id []byte)
	// next waits for the next answer.
	next() (reply, error)
	Close() error
}

// reply is an answer to a client's acquire, or else its release. The id is what the lock is released with, and good
// until the next answer.
type reply struct {
	client  int
	granted bool
	id      []byte
}

// player is what clients do: cycle after cycle, each with a lock.
type player interface {
	// next is the lock that a client asks for now; ok is false when it has had enough.
	next(client int) (lock string, ok bool)
	// took is told of the grant, before the release.
	took(client int) error
}

// play has clients of one connection play to the end.
func play(w wire, clients []int, p player) error {
	locks, busy := map[int]string{}, 0
	begin := func(client int) {
		if lock, ok := p.next(client); ok {
			busy++
			locks[client] = lock
			w.acquire(client, lock)
		}
	}
	for _, client := range clients {
		begin(client)
	}
	for busy > 0 {
		a, err := w.next()
		if err != nil {
			return err
		}
		if a.granted {
			if err := p.took(a.client); err != nil {
				return err
			}
			w.release(a.client, locks[a.client], a.id)
			continue
		}
		busy--
		begin(a.client)
	}
	return nil
}

// playAll spreads the clients over the connections. When one of these fails, the others are closed.
func playAll[W wire](wires []W, clients int, p player) error {
	var once sync.Once
	var first error
	_ = inParallel(len(wires), func(i int) error {
		var mine []int
		for c := i; c < clients; c += len(wires) {
			mine = append(mine, c)
		}
		err := play(wires[i], mine, p)
		if err != nil {
			once.Do(func() {
				first = err
				for _, w := range wires {
					_ = w.Close()
				}
			})
		}
		return err
	})
	return first
}

// ownPlayer takes a lock of its own each cycle.
type ownPlayer struct {
	left  atomic.Int64
	asked []time.Time
	waits [][]time.Duration
}

func (p *ownPlayer) next(client int) (string, bool) {
	if p.left.Add(-1) < 0 {
		return "", false
	}
	p.asked[client] = time.Now()
	return "bench:" + strconv.FormatInt(lockNumber.Add(1), 10), true
}

func (p *ownPlayer) took(client int) error {
	p.waits[client] = append(p.waits[client], time.Since(p.asked[client]))
	return nil
}

// ownLocksOver is ownLocks for connections that clients share.
func ownLocksOver[W wire](wires []W, clients, cycles int) (*outcome, error) {
	p := &ownPlayer{asked: make([]time.Time, clients), waits: make([][]time.Duration, clients)}
	p.left.Store(int64(cycles))
	for i := range p.waits {
		p.waits[i] = make([]time.Duration, 0, 2*cycles/clients)
	}
	o := &outcome{cycles: cycles}
	begin := time.Now()
	err := playAll(wires, clients, p)
	o.took = time.Since(begin)
	o.acquires = slices.Concat(p.waits...)
	slices.Sort(o.acquires)
	return o, err
}

// socketWire is clients over a WebSocket. A client's frames have its number for an id.
type socketWire struct {
	*socket
	scratch []byte
}

// wires makes n more WebSocket connections for clients to share.
func (c *crowd) wires(n int, addrs ...string) ([]*socketWire, error) {
	return more(c, n, addrs, func(ctx context.Context, addr, client string) (*socketWire, error) {
		s, err := dialSocket(ctx, addr, client)
		if err != nil {
			return nil, err
		}
		s.r = bufio.NewReaderSize(s.r, 32<<10) // for the answers to many clients in one read
		return &socketWire{socket: s}, nil
	})
}

func (w *socketWire) begin(kind string, client int, lock string) {
	b := append(append(w.scratch[:0], `{"type":"`...), kind...)
	b = strconv.AppendInt(append(b, `","id":"`...), int64(client), 10)
	b = append(append(b, `","lockName":"`...), lock...)
	w.scratch = strconv.AppendInt(append(b, `","clientId":"client-`...), int64(client), 10)
}

func (w *socketWire) acquire(client int, lock string) {
	w.begin("acquire", client, lock)
	w.scratch = append(w.scratch, `","timeout":300,"waitTimeout":300}`...)
	w.put(opText, w.scratch)
}

func (w *socketWire) release(client int, lock string, id []byte) {
	w.begin("release", client, lock)
	w.scratch = append(append(append(w.scratch, `","lockId":"`...), id...), `"}`...)
	w.put(opText, w.scratch)
}

func (w *socketWire) next() (reply, error) {
	for {
		b, err := w.socket.next()
		if err != nil {
			return reply{}, err
		}
		switch string(frameType(b)) {
		case "queued", "position":
			continue
		case "granted":
			id := member(b, "lockId")
			client, err := strconv.Atoi(string(member(b, "id")))
			if err != nil || len(id) == 0 {
				return reply{}, fmt.Errorf("%w: %s", errAnswer, b)
			}
			return reply{client: client, granted: true, id: id}, nil
		case "released":
			client, err := strconv.Atoi(string(member(b, "id")))
			return reply{client: client}, err
		default:
			return reply{}, fmt.Errorf("%w: %s", errAnswer, b)
		}
	}
}

// member is a string of a flat JSON object that has nothing escaped.
func member(b []byte, name string) []byte {
	_, rest, _ := bytes.Cut(b, []byte(`"`+name+`":"`))
	value, _, _ := bytes.Cut(rest, []byte{'"'})
	return value
}
