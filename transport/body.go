package transport

import (
	"errors"
	"io"
	"os"
	"slices"
)

const maxBody = 64 << 10

// readBody reads the request's whole body, into a buffer that is used again. Only then does net/http notice that
// the client goes away.
func (c *call) readBody() error {
	if c.r.ContentLength > maxBody {
		return errTooLarge
	}
	buf := slices.Grow(c.body[:0], int(max(c.r.ContentLength, 0))+1)
	var err error
	for err == nil {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, 1)
		}
		var n int
		n, err = c.r.Body.Read(buf[len(buf):min(cap(buf), maxBody+1)])
		buf = buf[:len(buf)+n]
		if len(buf) > maxBody {
			c.body = buf
			return errTooLarge
		}
	}
	c.body = buf
	if !errors.Is(err, io.EOF) {
		return c.brokenBody(err)
	}
	c.readDone()
	return nil
}

func (c *call) brokenBody(err error) error {
	c.w.Header().Set("Connection", "close")
	detail := "could not be read to its end"
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		detail = "did not arrive within " + inSeconds(readTimeout)
	case errors.Is(err, io.ErrUnexpectedEOF):
		detail = "ended before its Content-Length"
	}
	c.faults.add("body", detail)
	return c.faults.err()
}

// headerKey is the Idempotency-Key, "" where there is none that could be a requestId.
func (c *call) headerKey() string {
	key := c.r.Header.Get(idempotencyKey)
	if textFault(key, maxText) != "" {
		return ""
	}
	return key
}

const idempotencyKey = "Idempotency-Key"
