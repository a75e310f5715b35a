// Package queue keeps locks, their holders and their lines of waiting requests in Redis.
//
// A lock is a weighted FIFO semaphore whose holders have leases: one holder where it is exclusive, any number of
// readers where it is shared, up to a limit where it is a semaphore. Every change is one atomic Lua script on one
// partition (see keys.go), so that freeing a lock, choosing the next in line and writing its grant are one step.
//
// Redis's clock is the only one that decides anything. A [Store] learns it from every answer and sends with every
// script the last moment at which that script may still run.
package queue
