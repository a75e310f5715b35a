package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
)

// The kinds of WebSocket frames that this client knows, RFC 6455, 5.2. All are sent whole.
const (
	opText  = 0x81
	opClose = 0x88
	opPing  = 0x89
	opPong  = 0x8a
)

// socket speaks WebSocket by hand, so that little of the time measured is the client's own. It is used by one goroutine.
type socket struct {
	net.Conn
	r      *bufio.Reader
	client string
	out    []byte
	read   int // of the last frame, not yet taken off r
}

func dialSocket(ctx context.Context, addr, client string) (*socket, error) {
	c, err := dial(ctx, addr, client)
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: c.Conn, r: c.r, client: client}
	unhook := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer unhook()
	if err := s.shake(addr); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return s, nil
}

// shake does the handshake. That the answer's key fits ours proves nothing here, so it is not looked at.
func (s *socket) shake(host string) error {
	_, err := s.Write([]byte("GET /ws HTTP/1.1\r\nHost: " + host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: distributed-lock.v1\r\n\r\n"))
	for first := true; err == nil; first = false {
		var line []byte
		line, err = s.r.ReadSlice('\n')
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case err != nil:
		case first && !bytes.HasPrefix(line, []byte("HTTP/1.1 101 ")):
			return fmt.Errorf("%w: %s", errAnswer, line)
		case len(line) == 0:
			return nil
		}
	}
	return err
}

// put adds a frame to what the next flush sends. The mask, which is there to protect proxies, is zero: what is masked
// with it stays as it is, which costs the server as much as any other and us nothing.
func (s *socket) put(op byte, payload []byte) {
	const masked = 0x80
	if n := len(payload); n < 126 {
		s.out = append(s.out, op, masked|byte(n))
	} else {
		s.out = binary.BigEndian.AppendUint16(append(s.out, op, masked|126), uint16(n)) //nolint:gosec // frames here are short
	}
	s.out = append(append(s.out, 0, 0, 0, 0), payload...)
}

func (s *socket) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	_, err := s.Write(s.out)
	s.out = s.out[:0]
	return err
}

var errClosed = errors.New("the server closed the connection")

// next returns the next text frame, which is good until the call after. Before it waits it sends what was put. Pings
// are answered.
func (s *socket) next() ([]byte, error) {
	for {
		op, payload, err := s.frame()
		if err != nil {
			return nil, err
		}
		switch op {
		case opText:
			return payload, nil
		case opPing:
			s.put(opPong, payload)
		case opClose:
			if len(payload) < 2 {
				return nil, errClosed
			}
			return nil, fmt.Errorf("%w: %d %s", errClosed, binary.BigEndian.Uint16(payload), payload[2:])
		default:
			return nil, errAnswer
		}
	}
}

func (s *socket) frame() (op byte, payload []byte, err error) {
	_, _ = s.r.Discard(s.read) // it is there
	s.read = 0
	if s.r.Buffered() == 0 {
		if err := s.flush(); err != nil {
			return 0, nil, err
		}
	}
	head, err := s.r.Peek(2)
	if err != nil {
		return 0, nil, err
	}
	op = head[0]
	from, n := 2, int(head[1])
	switch {
	case n > 126: // masked, or longer than anything that is asked for here
		return 0, nil, errAnswer
	case n == 126:
		if head, err = s.r.Peek(4); err != nil {
			return 0, nil, err
		}
		from, n = 4, int(binary.BigEndian.Uint16(head[2:]))
	}
	all, err := s.r.Peek(from + n)
	s.read = len(all)
	return op, all[min(from, len(all)):], err
}

// call sends a frame and reads until there is one of a type.
func (s *socket) call(frame, answer string) error {
	s.put(opText, []byte(frame))
	for {
		b, err := s.next()
		if err != nil {
			return err
		}
		switch kind := string(frameType(b)); kind {
		case answer:
			return nil
		case "error":
			return fmt.Errorf("%s is answered with %s", frame, b)
		}
	}
}

// frameType is what a frame of the service begins with.
func frameType(frame []byte) []byte {
	rest, _ := bytes.CutPrefix(frame, []byte(`{"type":"`))
	kind, _, _ := bytes.Cut(rest, []byte{'"'})
	return kind
}

// sockets makes n more WebSocket connections.
func (c *crowd) sockets(n int, addrs ...string) ([]*socket, error) {
	return more(c, n, addrs, dialSocket)
}
