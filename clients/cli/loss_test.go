//go:build unix

package main

import (
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// beats is a script that writes the time, in nanoseconds, as often as it can: when a process last lived.
const beats = `while :; do date +%s%N >> "$BEATS"; sleep .01; done`

// lastBeat is the last time that the script wrote.
func lastBeat(t *testing.T, file string) time.Time {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Fields(string(raw))
	ns, err := strconv.ParseInt(all[len(all)-1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(0, ns)
}

func forceRelease(t *testing.T, lock string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodDelete,
		shared.url+"/locks/"+url.PathEscape(lock)+"?reason=test", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+admin)
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Fatalf("force release: %s", r.Status)
	}
}

func TestForceReleasedWhileRunning(t *testing.T) {
	t.Parallel()
	for what, script := range map[string]string{
		"ends at once":  "echo ready; sleep 100",
		"cleans up":     "trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep .05; done",
		"is stopped":    "trap 'echo cleaned; exit 0' TERM; echo ready; kill -STOP $$",
		"ignores TERM":  "trap '' TERM; echo ready; while :; do sleep .05; done",
		"has an orphan": "trap 'exit 0' TERM; (trap '' TERM; while :; do sleep .05; done) & echo ready; while :; do sleep .05; done",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := command(t, "run", "--ttl", "30s", "--grace", "500ms", name(t), "--", "sh", "-c", script).start().wrote("ready\n")
			forceRelease(t, name(t))
			start := time.Now()
			p.exit(exitLost)
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
			if strings.Contains(script, "cleaned") {
				p.wrote("cleaned\n")
			}
			if !strings.Contains(p.err.String(), name(t)+": ") {
				t.Errorf("stderr: %q", p.err.String())
			}
		})
	}
}

// The node dies, and no other is known: the command is gone before another node gives the lock away.
func TestNodeKilledWhileRunning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ what, before string }{
		{"ignores TERM", `trap "" TERM; `},
		{"cleans up", `trap "echo cleaned; exit 0" TERM; `},
		{"leaves an orphan that ignores TERM", `(trap "" TERM; ` + beats + `) & `},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			mine := newNode(t)
			file := filepath.Join(t.TempDir(), "beats")
			p := command(t, "run", "--ttl", "3s", "--grace", "1s", name(t), "--", "sh", "-c", c.before+"echo ready; "+beats).
				env("LOCKCTL_SERVER="+mine.url, "BEATS="+file).start().wrote("ready\n")
			time.Sleep(1200 * time.Millisecond) // a renewal goes by
			mine.kill()
			l := shared.see(t, name(t))
			if !l.Locked {
				t.Fatal("it is not held")
			}
			end := l.Holders[0].ExpiresAt
			p.exit(exitLost)
			if last := lastBeat(t, file); !last.Before(end) {
				t.Errorf("the command lived %s longer than the lease", last.Sub(end))
			} else {
				t.Logf("the command was gone %s before the lease's end", end.Sub(last))
			}
			if c.what == "cleans up" {
				p.wrote("cleaned\n")
			}
		})
	}
}

// With a second node, the command does not notice.
func TestNodeKilledWithAnother(t *testing.T) {
	t.Parallel()
	mine := newNode(t)
	p := command(t, "--server", mine.url, "--server", shared.url, "run", "--ttl", "3s", name(t), "--",
		"sh", "-c", "echo ready; sleep 4; echo done").start().wrote("ready\n")
	mine.kill()
	p.exit(0).wrote("done\n")
}

// While lockctl is stopped it can renew nothing, and nobody can end the command; it does so the moment it goes on.
func TestStoppedLockctl(t *testing.T) {
	t.Parallel()
	p := command(t, "run", "--ttl", "1s", name(t), "--", "sh", "-c", "echo ready; sleep 100").start().wrote("ready\n")
	p.signal(syscall.SIGSTOP)
	eventually(t, "the lease ran out", func() bool { return !shared.see(t, name(t)).Locked })
	p.signal(syscall.SIGCONT)
	p.exit(exitLost)
}

// The command dies with lockctl, and the lease runs out by itself.
func TestKilledLockctl(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Skip("only on Linux does the command die with lockctl")
	}
	p := command(t, "run", "--ttl", "1s", name(t), "--", "sh", "-c", "echo $$; while :; do sleep .05; done").start().wrote("\n")
	child, _ := strconv.Atoi(strings.TrimSpace(p.out.String()))
	p.signal(syscall.SIGKILL)
	<-p.ended
	eventually(t, "the command is gone", func() bool { return gone(child) })
	eventually(t, "the lease ran out", func() bool { return !shared.see(t, name(t)).Locked })
}

// The service is away when the lock is to be given back: the command had it to its end, and its code counts.
func TestNodeKilledAtTheEnd(t *testing.T) {
	t.Parallel()
	mine := newNode(t)
	p := command(t, "run", "--ttl", "20s", name(t), "--", "sh", "-c", "echo ready; read x; exit 3").env("LOCKCTL_SERVER=" + mine.url)
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.start().wrote("ready\n")
	mine.kill()
	_ = in.Close()
	p.exit(3)
	if !strings.Contains(p.err.String(), "not given back") {
		t.Errorf("stderr: %q", p.err.String())
	}
}

// silence takes connections and says nothing.
func silence(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return "http://" + l.Addr().String() // the kernel takes them
}

// state1 is the letter of a process's state, as of ps.
func state1(t *testing.T, pid string) string {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		t.Skip("no /proc here")
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return after[:1]
}
