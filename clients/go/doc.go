// Package distributedlock is the client of the distributed lock service: fair, fenced locks with leases, waited for by
// push over one WebSocket a client.
//
//	client := distributedlock.NewDistributedLockClient("http://localhost:5000")
//	defer client.Close()
//	lock, err := client.Acquire("user:123", 30*time.Second)
//	if err != nil {
//		return err
//	}
//	defer lock.Release()
//
// A lock lasts as long as its lease. [Lock.Context] is cancelled before the lease ends, by this machine's own clock, or
// when the service says that the lock is gone: work that listens to it never runs on without the lock. [Client.Do] does
// all that around a function.
//
// Every acquire that names no owner is an owner of its own for the service's deadlock detection. What is acquired with
// [Lock.Context], or a context of [WithOwnerContext], belongs to that owner: so a circle of waits is found, and the
// newest request of it fails with [ErrDeadlock].
//
// Errors are told apart with [errors.Is] and the sentinels here; [APIError] has what the service said.
package distributedlock
