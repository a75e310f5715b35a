package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// needRedis skips where no redis-server can be had.
func needRedis(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts some ten processes")
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server on PATH, and faults hurts no other")
	}
}

// TestCampaign plays a round of two faults: nothing is wrong, and something was done.
func TestCampaign(t *testing.T) {
	t.Parallel()
	needRedis(t)
	var out, log bytes.Buffer
	if code := run([]string{"-only", "^(node-kill|pubsub-kill)$", "-rounds", "1", "-seed", "3"}, &out, &log); code != 0 {
		t.Fatalf("exit code %d\n%s", code, log.String())
	}
	for _, name := range []string{"node-kill", "pubsub-kill"} {
		if !regexp.MustCompile(`(?m)^\| ` + name + ` \| .* \| 1 \| [0-9,]{3,} \| 0 \| 0, 0 \| [0-9.]+ s \| [0-9.]+ s, [0-9.]+ s \|$`).Match(out.Bytes()) {
			t.Errorf("no sound line of %s in\n%s", name, out.String())
		}
	}
	if !strings.Contains(out.String(), "| all | 16 histories held against the model | 2 |") {
		t.Errorf("not all histories were checked:\n%s", out.String())
	}
}

// TestSilent hands some locks over without messages.
func TestSilent(t *testing.T) {
	t.Parallel()
	needRedis(t)
	var out, log bytes.Buffer
	if code := run([]string{"-only", "^silent$", "-handovers", "200"}, &out, &log); code != 0 {
		t.Fatalf("exit code %d\n%s", code, log.String())
	}
	if strings.Count(out.String(), "| 0 | 0, 0 |") != 3 {
		t.Errorf("no sound lines in\n%s", out.String())
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-only", "("}, {"-rounds", "x"}, {"-only", "no such fault"}} {
		if code := run(args, io.Discard, io.Discard); code != 1 {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
	seen := map[string]bool{}
	for _, f := range faults {
		if seen[f.name] || f.strike == nil || f.on.nodes < 2 || f.about == "" {
			t.Errorf("%+v", f)
		}
		seen[f.name] = true
	}
}

// TestReadFrame reads answers of all kinds, and knows the messages among them.
func TestReadFrame(t *testing.T) {
	message := ">3\r\n$7\r\nmessage\r\n$9\r\ndl:node:a\r\n$6\r\nping 1\r\n"
	for frame, want := range map[string]string{
		"+OK\r\n": "", "-ERR no\r\n": "", ":12\r\n": "", "_\r\n": "", "#t\r\n": "", ",1.5\r\n": "", "$-1\r\n": "", "*-1\r\n": "", "*0\r\n": "",
		"$4\r\na\r\nb\r\n": "", "*2\r\n:1\r\n*1\r\n$1\r\na\r\n": "", "%1\r\n+a\r\n:1\r\n": "", "~1\r\n+a\r\n": "", "=5\r\ntxt:a\r\n": "",
		"|1\r\n+a\r\n:1\r\n+OK\r\n":                  "",
		">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n": "",
		message: "ping 1",
		"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n":   "", // an answer to a question that looks like one
		">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\n7\r\n":   "7",
		">3\r\n$8\r\nsmessage\r\n$1\r\na\r\n$2\r\nhi\r\n": "hi",
	} {
		got, about, err := readFrame(bufio.NewReader(strings.NewReader(frame+"+NEXT\r\n")), nil)
		if err != nil || string(got) != frame || about != want {
			t.Errorf("%q: %q, %q, %v", frame, got, about, err)
		}
	}
	for _, bad := range []string{"", "x", "\r\n", "!\r\n", "?1\r\n", "*x\r\n", "$5\r\nab", "*2\r\n:1\r\n"} {
		if got, _, err := readFrame(bufio.NewReader(strings.NewReader(bad)), nil); err == nil {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

// echo is a server that answers each line with the answers that the test gives for it.
func echo(t *testing.T, answers map[string]string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			lines := bufio.NewScanner(c)
			for lines.Scan() {
				_, _ = io.WriteString(c, answers[lines.Text()])
			}
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// TestProxy sees each mode do to the answers what it says.
func TestProxy(t *testing.T) {
	push := func(text string) string {
		return fmt.Sprintf(">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$%d\r\n%s\r\n", len(text), text)
	}
	addr := echo(t, map[string]string{"a": "+A\r\n" + push("7") + push("ping 4") + "+B\r\n", "b": "+C\r\n"})
	for _, c := range []struct {
		mode    mode
		want    string
		dropped int64
	}{
		{pass, "+A\r\n" + push("7") + push("ping 4") + "+B\r\n", 0},
		{delay, "+A\r\n" + push("7") + push("ping 4") + "+B\r\n", 0},
		{slow, "+A\r\n" + push("7") + push("ping 4") + "+B\r\n", 0},
		{mute, "+A\r\n" + push("ping 4") + "+B\r\n", 1},
		{deaf, "+A\r\n+B\r\n", 2},
	} {
		p, conn := proxied(t, addr)
		p.set(c.mode, 5*time.Millisecond)
		got := make([]byte, len(c.want))
		if _, err := io.WriteString(conn, "a\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != c.want || p.dropped.Load() != c.dropped {
			t.Errorf("mode %d: %q, %v, %d dropped", c.mode, got, err, p.dropped.Load())
		}
		_ = conn.Close()
		p.end()
	}
}

// proxied is a connection through a new proxy, over which something has gone already.
func proxied(t *testing.T, addr string) (*proxy, net.Conn) {
	t.Helper()
	p, err := newProxy(context.Background(), addr, true)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	hear(t, conn, "b\n", "+C\r\n")
	return p, conn
}

func hear(t *testing.T, conn net.Conn, say, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.WriteString(conn, say); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("%q, %v", got, err)
	}
}

// TestProxyLoses sees that what a hole held back arrives in the end, and that a connection on which answers were lost
// breaks.
func TestProxyLoses(t *testing.T) {
	addr := echo(t, map[string]string{"b": "+C\r\n"})
	p, conn := proxied(t, addr)
	p.set(hole, 0)
	healed := time.AfterFunc(50*time.Millisecond, func() { p.set(pass, 0) })
	defer healed.Stop()
	begin := time.Now()
	if hear(t, conn, "b\n", "+C\r\n"); time.Since(begin) < 50*time.Millisecond {
		t.Error("the hole let something through")
	}
	p.set(drop, 0)
	if _, err := io.WriteString(conn, "b\n"); err != nil {
		t.Fatal(err)
	}
	for tainted := false; !tainted; time.Sleep(time.Millisecond) { // a poll of a condition; the test's end bounds it
		p.mu.Lock()
		tainted = p.tainted
		p.mu.Unlock()
	}
	p.set(pass, 0)
	if n, err := conn.Read(make([]byte, 10)); err == nil {
		t.Errorf("%d bytes over a connection that lost some", n)
	}
	_ = conn.Close()
	p.end()
}
