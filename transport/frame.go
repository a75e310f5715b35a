package transport

import (
	"net/http"
	"strings"

	"go.uber.org/zap"
)

// frameKind is a type of frame that clients send.
type frameKind struct {
	// route stands for the frame in problems: its pattern is the frame's type.
	route *route
	// named is whether the frame must have an id.
	named  bool
	handle func(*conn, *frame) error
}

// frameTable is what a client may send.
func frameTable() map[string]*frameKind {
	table := map[string]*frameKind{}
	for _, k := range []*frameKind{
		{route: &route{pattern: "hello"}, handle: (*conn).hello},
		{route: &route{pattern: "acquire", role: client, acquires: true}, named: true, handle: (*conn).acquire},
		{route: &route{pattern: "cancel", role: client}, named: true, handle: (*conn).cancel},
		{route: &route{pattern: "release", role: client}, named: true, handle: (*conn).release},
		{route: &route{pattern: "renew", role: client}, named: true, handle: (*conn).renew},
		{route: &route{pattern: "subscribe", role: reader}, named: true, handle: (*conn).subscribe},
		{route: &route{pattern: "unsubscribe", role: reader}, named: true, handle: (*conn).unsubscribe},
		{route: &route{pattern: "ping"}, handle: (*conn).ping},
	} {
		table[k.route.pattern] = k
	}
	return table
}

// frame is one frame of a client. It is used again for the next.
type frame struct {
	kind *frameKind
	body []byte
	// id is the client's name for the frame; name and requestID are told where it fails.
	id, name, requestID string
	faults              faults
}

// readHead reads what every frame has. The kind is nil where the type is none that there is.
func (f *frame) readHead(table map[string]*frameKind) {
	var kind, id value
	for m := (members{rest: f.body}); m.next(); {
		switch string(m.key) {
		case "type":
			kind = firstOf(kind, m.value)
		case "id":
			id = firstOf(id, m.value)
		}
	}
	f.readKind(kind, table)
	switch {
	case id != nil && id[0] != 'n':
		if fault := id.text(&f.id, maxText); fault != "" {
			f.faults.add("id", fault)
			f.id = ""
		}
	case f.kind != nil && f.kind.named:
		f.faults.add("id", "is required")
	}
}

// firstOf keeps the first of two members of one name; that there are two is found later.
func firstOf(before, now value) value {
	if before != nil {
		return before
	}
	return now
}

func (f *frame) readKind(v value, table map[string]*frameKind) {
	switch {
	case v == nil || v[0] == 'n':
		f.faults.add("type", "is required")
		return
	case v[0] != '"':
		f.faults.add("type", v.must("a string"))
		return
	}
	if f.kind = table[string(v[1:len(v)-1])]; f.kind != nil {
		return
	}
	if name, fault := v.unquote(); fault == "" {
		f.kind = table[name]
	}
	if f.kind == nil {
		f.faults.add("type", "must be hello, acquire, cancel, release, renew, subscribe, unsubscribe or ping")
	}
}

// handle does what a frame asks for.
func (c *conn) handle(body []byte) {
	if fault := bodyFault(body); fault != "" {
		c.close(closeBadFrame, "the frame "+fault, "bad frame")
		return
	}
	c.handling.Lock()
	defer c.handling.Unlock()
	if c.over {
		return
	}
	f := &c.in
	*f = frame{body: body, faults: f.faults[:0]}
	defer c.recovered(f)
	if err := c.dispatch(f); err != nil {
		c.fail(f.subject(c.s), err)
	}
	f.body = nil
}

func (c *conn) dispatch(f *frame) error {
	f.readHead(c.s.frames)
	switch {
	case f.kind == nil:
		return f.faults.err()
	case c.who.role < f.kind.route.role:
		return errForbidden
	}
	// An acquire asks for itself.
	if f.id != "" && !f.kind.route.acquires && c.session.Uses(f.id) {
		return f.inUse()
	}
	return f.kind.handle(c, f)
}

func (f *frame) inUse() error {
	f.faults.add("id", "is that of an acquire under way")
	return f.faults.err()
}

// recovered keeps a mistake of ours in one frame from ending the process.
func (c *conn) recovered(f *frame) {
	if p := recover(); p != nil {
		c.s.log.Error("panic", zap.Any("panic", p), zap.String("xRequestId", c.id), zap.Stack("stack"))
		c.fail(f.subject(c.s), errInternal)
	}
}

// subject is what a problem is about.
type subject struct {
	route *route
	// id is the frame's, name the lock's, and requestID the acquire's own; each may be unknown.
	id, name, requestID string
}

func (f *frame) subject(s *server) subject {
	about := subject{route: s.noFrame, id: f.id, name: f.name, requestID: f.requestID}
	if f.kind != nil {
		about.route = f.kind.route
	}
	return about
}

// fail answers a frame with an error.
func (c *conn) fail(about subject, err error) {
	tail := c.problem(about, err)
	defer tail.free()
	if w := c.out.answer("error", about.id); w != nil {
		*w = append(*w, tail.b...)
		c.out.send(nil)
	}
}

// problem is an error frame from its third member on, from the table that REST has too. It is made before the outbox is
// locked: were it to panic there, everybody with something to tell would hang.
func (c *conn) problem(about subject, err error) *buffer {
	p := problemOf(err)
	buf := newBuffer()
	k := &call{s: c.s, route: about.route, who: c.who, name: about.name, acquireID: about.requestID, out: append(buf.b, ',')}
	k.out = append(k.out, `"code":"`+p.code+`"`...)
	k.out.text("title", p.title)
	k.out.num("status", int64(p.status))
	k.out.text("detail", p.detail(k, err))
	if about.requestID != "" {
		k.out.text("requestId", about.requestID)
	}
	if p.extras != nil {
		p.extras(k, err)
	}
	if after := p.retryAfter(err); after != "" {
		k.out.raw("retryAfter", []byte(after))
	}
	buf.b = k.out
	if p.status >= http.StatusInternalServerError {
		c.log(zap.WarnLevel, "frame failed", zap.String("type", about.route.pattern), zap.String("lock", about.name),
			zap.String("code", p.code), zap.String("requestId", about.requestID), zap.Error(err))
	}
	return buf
}

// asText is a list of choices in words.
func asText(choices []string) string {
	last := len(choices) - 1
	return strings.Join(choices[:last], ", ") + " or " + choices[last]
}
