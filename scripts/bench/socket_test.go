package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func socketOf(t *testing.T, received string) *socket {
	c := answered(t, received)
	return &socket{Conn: c.Conn, r: c.r}
}

func TestSocketNext(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, c := range []struct{ name, received, want, fault string }{
		{"short", "\x81\x02{}", "{}", ""},
		{"long", "\x81\x7e\x01\x2c" + long, long, ""},
		{"closed with a code", "\x88\x0a\x11\x38too slow", "", "4408 too slow"},
		{"closed without", "\x88\x00", "", errClosed.Error()},
		{"cut short", "\x81\x05{", "", "EOF"},
		{"masked", "\x81\x82\x00\x00\x00\x00{}", "", errAnswer.Error()},
		{"too long", "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00", "", errAnswer.Error()},
		{"binary", "\x82\x02{}", "", errAnswer.Error()},
		{"nothing", "", "", "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := socketOf(t, c.received).next()
			if string(b) != c.want || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

// TestSocketAnswers has a ping answered, and frames sent that were put, before the next is waited for.
func TestSocketAnswers(t *testing.T) {
	here, there := net.Pipe()
	s := &socket{Conn: here, r: bufio.NewReader(here)}
	s.put(opText, []byte(strings.Repeat("x", 126)))
	const want = "\x81\xfe\x00\x7e\x00\x00\x00\x00"
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			sent := make([]byte, len(want)+126)
			if _, err := io.ReadFull(there, sent); err != nil || !strings.HasPrefix(string(sent), want) {
				return errors.Join(errors.New("not what was put: "+string(sent)), err)
			}
			if _, err := there.Write([]byte("\x89\x02hi")); err != nil {
				return err
			}
			const pong = "\x8a\x82\x00\x00\x00\x00hi"
			sent = sent[:len(pong)]
			if _, err := io.ReadFull(there, sent); err != nil || string(sent) != pong {
				return errors.Join(errors.New("no pong: "+string(sent)), err)
			}
			_, err := there.Write([]byte("\x81\x02{}\x81\x02[]"))
			return err
		}()
		_ = there.Close()
	}()
	for _, want := range []string{"{}", "[]"} {
		if b, err := s.next(); string(b) != want || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	_ = here.Close()
}

func TestShake(t *testing.T) {
	for _, c := range []struct{ name, answer, fault string }{
		{"accepted", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", ""},
		{"refused", "HTTP/1.1 403 Forbidden\r\n\r\n", "403"},
		{"cut short", "HTTP/1.1 101 Switching Protocols\r\n", "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			here, there := net.Pipe()
			s := &socket{Conn: here, r: bufio.NewReader(here)}
			done := make(chan struct{})
			go func() {
				defer close(done)
				r := bufio.NewReader(there)
				for line := "-"; line != "\r\n" && line != ""; {
					line, _ = r.ReadString('\n')
				}
				_, _ = there.Write([]byte(c.answer))
				_ = there.Close()
			}()
			err := s.shake("bench")
			if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Error(err)
			}
			<-done
			_ = here.Close()
		})
	}
}

func TestSocketWireNext(t *testing.T) {
	text := func(s string) string { return "\x81\x7e" + string([]byte{byte(len(s) >> 8), byte(len(s))}) + s }
	const waiting = `{"type":"queued","id":"7","position":1}`
	for _, c := range []struct {
		name, received string
		want           reply
		fault          string
	}{
		{"granted after a wait", text(waiting) + text(`{"type":"position","id":"7"}`) + text(`{"type":"granted","id":"7","acquired":true,"lockId":"x"}`), reply{7, true, []byte("x")}, ""},
		{"released", text(`{"type":"released","id":"12","released":true}`), reply{client: 12}, ""},
		{"granted without lockId", text(`{"type":"granted","id":"7"}`), reply{}, "granted"},
		{"error", text(`{"type":"error","id":"7","code":"lock_held"}`), reply{}, "lock_held"},
		{"nonsense", text(`[]`), reply{}, "[]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &socketWire{socket: socketOf(t, c.received)}
			r, err := w.next()
			if r.client != c.want.client || r.granted != c.want.granted || string(r.id) != string(c.want.id) ||
				(err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestListen(t *testing.T) {
	event := func(name string) string {
		s := `{"type":"event","subscription":"s1","event":"granted","lockName":"` + name + `","clientId":"c"}`
		return "\x81\x7e" + string([]byte{0, byte(len(s))}) + s
	}
	const gap = `{"type":"event","event":"gap"}`
	l := listen(nil)
	l.all = make([]listener, 1)
	l.timing.Store(true)
	s := socketOf(t, event(eventLock())+event("other")+"\x81\x1e"+gap+event(eventLock()))
	for range 4 {
		b, err := s.next()
		if err != nil {
			t.Fatal(err)
		}
		l.hear(&l.all[0], b)
	}
	took := l.taken()
	if l.told.Load() != 2 || l.gaps.Load() != 1 || len(l.turn) != 2 || len(took) != 2 {
		t.Fatalf("told %d, gaps %d, turns %d, took %v", l.told.Load(), l.gaps.Load(), len(l.turn), took)
	}
	if took[0] < 0 || took[1] > time.Minute {
		t.Errorf("took %v", took)
	}
}
