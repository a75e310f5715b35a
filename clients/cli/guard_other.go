//go:build !unix

package main

import (
	"errors"
	"os"

	dl "distributedlock/clients/go"
)

// guard is for systems with process groups only.
type guard struct{ lock *dl.Lock }

func newGuard(_ *app, _ *runCmd, lock *dl.Lock) *guard { return &guard{lock} }

func (*guard) run(string, chan os.Signal) (int, error) {
	return 0, errors.New("lockctl run needs process groups, which this system has not")
}

func (g *guard) end(_ int, err error) error {
	_ = g.lock.Release()
	return err
}
