package transport

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/julienschmidt/httprouter"
	"go.uber.org/zap"
)

// call is one request under way. It is used again for another once the answer is written: nothing that outlives the
// handler may point into its buffers.
type call struct {
	s     *server
	w     http.ResponseWriter
	r     *http.Request
	route *route
	began time.Time
	who   principal
	// id is the X-Request-Id; acquireID the acquire's own requestId, as far as it is known.
	id, acquireID string
	name          string
	// status is what was answered, 0 so far; cause is the error behind it, code the problem's.
	status int
	code   string
	cause  error
	faults faults
	body   []byte
	out    jsonWriter
}

// errGone ends a call whose client is not there to read an answer.
var errGone = errors.New("the client went away")

// statusGone is what metrics and logs call an answer that nobody was there to read.
const statusGone = 499

const maxPooled = 16 << 10

var calls = sync.Pool{New: func() any { return &call{body: make([]byte, 0, 1024), out: make(jsonWriter, 0, 1024)} }}

// serve runs a call from its first to its last step.
func (s *server) serve(rt *route, w http.ResponseWriter, r *http.Request, params httprouter.Params) {
	c, _ := calls.Get().(*call) // the pool holds nothing else
	*c = call{s: s, w: w, r: r, route: rt, began: time.Now(), body: c.body[:0], out: c.out[:0]}
	c.id = requestID(r.Header)
	defer c.end()
	if err := c.run(params); err != nil {
		c.fail(err)
	}
}

func (c *call) run(params httprouter.Params) error {
	if err := c.authorize(); err != nil {
		return err
	}
	if c.route.named {
		c.readName(params[0].Value)
		if !c.who.mayUse(c.name) {
			return errForbidden
		}
	}
	if !c.route.body {
		c.readDone()
		if err := c.faults.err(); err != nil {
			return err
		}
	}
	return c.route.handle(c)
}

func (c *call) readName(escaped string) {
	name, err := unescapeName(escaped)
	if err != nil {
		c.faults.add("lockName", "is not percent-encoded as it should be")
		return
	}
	if fault := nameFault(name); fault != "" {
		c.faults.add("lockName", fault)
		return
	}
	c.name = name
}

// readDone lifts the deadline for reading: from here on, net/http reads on only to notice that the client goes away,
// and would take a deadline for that.
func (c *call) readDone() { _ = http.NewResponseController(c.w).SetReadDeadline(time.Time{}) }

// end counts and logs the call, whatever became of it, and closes the connection where there is no answer to give.
func (c *call) end() {
	if p := recover(); p != nil {
		c.cause = errors.New("panic")
		c.s.log.Error("panic", zap.Any("panic", p), zap.String("xRequestId", c.id), zap.Stack("stack"))
		if c.status != 0 {
			panic(http.ErrAbortHandler)
		}
		c.fail(errInternal)
	}
	gone := c.status == statusGone
	c.observe()
	if cap(c.body) > maxPooled {
		c.body = make([]byte, 0, 1024)
	}
	if cap(c.out) > maxPooled {
		c.out = make(jsonWriter, 0, 1024)
	}
	*c = call{body: c.body, out: c.out}
	calls.Put(c)
	if gone {
		panic(http.ErrAbortHandler)
	}
}

const maxRequestID = 128

// requestID is the client's X-Request-Id where it is fit to be echoed and logged, otherwise a new one.
func requestID(h http.Header) string {
	if given := h["X-Request-Id"]; len(given) > 0 && visible(given[0]) && len(given[0]) <= maxRequestID {
		return given[0]
	}
	return newID()
}

// newID names a request in answers and logs. It is no secret.
func newID() string {
	b := make([]byte, 0, 26)
	b = strconv.AppendUint(b, rand.Uint64(), 36)
	return string(strconv.AppendUint(b, rand.Uint64(), 36))
}

func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}
