package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// longestLine is how long a line of a testclient may be: a list of errors with a hundred holders fits well.
const longestLine = 4 << 20

// A call is one request to a testclient. The fields after done are written before done is closed and not after.
type call struct {
	id     int
	client *client
	op     string
	args   map[string]any
	sent   time.Time

	done     chan struct{}
	at       float64 // the client's monotonic clock, ms
	received time.Time
	ok       map[string]any
	fail     map[string]any
}

// A push is what a testclient said unasked.
type push struct {
	event    string
	of       int
	at       float64
	received time.Time
	body     map[string]any
	used     bool
}

// A client is one client of one SDK, brought by a process of its testclient.
type client struct {
	name, lang string
	opened     *call // of the step that opened it
	baseline   leaks

	program *program
	script  *transcript

	mu      sync.Mutex
	calls   map[int]*call
	pushes  []*push
	news    chan struct{} // closed and made anew at every line
	most    time.Duration // least (received - at) seen, from the case's start: the zero of the client's clock is not later
	least   time.Duration // greatest (sent - at) seen of an answer: and not sooner
	zeroed  bool
	stopped time.Time // when it was first sent SIGSTOP
	killed  time.Time
	closing time.Time // when it was first asked to close
}

// lastID is that of the last request: what comes late for an earlier client of a program finds no call.
var lastID atomic.Int64

// startClient has a testclient bring a client. A process that was just started says first that it is ready.
func startClient(name string, l language, spare *spares, script *transcript) (*client, error) {
	c := &client{name: name, lang: l.name, script: script, calls: map[int]*call{}, news: make(chan struct{}), least: math.MinInt64}
	var started bool
	var err error
	if c.program, started, err = spare.take(l.command, c); err != nil || !started {
		return c, err
	}
	if _, err := c.awaitPush(20*time.Second, func(p *push) bool { return p.event == "ready" }); err != nil {
		_ = c.program.end() // it is of no use, whatever else it does
		return nil, fmt.Errorf("testclient %s (%s) does not start: %w", name, l.command, err)
	}
	return c, nil
}

// line is what a testclient writes.
type line struct {
	ID    int            `json:"id"`
	At    *float64       `json:"at"`
	OK    map[string]any `json:"ok"`
	Error map[string]any `json:"error"`
	Event string         `json:"event"`
	Of    int            `json:"of"`
}

// take reads one line. An answer comes once for each request.
func (c *client) take(text []byte, now time.Time) error {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return err
	}
	if l.At == nil {
		return errors.New("a line without at")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.wake()
	shift := now.Sub(c.script.start) - time.Duration(*l.At*float64(time.Millisecond))
	if !c.zeroed || shift < c.most {
		c.most, c.zeroed = shift, true
	}
	if l.Event != "" {
		p := &push{event: l.Event, of: l.Of, at: *l.At, received: now}
		if err := json.Unmarshal(text, &p.body); err != nil {
			return err
		}
		c.pushes = append(c.pushes, p)
		return nil
	}
	k := c.calls[l.ID]
	switch {
	case k == nil:
		return fmt.Errorf("an answer to %d, which nobody asked", l.ID)
	case !k.received.IsZero():
		return fmt.Errorf("a second answer to %d", l.ID)
	case (l.OK == nil) == (l.Error == nil):
		return errors.New("an answer has either ok or error")
	}
	k.at, k.received, k.ok, k.fail = *l.At, now, l.OK, l.Error
	c.least = max(c.least, k.sent.Sub(c.script.start)-time.Duration(*l.At*float64(time.Millisecond)))
	close(k.done)
	return nil
}

// wake tells all who wait for a line. The caller holds mu.
func (c *client) wake() {
	close(c.news)
	c.news = make(chan struct{})
}

// when says at what moment of the runner's clock the client's showed at: between which two, some microseconds apart.
func (c *client) when(at float64) (soonest, latest time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	since := time.Duration(at * float64(time.Millisecond))
	return c.script.start.Add(c.least + since), c.script.start.Add(c.most + since)
}

// send asks the client for something and does not wait for the answer.
func (c *client) send(op string, args map[string]any) (*call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := &call{id: int(lastID.Add(1)), client: c, op: op, args: args, done: make(chan struct{}), sent: time.Now()}
	if op == "close" && c.closing.IsZero() {
		c.closing = k.sent
	}
	c.calls[k.id] = k
	text, err := json.Marshal(map[string]any{"id": k.id, "op": op, "args": args})
	if err != nil {
		return nil, err
	}
	c.script.add(c.name+" ←", string(text))
	if _, err := c.program.stdin.Write(append(text, '\n')); err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	return k, nil
}

// wait returns when the call is answered.
func (k *call) wait(within time.Duration) error {
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case <-k.done:
		return nil
	case <-k.client.program.ended:
		select {
		case <-k.done:
			return nil
		default:
			return fmt.Errorf("%s ended without an answer to %s %d", k.client.name, k.op, k.id)
		}
	case <-t.C:
		return fmt.Errorf("%s did not answer %s %d within %v", k.client.name, k.op, k.id, within)
	}
}

// ask sends and waits for a good answer.
func (c *client) ask(op string, args map[string]any, within time.Duration) (map[string]any, error) {
	k, err := c.send(op, args)
	if err != nil {
		return nil, err
	}
	if err := k.wait(within); err != nil {
		return nil, err
	}
	if k.fail != nil {
		return nil, fmt.Errorf("%s answers %s with %v", c.name, op, k.fail)
	}
	return k.ok, nil
}

// awaitPush returns the first push not yet used that is as wanted, and marks it and nothing else as used.
func (c *client) awaitPush(within time.Duration, wanted func(*push) bool) (*push, error) {
	t := time.NewTimer(within)
	defer t.Stop()
	for over := false; ; {
		c.mu.Lock()
		for _, p := range c.pushes {
			if !p.used && wanted(p) {
				p.used = true
				c.mu.Unlock()
				return p, nil
			}
		}
		news := c.news
		c.mu.Unlock()
		if over {
			return nil, fmt.Errorf("not within %v", within)
		}
		select {
		case <-news:
		case <-t.C:
			over = true
		case <-c.program.ended:
			over = true
		}
	}
}

// signal sends the process a signal, and notes from when on it can do nothing.
func (c *client) signal(s syscall.Signal) error {
	c.mu.Lock()
	switch s {
	case sigStop:
		if c.stopped.IsZero() {
			c.stopped = time.Now()
		}
	case syscall.SIGKILL:
		c.killed = time.Now()
	default:
	}
	c.mu.Unlock()
	return c.program.cmd.Process.Signal(s)
}

// end ends the client's process, or keeps it for another client: one that was closed in order.
func (c *client) end(spare *spares, inOrder bool) {
	c.mu.Lock()
	unhurt := c.killed.IsZero() && c.stopped.IsZero() && (c.opened == nil || !c.closing.IsZero())
	c.mu.Unlock()
	if inOrder && unhurt {
		spare.give(c.program)
	} else if err := c.program.end(); err != nil {
		c.script.breach("%s: %v", c.name, err)
	}
}

// leaks is what a process holds beside its own necessities.
type leaks struct {
	tasks   int // as the testclient counts them: goroutines, threads, tasks, handles
	sockets int // as the operating system does; 0 where it does not tell
}

func (c *client) leaks() (leaks, error) {
	ok, err := c.ask("leaks", map[string]any{}, 10*time.Second)
	if err != nil {
		return leaks{}, err
	}
	n, is := ok["tasks"].(float64)
	if !is {
		return leaks{}, fmt.Errorf("%s answers leaks without tasks", c.name)
	}
	return leaks{tasks: int(n), sockets: sockets(c.program.cmd.Process.Pid)}, nil
}

func sockets(pid int) int {
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return 0
	}
	n := 0
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}
