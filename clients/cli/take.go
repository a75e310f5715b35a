package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	dl "distributedlock/clients/go"
)

// lockFlags say which lock to take, and how long to wait for it.
type lockFlags struct {
	Wait   *period `short:"w" xor:"wait" placeholder:"DURATION" help:"Wait so long for the lock; without it, for ever."`
	NoWait bool    `short:"n" xor:"wait" help:"Do not wait at all."`
	TTL    period  `name:"ttl" default:"30s" placeholder:"DURATION" help:"Lease (${default})."`
	Shared bool    `xor:"mode" help:"Hold it together with others who ask for it shared."`
	Limit  int     `xor:"mode" placeholder:"N" help:"Let N hold it at a time."`
	Owner  string  `placeholder:"ID" help:"Owner, for finding deadlocks: who asks under one ID is one; default a new one each time."`
}

// check finds what the service would refuse only after the connection.
func (f *lockFlags) check() error {
	switch {
	case f.TTL <= 0:
		return usage("--ttl: want more than 0")
	case f.Limit < 0:
		return usage("--limit: want 1 or more")
	}
	return nil
}

func (f *lockFlags) options() []dl.Option {
	var o []dl.Option
	if f.Shared {
		o = append(o, dl.WithShared())
	}
	if f.Limit > 0 {
		o = append(o, dl.WithLimit(f.Limit))
	}
	if f.Owner != "" {
		o = append(o, dl.WithOwner(f.Owner))
	}
	return o
}

// interrupted is that a signal ended the wait.
type interrupted struct{ sig syscall.Signal }

func (e *interrupted) Error() string { return "gave up waiting: " + e.sig.String() }

// untilSignal is a context that a signal ends. What it returns beside stops that, and leaves further signals in the
// channel.
func untilSignal(signals <-chan os.Signal) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case s := <-signals:
			sig, _ := s.(syscall.Signal)
			cancel(&interrupted{sig})
		case <-stop:
		}
	}()
	return ctx, func() {
		close(stop)
		<-stopped
	}
}

// take waits for the lock as the flags say. A signal that would end the process ends the wait instead: the request
// leaves the line, or a grant that crosses it is given back, and the exit code is the signal's.
func (a *app) take(c *dl.Client, name string, f *lockFlags, signals <-chan os.Signal, more ...dl.Option) (*dl.Lock, error) {
	ctx, stop := untilSignal(signals)
	lock, err := a.wait(ctx, c, name, f, more)
	stop()
	var sig *interrupted
	if !errors.As(context.Cause(ctx), &sig) {
		return lock, err
	}
	if lock != nil {
		_ = lock.Release() // else its lease ends
	}
	return nil, &coded{exitSignal + int(sig.sig), sig}
}

func (a *app) wait(ctx context.Context, c *dl.Client, name string, f *lockFlags, more []dl.Option) (*dl.Lock, error) {
	if err := a.reach(ctx, c); err != nil {
		return nil, err
	}
	options := append(f.options(), more...)
	if f.NoWait || f.Wait != nil && *f.Wait == 0 {
		ctx, cancel := a.bounded(ctx)
		defer cancel()
		lock, err := c.TryAcquire(ctx, name, f.TTL.duration(), options...)
		return lock, a.inTime(ctx, err)
	}
	if f.Wait != nil {
		options = append(options, dl.WithWait(f.Wait.duration()))
	}
	place := newPlace(a, name, func(ctx context.Context) []dl.Holder {
		ctx, cancel := a.bounded(ctx)
		defer cancel()
		s, err := c.Status(ctx, name)
		if err != nil {
			return nil // then it is not shown
		}
		return s.Holders
	})
	defer place.done()
	start := time.Now()
	lock, err := c.AcquireContext(ctx, name, f.TTL.duration(), append(options, dl.OnQueued(place.moved))...)
	if err == nil && a.Verbose {
		place.done()
		a.say("%s is held, after %s", printable(name), brief(time.Since(start)))
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", printable(name), err)
	}
	return lock, err
}
