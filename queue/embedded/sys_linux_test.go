package embedded_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"distributedlock/queue/embedded"
)

func TestOwnProcessGroup(t *testing.T) {
	s := start(t, embedded.RealOnly())
	if group, err := syscall.Getpgid(s.PID()); err != nil || group != s.PID() {
		t.Errorf("process %d is in group %d, %v: a Ctrl-C reaches it", s.PID(), group, err)
	}
}

func TestDiesWithParent(t *testing.T) {
	start(t, embedded.RealOnly()) // skips where there is none
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), orphanEnv+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, readErr := bufio.NewReader(out).ReadString('\n')
	_ = parent.Process.Kill()
	_ = parent.Wait()
	var pid int
	var dir string
	if _, err := fmt.Sscan(line, &pid, &dir); err != nil {
		t.Fatalf("%q, %v, %v", line, err, readErr)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for end := time.Now().Add(10 * time.Second); running(pid); {
		if time.Now().After(end) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("redis-server %d outlived its parent", pid)
		}
	}
}

// running tells whether the process lives; one that ended and waits to be collected does not.
func running(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}
