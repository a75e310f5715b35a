// Package embedded starts a private Redis that lives as long as its caller: for `lockd -dev` and for tests.
//
// Where a redis-server of version 7 or later is on PATH, that is what runs, as a child process on a unix socket in a
// directory nobody else can read. Elsewhere an in-process miniredis stands in, which is some ten times slower on
// scripts and knows no CONFIG and no keyspace events, but needs nothing installed.
//
// Nothing is persisted unless the options ask for it: state ends with the server.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
)

// ErrNoServer says that RealOnly was asked for and PATH has no redis-server of version 7 or later.
var ErrNoServer = errors.New("no redis-server of version 7 or later on PATH")

// ErrNotProcess says that the server is no child process of ours, so that it cannot be paused, killed or restarted.
var ErrNotProcess = errors.New("not a redis-server process of our own")

// Server is a running Redis. Its methods may be called from any goroutine.
type Server struct {
	network string
	addr    string
	kind    string
	proc    *process // nil unless a redis-server process of ours
	mini    *mini    // nil unless miniredis

	mu      sync.Mutex // serialises Stop, Kill and Restart
	stopped bool
	ended   chan struct{} // Done of a server without a process
	private string        // our own directory (socket, log, data), removed by Stop
}

// Start starts a Redis and returns once it answers. The context bounds the start only, which besides gives up after
// 10 s: the server then runs until Stop, or until this process ends, however that ends. (After a SIGKILL of this
// process, the server dies too on Linux, but its temporary directory stays.)
//
// Start falls back to miniredis where PATH has no fit redis-server; see RealOnly for those who cannot use that.
func Start(ctx context.Context, opts ...Option) (*Server, error) {
	o := newOptions(opts)
	if o.inProcess {
		return startMini(o)
	}
	found, err := lookup(ctx)
	switch {
	case err == nil:
		return startProcess(ctx, found, o)
	case errors.Is(err, ErrNoServer) && !o.realOnly:
		return startMini(o)
	default:
		return nil, fmt.Errorf("start redis-server: %w", err)
	}
}

// At describes a Redis that somebody else runs, so that code written for a Server can use it: Stop leaves it running,
// and Pause, Resume, Kill and Restart return ErrNotProcess. Kind says what it is, in words for people. Nothing is
// dialled.
func At(network, addr, kind string) *Server {
	return &Server{network: network, addr: addr, kind: kind, ended: make(chan struct{})}
}

// Network is "unix" or "tcp", as net.Dial takes it.
func (s *Server) Network() string { return s.network }

// Addr is the path of the unix socket, or host:port. It is the same after a Restart.
func (s *Server) Addr() string { return s.addr }

// Kind names the software for people: "redis-server 7.0.15", "miniredis", or what At was given.
func (s *Server) Kind() string { return s.kind }

// Real tells whether this is a true Redis rather than miniredis.
func (s *Server) Real() bool { return s.mini == nil }

// Done is closed once the server that runs now has ended: by Stop or Kill, or, which is what to watch for, by itself.
// After a Restart, ask again: every run has a channel of its own.
func (s *Server) Done() <-chan struct{} {
	if s.proc != nil {
		return s.proc.current().done
	}
	return s.ended
}

// Err says why the server ended by itself, with the last lines of its log. It is nil while the server runs and after
// an end that Stop, Kill or Restart brought about.
func (s *Server) Err() error {
	if s.proc == nil {
		return nil
	}
	return s.proc.current().failure()
}

// PID is the process id of the redis-server that runs now, and 0 where there is none of ours.
func (s *Server) PID() int {
	if s.proc == nil {
		return 0
	}
	return s.proc.current().pid()
}

// Stop ends the server, waits until it is gone and removes its temporary directory. A second call does nothing. Where
// the options name a Dir, the server is asked to save what it keeps first; otherwise it is killed, as its data goes
// with it anyway.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	var err error
	switch {
	case s.proc != nil:
		err = errors.Join(s.proc.stop(s.proc.opts.dir != ""), removeDir(s.private))
	case s.mini != nil:
		s.mini.stop()
		close(s.ended)
	default:
		close(s.ended)
	}
	return err
}

// Pause stops the process with SIGSTOP: connections stay open and nothing answers. It returns ErrNotProcess where there
// is no process.
func (s *Server) Pause() error { return s.signal(pauseSignal) }

// Resume ends a Pause. Commands that were sent meanwhile are carried out now.
func (s *Server) Resume() error { return s.signal(resumeSignal) }

// Kill ends the process with SIGKILL, as a crash would, and waits until it is gone. Restart brings it back; Stop is
// still needed to remove the directory. It returns ErrNotProcess where there is no process.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return ErrNotProcess
	}
	return s.proc.stop(false)
}

// Restart ends the process in an orderly way if it still runs, and starts it again on the same address with the same
// directory and arguments. It returns once the new one answers. Without persistence among the Args, the data is gone.
// It returns ErrNotProcess where there is no process, and an error after Stop.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.proc == nil:
		return ErrNotProcess
	case s.stopped:
		return errors.New("restart of a stopped redis-server")
	}
	if err := s.proc.stop(true); err != nil {
		return err
	}
	if err := s.proc.start(ctx); err != nil {
		return fmt.Errorf("restart redis-server: %w", err)
	}
	return nil
}

func (s *Server) signal(sig os.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return ErrNotProcess
	}
	return s.proc.current().signal(sig)
}
