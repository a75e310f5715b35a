package main

import "time"

// work is how much of each thing is done.
type work struct {
	clients                  int
	coldCycles, pairs        int
	hotFor                   time.Duration
	hotRounds                int
	crowds                   []int // lengths of a hot lock's line
	sitting                  []int // requests that wait and do nothing
	sitFor                   time.Duration
	heldLocks                int
	heldCycles, heldRounds   int
	waiters, waitersPerLock  int
	leaseEnds, leaseParallel int
	deadRounds, deadWaiters  int
	wsRounds, slowCycles     int
	wsSessions               int
	wsIdleFor                time.Duration // longer than a heartbeat
	subscribers, eventRate   int
	eventFor                 time.Duration
	eventWindow              int // events on their way at once
}

var fullWork = work{
	clients:    50,
	coldCycles: 10_000, pairs: 11,
	hotFor: 2 * time.Second, hotRounds: 3, crowds: []int{10, 50, 1000},
	sitting: []int{0, 10, 300, 1000}, sitFor: 6 * time.Second,
	heldLocks: 100_000, heldCycles: 4_000, heldRounds: 11,
	waiters: 10_000, waitersPerLock: 100,
	leaseEnds: 50, leaseParallel: 5,
	deadRounds: 5, deadWaiters: 3,
	wsRounds: 5, slowCycles: 10_000,
	wsSessions: 10_000, wsIdleFor: 16 * time.Second,
	subscribers: 5_000, eventRate: 5, eventFor: 4 * time.Second, eventWindow: 16,
}

var quickWork = work{
	clients:    10,
	coldCycles: 500, pairs: 1,
	hotFor: 200 * time.Millisecond, hotRounds: 1, crowds: []int{10, 50},
	sitting: []int{0, 10}, sitFor: 1500 * time.Millisecond,
	heldLocks: 500, heldCycles: 200, heldRounds: 1,
	waiters: 100, waitersPerLock: 10,
	leaseEnds: 4, leaseParallel: 4,
	deadRounds: 1, deadWaiters: 2,
	wsRounds: 1, slowCycles: 500,
	wsSessions: 100, wsIdleFor: 2 * time.Second,
	subscribers: 50, eventRate: 20, eventFor: 500 * time.Millisecond, eventWindow: 2,
}
