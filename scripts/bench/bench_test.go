package main

import (
	"bufio"
	"bytes"
	"math"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain lets the tests' binary be the bare server, as the bench's own is when it starts itself again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-bare-on" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// TestQuick runs every scenario with little work, those too that run only where they are named.
func TestQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("starts some ten processes")
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server on PATH, and the bench measures no other")
	}
	var out, log bytes.Buffer
	for _, args := range [][]string{{"-quick"}, {"-quick", "-only", strings.ReplaceAll(names(apart), " ", ",")}} {
		if code := run(args, &out, &log); code != 0 {
			t.Fatalf("%s: exit code %d\n%s", args, code, log.String())
		}
	}
	for _, s := range slices.Concat(scenarios, apart) {
		if !strings.Contains(out.String(), "| "+s.name+" ") {
			t.Errorf("no figure of %s in\n%s", s.name, out.String())
		}
	}
	for _, never := range []string{"NaN", "Inf"} {
		if strings.Contains(out.String(), never) {
			t.Errorf("%s in\n%s", never, out.String())
		}
	}
}

func TestChoose(t *testing.T) {
	all, err := choose("")
	if err != nil || len(all) != len(scenarios) {
		t.Errorf("%d scenarios, %v", len(all), err)
	}
	if slices.ContainsFunc(all, func(s scenario) bool { return s.name == apart[0].name }) {
		t.Errorf("%s runs though nobody named it", apart[0].name)
	}
	named, err := choose(apart[0].name)
	if err != nil || len(named) != 1 || named[0].name != apart[0].name {
		t.Errorf("%v, %v", named, err)
	}
	some, err := choose("idle, cold")
	if err != nil || len(some) != 2 || some[0].name != "idle" || some[1].name != "cold" {
		t.Errorf("%v, %v", some, err)
	}
	if _, err := choose("cold,warm"); err == nil || !strings.Contains(err.Error(), `"warm"`) {
		t.Errorf("error %v", err)
	}
}

func TestFigures(t *testing.T) {
	ten := make([]time.Duration, 10)
	for i := range ten {
		ten[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"p50 of ten", float64(percentile(ten, 50)), 5},
		{"p99 of ten", float64(percentile(ten, 99)), 10},
		{"p50 of none", float64(percentile(nil, 50)), 0},
		{"p50 of one", float64(percentile(ten[:1], 50)), 1},
		{"median of none", median(nil), 0},
		{"median of three", median([]float64{9, 1, 2}), 2},
		{"median of four", median([]float64{9, 1, 2, 4}), 3},
		{"all the same", jain([]int{7, 7, 7}), 1},
		{"one has all", jain([]int{9, 0, 0}), 1.0 / 3},
		{"nobody has any", jain([]int{0, 0}), 0},
	} {
		if math.Abs(c.got-c.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
}

// answered is a connection whose other end answers with the text.
func answered(t *testing.T, text string) *conn {
	t.Helper()
	here, there := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = there.Write([]byte(text))
		_ = there.Close()
	}()
	t.Cleanup(func() { _ = here.Close(); <-done })
	return &conn{Conn: here, r: bufio.NewReader(here)}
}

func TestReceive(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nDate: x\r\ncontent-length: 14\r\n\r\n"
	for _, c := range []struct{ name, answer, want, fault string }{
		{"granted", ok + `{"lockId":"x"}`, "x", ""},
		{"no lockId", ok + `{"lockIx":"x"}`, "", "no lockId"},
		{"an empty lockId", "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n" + `{"lockId":""}`, "", "no lockId"},
		{"a problem", "HTTP/1.1 409 Conflict\r\nContent-Length: 4\r\n\r\nheld", "", "status 409: held"},
		{"cut short", ok + `{"lock`, "", "EOF"},
		{"no length", "HTTP/1.1 200 OK\r\n\r\n", "", "no Content-Length"},
		{"a bad length", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "", errAnswer.Error()},
		{"not HTTP", "SSH-2.0-x\r\n\r\n", "", errAnswer.Error()},
		{"closed", "", "", "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, err := answered(t, c.answer).taken()
			if id != c.want || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%q, %v", id, err)
			}
		})
	}
}

func TestReport(t *testing.T) {
	r := &report{machine: "2 CPUs"}
	r.begin(scenario{name: "cold"})
	r.add("cycles", "%d", 7)
	r.aim("ratio", 0.5, "%.2f µs", "≥ 0.90", false)
	r.begin(scenario{name: "hot"}) // failed before its first figure
	r.begin(scenario{name: "idle"})
	r.aim("rate", 3, "%.0f", "≤ 5", true)
	var out bytes.Buffer
	r.print(&out)
	const want = `2 CPUs

| scenario | figure | value   | goal           |
| -------- | ------ | ------- | -------------- |
| cold     | cycles | 7       |                |
|          | ratio  | 0.50 µs | ≥ 0.90: MISSED |
| idle     | rate   | 3       | ≤ 5: met       |
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestOwnProcess(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc")
	}
	for begin := time.Now(); cpuTime(os.Getpid()) == 0; { // uses CPU time, bounded
		if time.Since(begin) > 10*time.Second {
			t.Fatal("no CPU time")
		}
	}
	if r := resident(os.Getpid()); r < 1<<20 {
		t.Errorf("%.0f bytes resident", r)
	}
}
