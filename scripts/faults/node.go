package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// node is a lockd, which can be killed, stopped and started again at the same address.
type node struct {
	addr, binary, log string
	env               []string

	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// build makes the lockd that all nodes run, unless one is given.
func build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "lockd")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "distributedlock/service/cmd/lockd").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build lockd: %w\n%s", err, out)
	}
	return path, nil
}

// newNode starts a node with these settings and returns once it serves.
func newNode(ctx context.Context, binary, dir string, settings ...string) (*node, error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	n := &node{addr: addr, binary: binary, log: filepath.Join(dir, "lockd-"+addr[len("127.0.0.1:"):]+".log")}
	n.env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LISTEN_ADDR=" + addr, "LOG_LEVEL=warn", "SHUTDOWN_TIMEOUT=3"}, settings...)
	err = n.start(ctx)
	return n, err
}

// start begins a new life of the node. The goroutine keeps its thread until the process ends: see childAttr, which goes
// by threads.
func (n *node) start(ctx context.Context) error {
	file, err := os.OpenFile(n.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(n.binary) //nolint:noctx // ended by kill
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = n.env, file, file, childAttr()
	started, done := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		defer func() { _ = file.Close() }()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is the fault's doing, or shows in what the clients see
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start a node: %w", err)
	}
	n.cmd, n.done = cmd, done
	return n.awaitReady(ctx)
}

func (n *node) running() bool {
	select {
	case <-n.done:
		return false
	default:
		return true
	}
}

func (n *node) signal(s syscall.Signal) error { return n.cmd.Process.Signal(s) }

// kill ends the node as a crash would.
func (n *node) kill() {
	_ = n.cmd.Process.Kill() // it may have ended by itself
	<-n.done
}

// term asks the node to end, and waits until it has.
func (n *node) term() error {
	if err := n.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-n.done:
		return nil
	case <-time.After(15 * time.Second):
		n.kill()
		return errors.New("a node did not end within 15 s of SIGTERM")
	}
}

func (n *node) awaitReady(ctx context.Context) error {
	err := until(ctx, 20*time.Second, "a node serves", func() bool { return !n.running() || n.ready(ctx) })
	if err != nil || !n.running() {
		out, _ := os.ReadFile(n.log)
		return errors.Join(err, fmt.Errorf("a node does not serve: %s", bytes.TrimSpace(out[max(0, len(out)-1000):])))
	}
	return nil
}

func (n *node) ready(ctx context.Context) bool {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.addr+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// ports are given out once each, from below those that systems take for outgoing connections: a node that is started
// again must not find its own taken.
var ports atomic.Int64

func init() { ports.Store(rand.Int64N(9_000)) } //nolint:gosec // no secret

func freeAddr(ctx context.Context) (string, error) {
	for range 1000 {
		addr := "127.0.0.1:" + strconv.Itoa(10_000+int(ports.Add(1)%9_000))
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err == nil {
			return addr, l.Close()
		}
	}
	return "", errors.New("no port is free")
}

// until waits for something that must come about.
func until(ctx context.Context, within time.Duration, what string, is func() bool) error {
	end := time.Now().Add(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		if time.Now().After(end) {
			return fmt.Errorf("not within %s: %s", within, what)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// pause waits, less where ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// between is a random time.
func between(rnd *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(rnd.Int64N(int64(to-from)))
}
