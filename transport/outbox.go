package transport

import (
	"encoding/binary"
	"sync"
	"time"

	"distributedlock/queue"
)

const (
	// lengthBytes stand before each frame in a buffer; carriesGrant marks the length of a frame that grants.
	lengthBytes  = 4
	carriesGrant = 1 << 31
	// slowAfter is how long a client may take nothing of what is more than the limit; manyEvents and manyAnswers are how
	// many times the limit may be queued for one that does take something.
	slowAfter   = time.Second
	manyEvents  = 4
	manyAnswers = 16
)

// frames are encoded frames, one behind the other, each behind its length.
type frames struct {
	buf *buffer
	// grants are the requests that the frames grant, in order.
	grants []*queue.Request
}

func (f *frames) size() int {
	if f.buf == nil {
		return 0
	}
	return len(f.buf.b)
}

// ending says how a connection ends.
type ending struct {
	// code and text are those of the close frame; code 0 is for none.
	code int
	text string
	// why is for the log.
	why string
	// dropped is whether frames that were not written yet are given up; cut whether nothing is written any more.
	dropped, cut bool
	// slow is whether the client did not read fast enough; superseded whether its session goes on elsewhere.
	slow, superseded bool
}

// outbox is what a connection's client is to be told. Whoever has something to tell encodes it right here and never
// waits; one goroutine takes it all and writes it. It is bounded: a client too slow for it is cut off.
type outbox struct {
	limit int
	// wake has room for one: the writer takes all there is.
	wake chan struct{}
	// net is hurried when the bound is passed.
	net *gathered

	mu sync.Mutex
	// room is told when the writer has made some, and at the end.
	room sync.Cond
	// size is what is queued, held or taken, and not yet written; extra, what a resumed session was told at once, until
	// that is written; moved is when something last was.
	size   int
	extra  int
	moved  time.Time
	queued frames
	// held is what waits behind a welcome while holding.
	held    frames
	holding bool
	// into and start are the frame that is being encoded; events is whether it is an event.
	into   *frames
	start  int
	events bool
	// pong, where pinged, is what the client's last ping is answered with.
	pong   string
	pinged bool
	// ending is set once, but for a cut, which may follow any other.
	ending *ending
	// lost are grants that surely never reached the client.
	lost []*queue.Request
}

func (o *outbox) init(limit int, g *gathered) {
	o.limit, o.net = limit, g
	o.wake = make(chan struct{}, 1)
	o.room.L = &o.mu
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// answer begins a frame. It returns nil where nothing goes out any more; otherwise send must follow.
func (o *outbox) answer(kind, id string) *jsonWriter {
	o.mu.Lock()
	if o.ending != nil {
		o.mu.Unlock()
		return nil
	}
	return o.open(&o.queued, kind, id)
}

// tell is answer for what the session tells: that is held back while a hello is under way.
func (o *outbox) tell(kind, id string) *jsonWriter {
	o.mu.Lock()
	if o.ending != nil {
		o.mu.Unlock()
		return nil
	}
	if o.holding {
		return o.open(&o.held, kind, id)
	}
	return o.open(&o.queued, kind, id)
}

// open begins a frame, with mu held until send.
func (o *outbox) open(into *frames, kind, id string) *jsonWriter {
	if into.buf == nil {
		into.buf = newBuffer()
	}
	w := &into.buf.b
	o.into, o.start, o.events = into, len(*w), kind == "event"
	*w = append(*w, 0, 0, 0, 0)
	*w = append(append(append(*w, `{"type":"`...), kind...), '"')
	if id != "" {
		w.text("id", id)
	}
	return w
}

// send ends the frame that was begun. granted is the request that it grants, if any.
func (o *outbox) send(granted *queue.Request) {
	w := &o.into.buf.b
	*w = append(*w, '}')
	length := uint32(len(*w) - o.start - lengthBytes) //nolint:gosec // bounded by what a frame may hold
	if granted != nil {
		length |= carriesGrant
		o.into.grants = append(o.into.grants, granted)
	}
	binary.BigEndian.PutUint32((*w)[o.start:], length)
	if o.size == 0 {
		o.moved = time.Now()
	}
	o.size += len(*w) - o.start
	slow := o.tooSlow()
	if slow {
		o.drop()
		o.ending = &ending{code: closeSlow, text: "reads too slowly", why: "too slow", dropped: true, slow: true}
		o.room.Broadcast()
	}
	o.mu.Unlock()
	if slow {
		o.net.hurry(slowTimeout)
	}
	o.signal()
}

// tooSlow reports whether the client reads too slowly: more is queued than may be, and nothing has moved for a while.
// A client that asks for much at once, and reads, has much to read; but there is an end to it.
func (o *outbox) tooSlow() bool {
	over := o.size - o.extra
	if over <= o.limit || o.holding {
		return false
	}
	most := manyAnswers
	if o.events {
		most = manyEvents
	}
	return over > most*o.limit || time.Since(o.moved) > slowAfter
}

// undelivered keeps a grant that no frame went out for.
func (o *outbox) undelivered(q *queue.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lost = append(o.lost, q)
}

// drop gives up what is queued and held.
func (o *outbox) drop() {
	o.lost = append(o.lost, o.clear(&o.queued)...)
	o.lost = append(o.lost, o.clear(&o.held)...)
}

// clear takes frames off and returns what they would have granted.
func (o *outbox) clear(f *frames) []*queue.Request {
	grants := f.grants
	o.size -= f.size()
	f.buf.free()
	*f = frames{}
	return grants
}

// end has the writer end the connection, after what is queued unless e says otherwise. The first call counts, but a cut
// always does. It reports whether it counted.
func (o *outbox) end(e *ending) bool {
	o.mu.Lock()
	counts := o.ending == nil || (e.cut && !o.ending.cut)
	if counts {
		if before := o.ending; before != nil {
			e.code, e.why, e.slow, e.superseded = before.code, before.why, before.slow, before.superseded
		}
		o.ending = e
		if e.dropped || e.cut {
			o.drop()
		}
		o.room.Broadcast()
	}
	o.mu.Unlock()
	o.signal()
	return counts
}

// ends is how the connection ends, nil as long as it does not.
func (o *outbox) ends() *ending {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ending
}

// hold begins to hold back what the session tells.
func (o *outbox) hold() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.holding = true
}

// unhold ends it: what was held is queued.
func (o *outbox) unhold() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.holding = false
	if o.held.buf == nil {
		return
	}
	if o.ending != nil { // the writer may have gone
		o.lost = append(o.lost, o.clear(&o.held)...)
		return
	}
	if o.queued.buf == nil {
		o.queued.buf = newBuffer()
	}
	o.extra += len(o.held.buf.b)
	o.queued.buf.b = append(o.queued.buf.b, o.held.buf.b...)
	o.queued.grants = append(o.queued.grants, o.held.grants...)
	o.held.buf.free()
	o.held = frames{}
	o.signal()
}

// forget ends the holding back too, and what was held never was. The grants in it are returned.
func (o *outbox) forget() []*queue.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.holding = false
	return o.clear(&o.held)
}

// ping notes what to answer a ping with. Only the last is answered, as RFC 6455 allows.
func (o *outbox) ping(payload string) {
	o.mu.Lock()
	o.pong, o.pinged = payload, true
	o.mu.Unlock()
	o.signal()
}

// full reports whether the client has so much to read that nothing more should be done for it.
func (o *outbox) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.size > o.limit/2 && o.ending == nil
}

func (o *outbox) waitForRoom() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.size > o.limit/2 && o.ending == nil {
		o.room.Wait()
	}
}

// taken is what the writer has to write.
type taken struct {
	frames
	pong   string
	pinged bool
	ending *ending
}

func (t *taken) none() bool { return t.buf == nil && !t.pinged && t.ending == nil }

// take hands everything to the writer, which must tell wrote of each byte of it.
func (o *outbox) take() taken {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := taken{frames: o.queued, pong: o.pong, pinged: o.pinged, ending: o.ending}
	o.queued, o.pong, o.pinged = frames{}, "", false
	return t
}

// wrote takes note that so many bytes are off the queue. It reports whether the rest is to be given up.
func (o *outbox) wrote(n int) (dropped bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.size -= n
	o.moved = time.Now()
	if o.extra -= n; o.extra < 0 {
		o.extra = 0
	}
	o.room.Broadcast()
	return o.ending != nil && (o.ending.dropped || o.ending.cut)
}

// losses are the grants that surely never reached the client, when all is over.
func (o *outbox) losses() []*queue.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending != nil && o.ending.superseded {
		return nil // the client was told of them over its new connection
	}
	return o.lost
}
