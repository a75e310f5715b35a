package transport

import (
	"errors"
	"net/http"
	"strconv"
)

// The values of headers that never change are shared: net/http only reads them.
var (
	typeJSON    = []string{"application/json"}
	typeProblem = []string{"application/problem+json"}
	typeText    = []string{"text/plain; version=0.0.4; charset=utf-8"}
	typeDot     = []string{"text/vnd.graphviz; charset=utf-8"}
	noStore     = []string{"no-store"}
)

// reply writes c.out as the answer, in one piece and with its length, so that it leaves in one packet.
func (c *call) reply(status int, contentType []string) error {
	c.status = status
	h := c.w.Header()
	values := [...]string{c.id, strconv.Itoa(len(c.out))}
	h["X-Request-Id"] = values[0:1:1]
	h["Content-Length"] = values[1:2:2]
	h["Content-Type"] = contentType
	if !c.route.body {
		h["Cache-Control"] = noStore
	}
	c.w.WriteHeader(status)
	_, err := c.w.Write(c.out)
	return err
}

// ok answers 200 with what is in c.out. A failed write needs no care: nothing hangs on the answer.
func (c *call) ok(contentType []string) error {
	_ = c.reply(http.StatusOK, contentType)
	return nil
}

// deliver answers 200 and reports whether the answer left for the client.
func (c *call) deliver() error {
	if err := c.reply(http.StatusOK, typeJSON); err != nil {
		return err
	}
	if err := http.NewResponseController(c.w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
