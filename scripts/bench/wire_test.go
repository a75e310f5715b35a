package main

import (
	"bytes"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"
)

// fakeWire grants and releases at once, and breaks after so many answers.
type fakeWire struct {
	answers []reply
	breaks  int
	log     []string
	closed  bool
}

var errBroken = errors.New("broken")

func (w *fakeWire) acquire(client int, lock string) {
	w.log = append(w.log, "acquire "+lock)
	w.answers = append(w.answers, reply{client: client, granted: true, id: []byte("id-" + lock)})
}

func (w *fakeWire) release(client int, lock string, id []byte) {
	w.log = append(w.log, "release "+lock+" "+string(id))
	w.answers = append(w.answers, reply{client: client})
}

func (w *fakeWire) next() (reply, error) {
	if w.breaks--; w.breaks < 0 || w.closed {
		return reply{}, errBroken
	}
	r := w.answers[0]
	w.answers = w.answers[1:]
	return r, nil
}

func (w *fakeWire) Close() error {
	w.closed = true
	return nil
}

// listPlayer takes the locks of a list.
type listPlayer struct {
	locks  []string
	takers []int
}

func (p *listPlayer) next(int) (string, bool) {
	if len(p.locks) == 0 {
		return "", false
	}
	lock := p.locks[0]
	p.locks = p.locks[1:]
	return lock, true
}

func (p *listPlayer) took(client int) error {
	p.takers = append(p.takers, client)
	return nil
}

func TestPlay(t *testing.T) {
	w, p := &fakeWire{breaks: 100}, &listPlayer{locks: []string{"a", "b", "c"}}
	if err := play(w, []int{4, 5}, p); err != nil {
		t.Fatal(err)
	}
	want := []string{"acquire a", "acquire b", "release a id-a", "release b id-b", "acquire c", "release c id-c"}
	if !reflect.DeepEqual(w.log, want) || !reflect.DeepEqual(p.takers, []int{4, 5, 4}) {
		t.Errorf("%v, %v", w.log, p.takers)
	}
}

func TestPlayAllBreaks(t *testing.T) {
	wires := []*fakeWire{{breaks: 3}}
	if err := playAll(wires, 2, &listPlayer{locks: []string{"a", "b", "c"}}); !errors.Is(err, errBroken) || !wires[0].closed {
		t.Errorf("%v, closed %v", err, wires[0].closed)
	}
}

func TestOwnLocksOver(t *testing.T) {
	o, err := ownLocksOver([]*fakeWire{{breaks: 1000}, {breaks: 1000}}, 5, 20)
	if err != nil || o.cycles != 20 || len(o.acquires) != 20 || o.took <= 0 {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestSetWire(t *testing.T) {
	for _, c := range []struct {
		name, answer, fault string
		granted             bool
	}{
		{"set", "+OK\r\n", "", true},
		{"held by another", "$-1\r\n", "$-1", true},
		{"deleted", ":1\r\n", "", false},
		{"another's", ":0\r\n", ":0", false},
		{"an error", "-ERR no\r\n", "-ERR no", true},
		{"closed", "", "EOF", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := answered(t, c.answer)
			w := &setWire{Conn: discarding{a.Conn}, r: a.r, sent: []reply{{client: 3, granted: c.granted}}}
			r, err := w.next()
			if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%+v, %v", r, err)
			}
			if err == nil && (r.client != 3 || r.granted != c.granted) {
				t.Errorf("%+v", r)
			}
		})
	}
}

// discarding takes whatever is written.
type discarding struct{ net.Conn }

func (discarding) Write(p []byte) (int, error) { return len(p), nil }

func TestSetWireCommands(t *testing.T) {
	w := &setWire{sha: "abc"}
	w.acquire(7, "x")
	w.release(7, "x", w.sent[0].id)
	const want = "*6\r\n$3\r\nSET\r\n$7\r\nsetnx:x\r\n$22\r\n0000000000000000000007\r\n$2\r\nNX\r\n$2\r\nPX\r\n$6\r\n300000\r\n" +
		"*5\r\n$7\r\nEVALSHA\r\n$3\r\nabc\r\n$1\r\n1\r\n$7\r\nsetnx:x\r\n$22\r\n0000000000000000000007\r\n"
	if !bytes.Equal(w.out, []byte(want)) {
		t.Errorf("%q", w.out)
	}
}
