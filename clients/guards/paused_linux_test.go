package guards_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	lock "distributedlock/clients/go"
	"distributedlock/clients/guards"
)

// lease is that of the workers' locks.
const lease = time.Second

// jobVariable has the test's own program be a worker, with this job as JSON.
const jobVariable = "GUARDS_JOB"

type job struct {
	Service, Lock string
	At            addresses
	Kind          string
	Guarded       bool
}

// work is a worker: it takes the lock, reads the counter, says so, and on a line of stdin writes it one higher. It does what a
// careful program does: it asks whether its lock is lost, and only then goes on. It can still be stopped after that.
func work(text string) {
	var j job
	say := func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		say("broken: %v", err)
		return
	}
	c, err := open(ctx, j.At, j.Kind, j.Lock, j.Guarded)
	if err != nil {
		say("broken: %v", err)
		return
	}
	defer c.close()
	client := lock.NewDistributedLockClient(j.Service, lock.WithLogger(slog.New(slog.DiscardHandler)))
	defer client.Close()
	l, n, err := begin(ctx, client, c, j.Lock)
	if err != nil {
		say("broken: %v", err)
		return
	}
	say("read")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	switch err := c.write(ctx, l.FencingToken, n+1); {
	case errors.Is(err, guards.ErrStale):
		say("refused")
	case err != nil:
		say("broken: %v", err)
	default:
		say("wrote")
	}
	_ = l.Release()
}

// begin takes the lock and reads, again where that took longer than the lease.
func begin(ctx context.Context, client *lock.Client, c counter, name string) (l *lock.Lock, n int, err error) {
	for {
		if l, err = client.AcquireContext(ctx, name, lease); err != nil {
			return nil, 0, err
		}
		if n, err = c.read(ctx, l.FencingToken); err != nil && !errors.Is(err, guards.ErrStale) {
			return nil, 0, err
		}
		if err == nil && l.Err() == nil {
			return l, n, nil
		}
		_ = l.Release()
	}
}

// worker is a process that works.
type worker struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

func start(t *testing.T, j *job) *worker {
	t.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), jobVariable+"="+string(text))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	process(t, syscall.SIGKILL, cmd)
	return &worker{t: t, cmd: cmd, in: in, lines: bufio.NewScanner(out)}
}

// says is the next thing that the worker says.
func (w *worker) says() string {
	w.t.Helper()
	if !w.lines.Scan() {
		w.t.Fatal("a worker ended without a word")
	}
	if s := w.lines.Text(); !strings.HasPrefix(s, "broken") {
		return s
	}
	w.t.Fatal(w.lines.Text())
	return ""
}

// reads waits until the worker has the lock and has read.
func (w *worker) reads() {
	w.t.Helper()
	if s := w.says(); s != "read" {
		w.t.Fatalf("a worker that should have read: %s", s)
	}
}

// order has the worker write, as soon as it runs.
func (w *worker) order() {
	w.t.Helper()
	if _, err := io.WriteString(w.in, "write\n"); err != nil {
		w.t.Fatal(err)
	}
}

// pause stops the worker between its look at the lock and its write.
func (w *worker) pause() {
	w.t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, "the worker stands still", 5*time.Second, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.cmd.Process.Pid))
		_, state, _ := strings.Cut(string(stat), ") ")
		return err == nil && strings.HasPrefix(state, "T")
	})
}

func (w *worker) wake() {
	w.t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		w.t.Fatal(err)
	}
}

// TestPausedHolders has workers count under a lock, and stops every other one between its reading and its writing until its lease
// has run out and the next holder has read, or has written too. What the workers were told that they had written must
// be there: with the guards it is, and without them it is not.
func TestPausedHolders(t *testing.T) {
	redis := startRedis(t)
	service := startService(t, redis)
	for _, kind := range []string{"postgres", "redis", "http"} {
		for _, guarded := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/guarded=%t", kind, guarded), func(t *testing.T) {
				t.Parallel()
				at := where(t, kind, redis)
				const rounds = 2
				told, refused := 0, 0
				count := func(s string) {
					switch s {
					case "wrote":
						told++
					case "refused":
						refused++
					default:
						t.Errorf("a worker says %q", s)
					}
				}
				name := fmt.Sprintf("counter-%s-%t", kind, guarded)
				for range rounds {
					for _, early := range []bool{false, true} {
						j := &job{Service: service, Lock: name, At: at, Kind: kind, Guarded: guarded}
						first := start(t, j)
						first.reads()
						first.pause()
						first.order()
						second := start(t, j)
						second.reads() // it has the lock, as the first one's lease is over
						if !early {
							second.order()
							count(second.says())
						}
						first.wake()
						count(first.says())
						if early { // the first one wakes before the second has written
							second.order()
							count(second.says())
						}
					}
				}
				c, err := open(t.Context(), at, kind, name, guarded)
				if err != nil {
					t.Fatal(err)
				}
				defer c.close()
				n, err := c.read(t.Context(), 1<<53-1)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%d workers were told that they had counted, %d were refused, and the counter is %d: %d lost", told, refused, n, told-n)
				if guarded && (told != n || refused != 2*rounds) {
					t.Error("updates were lost, or the wrong ones refused")
				}
				if !guarded && told-n != 2*rounds {
					t.Error("nothing is lost without the guard: the test shows nothing")
				}
			})
		}
	}
}
