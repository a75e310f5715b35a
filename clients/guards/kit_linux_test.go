package guards_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"distributedlock/clients/guards"
)

// TestMain is a worker's main too: see worker.
func TestMain(m *testing.M) {
	if job := os.Getenv(jobVariable); job != "" {
		work(job)
		return
	}
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // most tests wait most of the time
	goleak.VerifyTestMain(m)
}

// need skips a test loudly where something is missing, and fails where CI=true, as nobody would read the line there.
func need(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what + " is missing: scripts/setup installs it")
	}
	t.Skip("*** SKIPPED: " + what + " is missing: scripts/setup installs it ***")
}

// process starts a program that ends with the test, by a signal.
func process(t *testing.T, stop syscall.Signal, cmd *exec.Cmd) {
	t.Helper()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(stop)
		_ = cmd.Wait()
	})
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// eventually polls a condition.
func eventually(t *testing.T, what string, most time.Duration, is func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", most, what)
		}
	}
}

// where starts the resource of a kind; redis is one that runs already.
func where(t *testing.T, kind, redis string) (at addresses) {
	t.Helper()
	switch kind {
	case "postgres":
		at.Postgres = startPostgres(t)
	case "redis":
		at.Redis = redis
	default:
		at.HTTP = startHTTP(t)
	}
	return at
}

// startRedis is a private Redis.
func startRedis(t *testing.T) (addr string) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		need(t, "redis-server")
	}
	port := freePort(t)
	process(t, syscall.SIGKILL, exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir()))
	addr = "127.0.0.1:" + port
	eventually(t, "redis answers", 10*time.Second, func() bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		defer c.Close()
		_, _ = c.Write([]byte("PING\r\n"))
		line, _ := bufio.NewReader(c).ReadString('\n')
		return strings.HasPrefix(line, "+PONG")
	})
	return addr
}

var servingLine = regexp.MustCompile(`"serving".*"address":"([^"]+)"`)

// startService builds the lock service and runs a node of it.
func startService(t *testing.T, redis string) (url string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "lockd")
	build := exec.Command("go", "build", "-o", program, "./service/cmd/lockd")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the service does not build: %v\n%s", err, out)
	}
	cmd := exec.Command(program)
	host, port, _ := net.SplitHostPort(redis)
	cmd.Env = append(os.Environ(), "REDIS_HOST="+host, "REDIS_PORT="+port, "LISTEN_ADDR=127.0.0.1:0")
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = in, in
	serving, all := make(chan string, 1), sync.WaitGroup{}
	all.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := servingLine.FindStringSubmatch(lines.Text()); m != nil {
				serving <- m[1]
			}
		}
		_ = out.Close()
	})
	t.Cleanup(all.Wait)
	process(t, syscall.SIGTERM, cmd)
	_ = in.Close()
	select {
	case addr := <-serving:
		url = "http://" + addr
	case <-time.After(15 * time.Second):
		t.Fatal("lockd does not serve")
	}
	return url
}

// startPostgres is a private PostgreSQL, which refuses to run as root.
func startPostgres(t *testing.T) (dsn string) {
	t.Helper()
	programs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // where Debian has it
	if path, err := exec.LookPath("initdb"); err == nil {
		programs = append(programs, path)
	}
	if len(programs) == 0 {
		need(t, "PostgreSQL")
	}
	initdb := programs[len(programs)-1]
	dir, err := os.MkdirTemp("", "pg") //nolint:usetesting // its socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	as := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		nobody, err := user.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.ParseUint(nobody.Uid, 10, 32)
		gid, _ := strconv.ParseUint(nobody.Gid, 10, 32)
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	begin := exec.Command(initdb, "-D", data, "-U", "guard", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	begin.Dir, begin.SysProcAttr = dir, as
	if out, err := begin.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	serve := exec.Command(filepath.Join(filepath.Dir(initdb), "postgres"), "-D", data, "-k", dir, "-F", "-c", "listen_addresses=")
	serve.Dir, serve.SysProcAttr = dir, as
	process(t, syscall.SIGINT, serve)
	dsn = "host=" + dir + " user=guard dbname=postgres"
	eventually(t, "postgres answers", 15*time.Second, func() bool {
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			return false
		}
		defer conn.Close(context.Background())
		_, err = conn.Exec(t.Context(), schema)
		return err == nil
	})
	return dsn
}

// startHTTP is a service that keeps numbers, under /guarded/ with the guard and under /open/ without.
func startHTTP(t *testing.T) (url string) {
	t.Helper()
	var mu sync.Mutex
	numbers := map[string]string{}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodPut {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			numbers[r.URL.Path] = string(body)
		}
		n := numbers[r.URL.Path]
		if n == "" {
			n = "0"
		}
		_, _ = fmt.Fprint(w, n)
	})
	mux := http.NewServeMux()
	mux.Handle("/guarded/", guards.HTTP(guards.Remember(), handler))
	mux.Handle("/open/", handler)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}
