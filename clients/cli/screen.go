package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	dl "distributedlock/clients/go"
)

const (
	// refresh is how old the screen gets at most, and shortest how old at least before an event draws it anew.
	refresh  = time.Second
	shortest = 200 * time.Millisecond

	enterScreen = "\x1b[?1049h\x1b[?25l" // the other screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
)

// news are the events that change what is waited for; what happens to locks that nobody waits for costs nothing.
var news = []string{"queued", "dequeued", "deadlock", "expired", "force_released"}

// screen shows what is waited for, anew each second and when something happens, until q or a signal.
func (a *app) screen(ctx context.Context, c *dl.Client, out *os.File) error {
	state, err := term.MakeRaw(0)
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	put(out, "%s", enterScreen)
	defer func() {
		put(out, "%s", leaveScreen)
		_ = term.Restore(0, state) // there is no other way
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	keys, changed := keys(), changes(ctx, c)
	var last *snapshot
	for {
		s, err := a.see(ctx, c)
		if err == nil {
			last = s
		}
		draw(out, last, err)
		again, soon := time.After(refresh), time.After(shortest)
		var moved <-chan struct{} // nil until it may draw
	wait:
		for {
			select {
			case <-ctx.Done():
				if sig, ok := errors.AsType[*interrupted](context.Cause(ctx)); ok {
					return &coded{exitSignal + int(sig.sig), nil}
				}
				return nil
			case k, more := <-keys:
				if !more || k == 'q' || k == 'Q' || k == 3 || k == 4 { // or Ctrl-C, Ctrl-D
					return nil
				}
			case <-soon:
				moved = changed
			case <-moved:
				break wait
			case <-again:
				break wait
			}
		}
	}
}

// see reads the state, and takes no longer than --timeout.
func (a *app) see(ctx context.Context, c *dl.Client) (*snapshot, error) {
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	s, err := contended(ctx, c)
	return s, a.inTime(ctx, err)
}

// keys reads what is typed. The goroutine ends with the process, as a read of the terminal cannot be ended.
func keys() <-chan byte {
	c := make(chan byte)
	go func() {
		defer close(c)
		for buf := make([]byte, 1); ; {
			if n, err := os.Stdin.Read(buf); n == 0 || err != nil {
				return
			}
			c <- buf[0]
		}
	}()
	return c
}

// changes says, not more often than it is asked, that something happened.
func changes(ctx context.Context, c *dl.Client) <-chan struct{} {
	changed := make(chan struct{}, 1)
	go func() {
		// Where events cannot be had, the screen is drawn each second all the same.
		for _, err := range c.Subscribe(ctx, dl.Subscription{Locks: []string{"*"}, Events: news}) {
			if err != nil {
				return
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed
}

// draw shows the snapshot, and what is wrong.
func draw(out *os.File, s *snapshot, err error) {
	width, height, sizeErr := term.GetSize(int(out.Fd()))
	if sizeErr != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	title := "lockctl top  " + time.Now().Format(time.TimeOnly) + "  q leaves"
	if err != nil {
		title += "  " + describe(err)
	}
	if r := []rune(title); len(r) > width {
		title = string(r[:width])
	}
	text := []string{title}
	if s != nil {
		text = append(text, lines(s, width, height-1)...)
	}
	put(out, "%s", "\x1b[H"+strings.Join(text, "\x1b[K\r\n")+"\x1b[K\x1b[J")
}
