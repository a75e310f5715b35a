package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	judgeToken = "the-judge" // admin token of the judge's node
	adminToken = "admin-secret"
)

// An env is one Redis and the nodes over it. One case at a time runs in it; a case that broke nothing leaves it to the
// next one.
type env struct {
	dir, lockd string
	settings   map[string]string
	redis      *process
	redisPort  int
	nodes      map[string]*process
	judge      *judge
	dirty      bool // a process of it was hurt
}

// A process is a redis-server or a lockd, which can be killed and started again in the same place.
type process struct {
	name string
	addr string
	make func() *exec.Cmd
	log  *safeBuffer
	says string // what it logs when it serves; another may serve where it should

	cmd   *exec.Cmd
	ended chan struct{}
}

func (p *process) start() error {
	p.cmd = p.make()
	p.cmd.SysProcAttr = childAttr()
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.ended = make(chan struct{})
	cmd, ended := p.cmd, p.ended
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	return nil
}

// awaitReady asks until the process serves.
func (p *process) awaitReady(serves func() error) error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := serves()
		if err == nil && strings.Contains(p.log.String(), p.says) {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended: %s", p.name, p.log)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not serve: %w", p.name, err)
		}
	}
}

func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	if s == syscall.SIGKILL {
		<-p.ended
	}
	return nil
}

// ports are given out once each, from below those that systems take for outgoing connections, or a process that is
// started again could find its own taken.
var ports atomic.Int64

func init() { ports.Store(10_000 + rand.Int64N(20_000)) } //nolint:gosec // no secret

// freePort returns a port that nobody listens on now.
func freePort() (int, error) {
	for range 1000 {
		port := 10_000 + int(ports.Add(1)%20_000)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)) //nolint:noctx // at once
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no port is free")
}

// startEnv starts a Redis, the judge's node and as many others as wanted, n1, n2….
func startEnv(ctx context.Context, lockd string, settings map[string]string, nodes int) (*env, error) {
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return nil, err
	}
	e := &env{dir: dir, lockd: lockd, settings: settings, nodes: map[string]*process{}}
	if err := e.start(ctx, nodes); err != nil {
		return nil, errors.Join(err, e.end())
	}
	return e, nil
}

func (e *env) start(ctx context.Context, nodes int) error {
	var err error
	if e.redisPort, err = freePort(); err != nil {
		return err
	}
	e.redis = &process{name: "redis-server", addr: "127.0.0.1:" + strconv.Itoa(e.redisPort), log: &safeBuffer{}, says: "Ready to accept connections", make: func() *exec.Cmd {
		return exec.Command("redis-server", "--port", strconv.Itoa(e.redisPort), "--bind", "127.0.0.1", "--dir", e.dir, //nolint:noctx // ended by end
			"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction")
	}}
	if err := e.redis.start(); err != nil {
		return err
	}
	if err := e.redis.awaitReady(func() error { return e.command(ctx, "PING") }); err != nil {
		return err
	}
	var all []*process
	j, err := e.node("judge")
	if err != nil {
		return err
	}
	all = append(all, j)
	for i := range nodes {
		n, err := e.node("n" + strconv.Itoa(i+1))
		if err != nil {
			return err
		}
		e.nodes[n.name] = n
		all = append(all, n)
	}
	for _, n := range all {
		if err := e.awaitNode(ctx, n); err != nil {
			return err
		}
	}
	e.judge, err = newJudge(ctx, j)
	return err
}

// node starts a lockd. The judge's has its own admin token and asks for none of the case's.
func (e *env) node(name string) (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	addr := "127.0.0.1:" + strconv.Itoa(port)
	settings := map[string]string{"ADMIN_TOKEN": adminToken, "LOG_LEVEL": "warn", "SHUTDOWN_TIMEOUT": "5"}
	maps.Copy(settings, e.settings)
	if name == "judge" {
		settings["ADMIN_TOKEN"] = judgeToken
		delete(settings, "CLIENT_TOKEN")
	}
	settings["LISTEN_ADDR"], settings["REDIS_HOST"], settings["REDIS_PORT"] = addr, "127.0.0.1", strconv.Itoa(e.redisPort)
	n := &process{name: name, addr: addr, log: &safeBuffer{}, make: func() *exec.Cmd {
		cmd := exec.Command(e.lockd) //nolint:noctx // ended by end
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + e.dir, "GOMAXPROCS=2"}
		for k, v := range settings {
			if v != "" {
				cmd.Env = append(cmd.Env, k+"="+v)
			}
		}
		return cmd
	}}
	if err := n.start(); err != nil {
		return nil, err
	}
	return n, nil
}

func (e *env) awaitNode(ctx context.Context, n *process) error {
	return n.awaitReady(func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.addr+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz answers %s", resp.Status)
		}
		return nil
	})
}

// command sends Redis one command without arguments.
func (e *env) command(ctx context.Context, name string) error {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", e.redis.addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte(name + "\r\n")); err != nil {
		return err
	}
	answer := make([]byte, 64)
	n, err := c.Read(answer)
	if err != nil {
		return err
	}
	if answer[0] != '+' {
		return fmt.Errorf("redis answers %s: %s", name, answer[:n])
	}
	return nil
}

// end kills everything.
func (e *env) end() error {
	var errs []error
	if e.judge != nil {
		errs = append(errs, e.judge.end())
	}
	for _, n := range e.nodes {
		_ = n.cmd.Process.Kill()
		<-n.ended
	}
	if e.redis != nil && e.redis.cmd != nil && e.redis.ended != nil {
		_ = e.redis.cmd.Process.Kill()
		<-e.redis.ended
	}
	return errors.Join(append(errs, os.RemoveAll(e.dir))...)
}

// logs is what the nodes had to say, for a case that failed.
func (e *env) logs() string {
	var b bytes.Buffer
	for name, n := range e.nodes {
		if text := n.log.String(); text != "" {
			fmt.Fprintf(&b, "--- log of %s\n%s", name, text)
		}
	}
	return b.String()
}
