package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// process is a server that was started as a process of its own.
type process struct {
	addr string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// startWithin is how long a server may take until it is ready.
const startWithin = 15 * time.Second

// launch starts a server on a free port, its output going to a file, and returns once it answers its ready path with
// 200. Somebody else may take the port first, so it is tried a few times.
func launch(ctx context.Context, log, ready string, command func(addr string) *exec.Cmd) (p *process, err error) {
	for range 3 {
		var addr string
		if addr, err = freeAddr(ctx); err != nil {
			return nil, err
		}
		if p, err = start(command(addr), addr, log); err != nil {
			return nil, err
		}
		if err = p.ready(ctx, "http://"+addr+ready); err == nil {
			return p, nil
		}
		p.kill()
		out, _ := os.ReadFile(log)
		err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(out[max(0, len(out)-1000):]))
		if ctx.Err() != nil || !bytes.Contains(out, []byte("address already in use")) {
			return nil, err
		}
	}
	return nil, err
}

func start(cmd *exec.Cmd, addr, log string) (*process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{addr: addr, cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // it is killed in the end
		close(p.done)
	}()
	return p, nil
}

// kill ends the process with SIGKILL and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

var errEnded = errors.New("it ended")

func (p *process) ready(ctx context.Context, url string) error {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	ended := false
	err := until(ctx, startWithin, "ready", func() bool {
		select {
		case <-p.done:
			ended = true
			return true
		default:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return false
		}
		res, err := client.Do(req)
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	if ended {
		return errEnded
	}
	return err
}

// freeAddr is an address of 127.0.0.1 whose port is free now.
func freeAddr(ctx context.Context) (string, error) {
	var conf net.ListenConfig
	l, err := conf.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// tick is Linux's USER_HZ, the unit of CPU times in /proc: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html.
const tick = time.Second / 100

// cpuTime is the CPU time that a process has used, user and system together; 0 where there is no /proc.
func cpuTime(pid int) time.Duration {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The second field, the command, may hold spaces and brackets; what follows its last bracket does not.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick
}

// resident is how many bytes of a process are in memory, and residentPeak how many there were at most; 0 where there is
// no /proc.
func resident(pid int) float64     { return statusBytes(pid, "VmRSS:") }
func residentPeak(pid int) float64 { return statusBytes(pid, "VmHWM:") }

func statusBytes(pid int, field string) float64 {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, field); ok {
			kb, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			return kb * 1024
		}
	}
	return 0
}

func (p *process) pid() int { return p.cmd.Process.Pid }
