package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A program is one process of a testclient. It brings one client after another: to start a process for each would take
// most of the time of a suite, and make those languages late whose programs start slowly.
type program struct {
	command string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	ended   chan struct{}

	mu     sync.Mutex
	client *client // that it brings now
	stray  string  // what it wrote between two clients
}

// spares are the programs that wait for their next client, by their commands.
type spares struct {
	mu   sync.Mutex
	idle map[string][]*program
}

// take has a program that waits bring a client, or starts one for it.
func (s *spares) take(command string, c *client) (p *program, started bool, err error) {
	s.mu.Lock()
	if idle := s.idle[command]; len(idle) > 0 {
		p = idle[len(idle)-1]
		s.idle[command] = idle[:len(idle)-1]
	}
	s.mu.Unlock()
	if p == nil {
		p, err = startProgram(command, c)
		return p, true, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stray != "" {
		return nil, false, fmt.Errorf("%q wrote after its client was closed: %s", command, p.stray)
	}
	p.client = c
	return p, false, nil
}

// give takes back the program of a client that is closed.
func (s *spares) give(p *program) {
	p.mu.Lock()
	p.client = nil
	p.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle[p.command] = append(s.idle[p.command], p)
}

// end ends all that wait.
func (s *spares) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, idle := range s.idle {
		for _, p := range idle {
			errs = append(errs, p.end())
		}
	}
	clear(s.idle)
	return errors.Join(errs...)
}

func startProgram(command string, c *client) (*program, error) {
	words := strings.Fields(command)
	if len(words) == 0 {
		return nil, errors.New("no command")
	}
	cmd := exec.Command(words[0], words[1:]...) //nolint:noctx // it ends with its stdin, or is killed by end
	p := &program{command: command, cmd: cmd, ended: make(chan struct{}), client: c}
	cmd.SysProcAttr = childAttr()
	cmd.Stderr = &logWriter{p: p}
	cmd.WaitDelay = time.Second
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %q: %w", command, err)
	}
	go p.read(stdout)
	return p, nil
}

// current is the client that the program brings.
func (p *program) current() *client {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.client
}

func (p *program) read(r io.Reader) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, longestLine)
	for s.Scan() {
		now := time.Now()
		c := p.current()
		if c == nil {
			p.mu.Lock()
			p.stray += s.Text()
			p.mu.Unlock()
			continue
		}
		c.script.add(c.name+" →", s.Text())
		if err := c.take(s.Bytes(), now); err != nil {
			c.script.breach("%s breaks the protocol: %v: %s", c.name, err, s.Text())
		}
	}
	scanned := s.Err()
	err := p.cmd.Wait()
	close(p.ended)
	if c := p.current(); c != nil {
		if scanned != nil && !errors.Is(scanned, os.ErrClosed) {
			c.script.add(c.name+" →", scanned.Error())
		}
		c.script.add(c.name, fmt.Sprintf("ended: %v", err))
		c.mu.Lock()
		c.wake()
		c.mu.Unlock()
	}
}

// end closes the program's stdin, at which it has to end, and kills it if it does not.
func (p *program) end() error {
	_ = p.stdin.Close()
	select {
	case <-p.ended:
		return nil
	case <-time.After(3 * time.Second):
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
	return fmt.Errorf("%q does not end with its stdin", p.command)
}
