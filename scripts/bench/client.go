package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// conn speaks HTTP/1.1 by hand on one kept-alive connection, so that little of the time measured is the client's own.
type conn struct {
	net.Conn
	r      *bufio.Reader
	client string
	out    []byte
	in     []byte
}

func dial(ctx context.Context, addr, client string) (*conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, r: bufio.NewReaderSize(c, 2048), client: client}, nil
}

// crowd is connections that are closed together: by hangUp, or by the end of the context, which is what ends calls
// under way. A server closes a new connection that asks for nothing within some seconds, so dial when there is something
// to ask.
type crowd struct {
	ctx    context.Context
	unhook func() bool

	mu     sync.Mutex
	all    []io.Closer
	closed bool
}

func newCrowd(ctx context.Context) *crowd {
	c := &crowd{ctx: ctx}
	c.unhook = context.AfterFunc(ctx, c.close)
	return c
}

func (c *crowd) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, one := range c.all {
		_ = one.Close()
	}
}

func (c *crowd) hangUp() {
	c.unhook()
	c.close()
}

// dial makes n more connections, spread over the addresses.
func (c *crowd) dial(n int, addrs ...string) ([]*conn, error) { return more(c, n, addrs, dial) }

// more adds n connections to a crowd.
func more[C io.Closer](c *crowd, n int, addrs []string, dial func(ctx context.Context, addr, client string) (C, error)) (conns []C, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range n {
		i := len(c.all)
		one, err := dial(c.ctx, addrs[i%len(addrs)], "client-"+strconv.Itoa(i))
		if err != nil {
			return nil, fmt.Errorf("connection %d: %w", i+1, err)
		}
		c.all, conns = append(c.all, one), append(conns, one)
		if c.closed {
			_ = one.Close()
		}
	}
	return conns, nil
}

// dialAll makes n connections, spread over the addresses, and a function that closes them.
func dialAll(ctx context.Context, n int, addrs ...string) ([]*conn, func(), error) {
	c := newCrowd(ctx)
	conns, err := c.dial(n, addrs...)
	if err != nil {
		c.hangUp()
		return nil, nil, err
	}
	return conns, c.hangUp, nil
}

// grant is what some scenarios read of an acquire's answer.
type grant struct {
	LockID       string    `json:"lockId"`
	FencingToken int64     `json:"fencingToken"`
	ExpiresAt    time.Time `json:"expiresAt"`
}

// ask sends an acquire without reading its answer.
func (c *conn) ask(lock string, lease, wait float64) error {
	return c.send(lock, "/acquire", `{"clientId":"`+c.client+`","timeout":`+seconds(lease)+`,"waitTimeout":`+seconds(wait)+`}`)
}

func seconds(s float64) string { return strconv.FormatFloat(s, 'f', -1, 64) }

// acquire takes a lock and returns its lockId.
func (c *conn) acquire(lock string, lease, wait float64) (lockID string, err error) {
	if err := c.ask(lock, lease, wait); err != nil {
		return "", err
	}
	return c.taken()
}

// taken reads the lockId of an acquire's answer.
func (c *conn) taken() (string, error) {
	body, err := c.receive()
	if err != nil {
		return "", err
	}
	_, rest, ok := bytes.Cut(body, []byte(`"lockId":"`))
	id, _, closed := bytes.Cut(rest, []byte{'"'})
	if !ok || !closed || len(id) == 0 {
		return "", fmt.Errorf("no lockId in %s", body)
	}
	return string(id), nil
}

// granted reads an acquire's answer whole.
func (c *conn) granted() (g grant, err error) {
	body, err := c.receive()
	if err != nil {
		return g, err
	}
	err = json.Unmarshal(body, &g)
	return g, err
}

func (c *conn) release(lock, lockID string) error {
	if err := c.send(lock, "/release", `{"clientId":"`+c.client+`","lockId":"`+lockID+`"}`); err != nil {
		return err
	}
	_, err := c.receive()
	return err
}

func (c *conn) send(lock, call, body string) error {
	b := c.out[:0]
	b = append(append(append(b, "POST /locks/"...), lock...), call...)
	b = append(b, " HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(append(b, "\r\n\r\n"...), body...)
	c.out = b
	_, err := c.Write(b)
	return err
}

var errAnswer = errors.New("not an answer that this client understands")

// receive reads an answer's body, which is good until the next call. Any status but 200 is an error.
func (c *conn) receive() ([]byte, error) {
	status, length := 0, -1
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if status == 0 {
			if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
				return nil, errAnswer
			}
			status, _ = strconv.Atoi(string(line[9:12]))
			continue
		}
		if name, value, ok := bytes.Cut(line, []byte{':'}); ok && bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return nil, errAnswer
			}
		}
	}
	if length < 0 {
		return nil, fmt.Errorf("%w: no Content-Length", errAnswer)
	}
	if cap(c.in) < length {
		c.in = make([]byte, 2*length)
	}
	c.in = c.in[:length]
	if _, err := io.ReadFull(c.r, c.in); err != nil {
		return nil, err
	}
	if status != 200 {
		return nil, fmt.Errorf("status %d: %s", status, c.in)
	}
	return c.in, nil
}
