package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
)

// deleteIfMine is how the release of a lock in Redis's documentation goes, and that of libraries straight on Redis:
// https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/
const deleteIfMine = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end`

// setWire is the other yardstick: clients straight on Redis, with SET NX PX and the script above, in RESP by hand. Such a
// lock has no line, no token and no events, and nobody is told of it.
type setWire struct {
	net.Conn
	r    *bufio.Reader
	sha  string
	out  []byte
	sent []reply // what the answers to come are about, in order
}

func dialSet(ctx context.Context, addr, sha string) (*setWire, error) {
	c, err := dial(ctx, addr, "")
	if err != nil {
		return nil, err
	}
	return &setWire{Conn: c.Conn, r: c.r, sha: sha}, nil
}

// setWires loads the script and makes n connections.
func (c *crowd) setWires(s *store, n int) ([]*setWire, error) {
	sha, err := s.client.Do(c.ctx, s.client.B().ScriptLoad().Script(deleteIfMine).Build()).ToString()
	if err != nil {
		return nil, err
	}
	return more(c, n, []string{s.addr}, func(ctx context.Context, addr, _ string) (*setWire, error) { return dialSet(ctx, addr, sha) })
}

func (w *setWire) command(args ...string) {
	w.out = append(strconv.AppendInt(append(w.out, '*'), int64(len(args)), 10), "\r\n"...)
	for _, a := range args {
		w.out = append(strconv.AppendInt(append(w.out, '$'), int64(len(a)), 10), "\r\n"...)
		w.out = append(append(w.out, a...), "\r\n"...)
	}
}

// acquire sets a value as long as those that libraries make up.
func (w *setWire) acquire(client int, lock string) {
	value := fmt.Sprintf("%022d", client)
	w.command("SET", "setnx:"+lock, value, "NX", "PX", "300000")
	w.sent = append(w.sent, reply{client: client, granted: true, id: []byte(value)})
}

func (w *setWire) release(client int, lock string, id []byte) {
	w.command("EVALSHA", w.sha, "1", "setnx:"+lock, string(id))
	w.sent = append(w.sent, reply{client: client})
}

var errNotMine = errors.New("the lock was another's")

func (w *setWire) next() (reply, error) {
	if w.r.Buffered() == 0 && len(w.out) > 0 {
		_, err := w.Write(w.out)
		if w.out = w.out[:0]; err != nil {
			return reply{}, err
		}
	}
	line, err := w.r.ReadSlice('\n')
	if err != nil {
		return reply{}, err
	}
	a := w.sent[0]
	w.sent = w.sent[1:]
	want := ":1"
	if a.granted {
		want = "+OK"
	}
	if line = bytes.TrimRight(line, "\r\n"); string(line) != want {
		return reply{}, fmt.Errorf("%w: %s", errNotMine, line)
	}
	return a, nil
}
