package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// rig starts what is measured, and ends only what it started.
type rig struct {
	dir, lockd string
	log        io.Writer
	stores     []*store
	servers    []*process
}

// newRig builds lockd, unless it is given a built one.
func newRig(ctx context.Context, lockd string, log io.Writer) (*rig, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	r := &rig{dir: dir, lockd: lockd, log: log}
	if lockd == "" {
		r.lockd = filepath.Join(dir, "lockd")
		begin := time.Now()
		out, err := exec.CommandContext(ctx, "go", "build", "-o", r.lockd, "distributedlock/service/cmd/lockd").CombinedOutput()
		if err != nil {
			r.close()
			return nil, fmt.Errorf("build lockd: %w\n%s", err, out)
		}
		_, _ = fmt.Fprintf(log, "lockd built in %.1f s\n", time.Since(begin).Seconds())
	}
	return r, nil
}

// node starts one more lockd on a Redis, with settings of the form NAME=value, and returns once it is ready.
func (r *rig) node(ctx context.Context, s *store, settings ...string) (*process, error) {
	return r.server(ctx, "lockd", "/readyz", func(addr string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, r.lockd)
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LISTEN_ADDR=" + addr,
			"REDIS_HOST=" + s.host, "REDIS_PORT=" + s.port, "LOG_LEVEL=warn"}, settings...)
		return cmd
	})
}

// nodes starts several.
func (r *rig) nodes(ctx context.Context, s *store, n int) (all []*process, err error) {
	for range n {
		p, err := r.node(ctx, s)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// bare starts this program as the bare server.
func (r *rig) bare(ctx context.Context, s *store) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return r.server(ctx, "bare", "/readyz", func(addr string) *exec.Cmd {
		return exec.CommandContext(ctx, self, "-bare-on", addr, "-redis", s.addr)
	})
}

func (r *rig) server(ctx context.Context, name, ready string, command func(addr string) *exec.Cmd) (*process, error) {
	log := filepath.Join(r.dir, fmt.Sprintf("%s-%d.log", name, len(r.servers)))
	p, err := launch(ctx, log, ready, command)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	r.servers = append(r.servers, p)
	return p, nil
}

// store starts one more Redis.
func (r *rig) store(ctx context.Context) (*store, error) {
	s, err := startStore(ctx)
	if err == nil {
		r.stores = append(r.stores, s)
	}
	return s, err
}

// pair starts a Redis with some nodes on it.
func (r *rig) pair(ctx context.Context, nodes int) (*store, []*process, error) {
	s, err := r.store(ctx)
	if err != nil {
		return nil, nil, err
	}
	all, err := r.nodes(ctx, s, nodes)
	return s, all, err
}

// reset ends everything that runs. The next scenario starts from nothing.
func (r *rig) reset() {
	for _, p := range r.servers {
		p.kill()
	}
	var errs []error
	for _, s := range r.stores {
		errs = append(errs, s.stop())
	}
	if err := errors.Join(errs...); err != nil {
		_, _ = fmt.Fprintln(r.log, "bench:", err)
	}
	r.servers, r.stores = nil, nil
}

func (r *rig) close() {
	r.reset()
	_ = os.RemoveAll(r.dir)
}
