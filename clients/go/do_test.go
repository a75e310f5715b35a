package distributedlock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	lock "distributedlock/clients/go"
)

func TestDo(t *testing.T) {
	t.Parallel()
	c, n := client(t, shared(t).url, lock.WithToken("admin")), name(t)
	broken := errors.New("broken")
	if err := c.Do(t.Context(), n, func(context.Context) error { return broken }); !errors.Is(err, broken) || errors.Is(err, lock.ErrLockLost) {
		t.Fatal(err)
	}
	free(t, c, n)
	err := c.Do(t.Context(), n, func(ctx context.Context) error {
		if _, err := c.ForceRelease(context.Background(), n, "test"); err != nil {
			return err
		}
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), lock.ErrLockLost) {
			t.Error(context.Cause(ctx))
		}
		return broken
	})
	if !errors.Is(err, broken) || !errors.Is(err, lock.ErrLockLost) {
		t.Fatal(err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = c.Do(t.Context(), n, func(context.Context) error { panic("x") })
	}()
	free(t, c, n)
	ctx, cancel := context.WithCancelCause(t.Context())
	err = c.Do(ctx, n, func(inner context.Context) error {
		cancel(broken)
		<-inner.Done()
		return context.Cause(inner)
	}, lock.WithTTL(time.Second), lock.WithWait(time.Second))
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
}

func TestAutoRenewAndMaxHold(t *testing.T) {
	t.Parallel()
	c, n := client(t, shared(t).url, logged(t)), name(t)
	l := must[*lock.Lock](t)(c.Acquire(n, 3*time.Second, lock.WithAutoRenew()))
	brief := must[*lock.Lock](t)(c.Acquire(n+"b", 2*time.Second, lock.WithAutoRenew(), lock.WithMaxHold(2400*time.Millisecond)))
	plain := must[*lock.Lock](t)(c.Acquire(n+"p", 2*time.Second))
	start := time.Now()
	<-plain.Done()
	if d := time.Since(start); d > 2*time.Second || !errors.Is(plain.Err(), lock.ErrLockLost) {
		t.Fatal(d, plain.Err())
	}
	<-brief.Done()
	if d := time.Since(start); d < 2100*time.Millisecond || d > 4600*time.Millisecond || !errors.Is(brief.Err(), lock.ErrLockLost) {
		t.Fatal(d, brief.Err())
	}
	time.Sleep(time.Until(start.Add(7 * time.Second)))
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	if err := l.Renew(t.Context(), 10*time.Second); err != nil || time.Until(l.ExpiresAt()) < 9*time.Second {
		t.Fatal(err, time.Until(l.ExpiresAt()))
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}
