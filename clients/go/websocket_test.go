package distributedlock_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	lock "distributedlock/clients/go"
)

func TestNoWebSocket(t *testing.T) {
	t.Parallel()
	n := shared(t)
	for _, status := range []int{404, 400, 426, 501, 200, 0} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			p := startHTTPProxy(t, n.addr, status)
			c, other, name := client(t, p.url), client(t, n.url), name(t)
			l := must[*lock.Lock](t)(c.Acquire(name, 2*time.Second, lock.WithAutoRenew()))
			got := make(chan error, 1)
			go func() {
				l, err := c.Acquire(name, 10*time.Second)
				if err == nil {
					if left := time.Until(l.ExpiresAt()); left < 8*time.Second {
						err = fmt.Errorf("only %v left", left)
					} else {
						err = l.Release()
					}
				}
				got <- err
			}()
			queue(t, other, name, 1)
			time.Sleep(2500 * time.Millisecond)
			if err := errors.Join(l.Err(), l.Release(), <-got); err != nil {
				t.Fatal(err)
			}
			for _, err := range c.Subscribe(t.Context(), lock.Subscription{}) {
				if !errors.Is(err, lock.ErrUnavailable) {
					t.Fatal(err)
				}
			}
			if c.Connected() {
				t.Fatal("a WebSocket after all")
			}
		})
	}
}

// A WebSocket that could not be had is tried again.
func TestWebSocketLater(t *testing.T) {
	t.Parallel()
	n := shared(t)
	p := startHTTPProxy(t, n.addr, 404)
	c := client(t, p.url, lock.WithEndpoints(p.url))
	l := must[*lock.Lock](t)(c.Acquire(name(t), 10*time.Second))
	_ = l.Release()
	c2 := client(t, p.url, lock.WithEndpoints(n.url))
	l = must[*lock.Lock](t)(c2.Acquire(name(t), 10*time.Second))
	_ = l.Release()
	if !c2.Connected() || c.Connected() {
		t.Fatal("the wrong one is connected")
	}
	c.TryWebSocket()
	l = must[*lock.Lock](t)(c.Acquire(name(t), 10*time.Second))
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}

// Connections end again and again, and nothing is lost or held by that.
func TestReconnectStorm(t *testing.T) {
	n := shared(t)
	p := startProxy(t, n.addr)
	c, other, name := client(t, p.url), client(t, n.url), name(t)
	kept := must[*lock.Lock](t)(c.Acquire(name+"kept", 10*time.Second, lock.WithAutoRenew()))
	end := time.Now().Add(5 * time.Second)
	var all sync.WaitGroup
	inside := make([]int, 3)
	for i := range 30 {
		all.Go(func() {
			for time.Now().Before(end) {
				l, err := c.Acquire(fmt.Sprint(name, i%3), 30*time.Second, lock.WithWait(20*time.Second))
				if err != nil {
					t.Error(err)
					return
				}
				inside[i%3]++ // the race detector sees two at once
				if err := l.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for time.Now().Before(end) {
		time.Sleep(200 * time.Millisecond)
		p.cut()
	}
	all.Wait()
	if err := errors.Join(kept.Err(), kept.Release()); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		free(t, other, fmt.Sprint(name, i))
	}
	if inside[0]+inside[1]+inside[2] < 30 || p.opened.Load() < 10 {
		t.Fatal(inside, p.opened.Load())
	}
	t.Log(inside, p.opened.Load())
}
