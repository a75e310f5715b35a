package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// quitTime is how long a server that was asked to end in an orderly way may take before it is killed.
const quitTime = 5 * time.Second

// process is a redis-server that can run several times over: on the same address, with the same directory.
type process struct {
	found   installed
	opts    *options
	network string
	addr    string
	private string

	mu   sync.Mutex
	last *run
}

// run is one life of the process.
type run struct {
	cmd  *exec.Cmd
	log  string        // path of its log
	done chan struct{} // closed when it is gone and has been waited for

	mu     sync.Mutex
	wanted bool // its end was asked for
	err    error
}

func startProcess(ctx context.Context, found installed, o *options) (*Server, error) {
	private, err := makeDir()
	if err != nil {
		return nil, fmt.Errorf("start redis-server: %w", err)
	}
	p := &process{found: found, opts: o, private: private}
	p.network, p.addr, err = chooseAddr(ctx, o, private)
	if err == nil && o.config != "" {
		err = os.WriteFile(p.configFile(), []byte(o.config), 0o600)
	}
	if err == nil {
		err = p.start(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("start redis-server: %w", errors.Join(err, removeDir(private)))
	}
	return &Server{
		network: p.network, addr: p.addr, kind: "redis-server " + found.version, proc: p, private: private,
	}, nil
}

// start begins a run and returns once it answers; the run is over if it does not.
func (p *process) start(ctx context.Context) error {
	// No CommandContext: the context bounds the start, and the process lives on.
	cmd := exec.Command(p.found.path, p.args()...) //nolint:noctx // see above
	r, err := launch(cmd, filepath.Join(p.private, "redis.log"))
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.last = r
	p.mu.Unlock()
	if err := waitReady(ctx, p.network, p.addr, r); err != nil {
		return errors.Join(err, p.stop(false))
	}
	return nil
}

func (p *process) configFile() string { return filepath.Join(p.private, "redis.conf") }

func (p *process) args() []string {
	dir := p.opts.dir
	if dir == "" {
		dir = p.private
	}
	var args []string
	if p.opts.config != "" {
		args = append(args, p.configFile())
	}
	args = append(args,
		"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction",
		"--daemonize", "no", "--dir", dir,
	)
	if p.network == "unix" {
		args = append(args, "--port", "0", "--unixsocket", p.addr, "--unixsocketperm", "700")
	} else {
		host, port, _ := net.SplitHostPort(p.addr)
		args = append(args, "--bind", host, "--port", port)
	}
	return append(args, p.opts.args...)
}

func (p *process) current() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// stop ends the current run and waits for it; orderly gives it a while to save what it keeps.
func (p *process) stop(orderly bool) error {
	r := p.current()
	r.mu.Lock()
	r.wanted = true
	r.mu.Unlock()
	if orderly {
		// A paused process sees the request only once it runs again.
		if r.signal(quitSignal) == nil && r.signal(resumeSignal) == nil {
			select {
			case <-r.done:
			case <-time.After(quitTime):
			}
		}
	}
	if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill redis-server %d: %w", r.pid(), err)
	}
	<-r.done
	return nil
}

// launch starts the command in a goroutine that keeps its thread until the process has ended, for the kernel's notice
// that a parent died (see childAttr) goes by the thread that started the child, not by its process.
func launch(cmd *exec.Cmd, log string) (*run, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = childAttr()
	r := &run{cmd: cmd, log: log, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer func() { _ = file.Close() }()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		r.ended(cmd.Wait())
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return r, nil
}

func (r *run) pid() int { return r.cmd.Process.Pid }

// signal returns os.ErrProcessDone where the process is gone, whose number may belong to somebody else by then.
func (r *run) signal(sig os.Signal) error { return r.cmd.Process.Signal(sig) }

func (r *run) ended(err error) {
	r.mu.Lock()
	if err == nil {
		err = errors.New("exit status 0")
	}
	if !r.wanted {
		r.err = fmt.Errorf("redis-server %s ended: %w: %s", strconv.Itoa(r.pid()), err, logTail(r.log))
	}
	r.mu.Unlock()
	close(r.done)
}

func (r *run) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}
