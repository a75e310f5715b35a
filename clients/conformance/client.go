package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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

// A client is one process of one SDK's testclient.
type client struct {
	name, lang string
	opened     *call // of the step that opened it
	baseline   leaks

	cmd    *exec.Cmd
	stdin  io.WriteCloser
	script *transcript
	ended  chan struct{}

	mu      sync.Mutex
	next    int
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

// startClient starts a testclient and waits for its first line, the push ready.
func startClient(name, lang, command string, script *transcript) (*client, error) {
	words := strings.Fields(command)
	if len(words) == 0 {
		return nil, fmt.Errorf("no command for language %s", lang)
	}
	cmd := exec.Command(words[0], words[1:]...) //nolint:noctx // it ends with its stdin, or is killed by end
	cmd.SysProcAttr = childAttr()
	cmd.Stderr = script.writer(name + " stderr")
	cmd.WaitDelay = time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %q: %w", command, err)
	}
	c := &client{
		name: name, lang: lang, cmd: cmd, stdin: stdin, script: script, ended: make(chan struct{}),
		calls: map[int]*call{}, news: make(chan struct{}), least: math.MinInt64,
	}
	go c.read(stdout)
	_, err = c.awaitPush(20*time.Second, func(p *push) bool { return p.event == "ready" })
	if err != nil {
		c.end()
		return nil, fmt.Errorf("testclient %s (%s) does not start: %w", name, command, err)
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

func (c *client) read(r io.Reader) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, longestLine)
	for s.Scan() {
		now := time.Now()
		c.script.add(c.name+" →", s.Text())
		if err := c.take(s.Bytes(), now); err != nil {
			c.script.breach("%s breaks the protocol: %v: %s", c.name, err, s.Text())
		}
	}
	if err := s.Err(); err != nil && !errors.Is(err, os.ErrClosed) {
		c.script.add(c.name+" →", err.Error())
	}
	err := c.cmd.Wait()
	c.script.add(c.name, fmt.Sprintf("ended: %v", err))
	close(c.ended)
	c.mu.Lock()
	c.wake()
	c.mu.Unlock()
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
	c.next++
	k := &call{id: c.next, client: c, op: op, args: args, done: make(chan struct{}), sent: time.Now()}
	if op == "close" && c.closing.IsZero() {
		c.closing = k.sent
	}
	c.calls[k.id] = k
	text, err := json.Marshal(map[string]any{"id": k.id, "op": op, "args": args})
	if err != nil {
		return nil, err
	}
	c.script.add(c.name+" ←", string(text))
	if _, err := c.stdin.Write(append(text, '\n')); err != nil {
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
	case <-k.client.ended:
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
		case <-c.ended:
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
	return c.cmd.Process.Signal(s)
}

// end closes the client's stdin, at which it has to end, and kills it if it does not.
func (c *client) end() {
	_ = c.stdin.Close()
	select {
	case <-c.ended:
		return
	case <-time.After(3 * time.Second):
		c.script.breach("%s does not end with its stdin", c.name)
	}
	_ = c.cmd.Process.Kill()
	<-c.ended
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
	return leaks{tasks: int(n), sockets: sockets(c.cmd.Process.Pid)}, nil
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
