package distributedlock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	. "distributedlock/clients/go" //nolint:revive // so that the examples read as in the README
)

// address is that of the service; the examples run where there is one.
func address() string { return sharedNode(&exampleTB{}).url }

// The shortest way: take a lock, do what it protects, give it back.
func Example() {
	client := NewDistributedLockClient(address())
	defer client.Close()

	lock, err := client.Acquire("user:123", 30*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	defer lock.Release()

	// Critical section
	fmt.Printf("Lock acquired: %t\n", lock.ID != "")
	// Output: Lock acquired: true
}

// Do holds a lock around a function, and ends the function's context when the lock is lost: here, as an admin takes it.
func ExampleClient_Do() {
	client := NewDistributedLockClient(address(), WithToken("admin"))
	defer client.Close()

	err := client.Do(context.Background(), "nightly-report", func(ctx context.Context) error {
		if _, err := client.ForceRelease(context.Background(), "nightly-report", "maintenance"); err != nil {
			return err
		}
		<-ctx.Done() // the work stops: somebody else may have the lock by now
		return errors.New("stopped halfway")
	})
	fmt.Println(errors.Is(err, ErrLockLost))
	// Output: true
}

// Mutual exclusion: however many ask, one at a time works on a user.
func Example_mutualExclusion() {
	client := NewDistributedLockClient(address())
	defer client.Close()

	inside, most := 0, 0 // no mutex guards them: the lock does
	processUser := func(string) {
		inside++
		most = max(most, inside)
		inside--
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			err := client.Do(context.Background(), "user:42", func(context.Context) error {
				processUser("42")
				return nil
			})
			if err != nil {
				log.Print(err)
			}
		})
	}
	all.Wait()
	fmt.Println("at most", most, "at once")
	// Output: at most 1 at once
}

// Resource pooling: at most five use the database at once; who gets no connection within 5 s is told so.
func Example_resourcePooling() {
	client := NewDistributedLockClient(address())
	defer client.Close()

	var all sync.WaitGroup
	slots := make(chan struct{}, 5)
	for range 20 {
		all.Go(func() {
			permit, err := client.Acquire("db-pool", 30*time.Second, WithLimit(5), WithWait(5*time.Second))
			if errors.Is(err, ErrWaitTimeout) {
				fmt.Println("the pool is exhausted")
				return
			}
			if err != nil {
				fmt.Println(err)
				return
			}
			defer permit.Release()
			select {
			case slots <- struct{}{}: // use a connection
				<-slots
			default:
				fmt.Println("more than five at once")
			}
		})
	}
	all.Wait()
	fmt.Println("done")
	// Output: done
}

// Leader election: one instance leads for as long as it lives and can be heard; the others follow, and one of them
// takes over when it goes.
func Example_leaderElection() {
	url := address()
	term := func(name string, lead func(ctx context.Context)) {
		client := NewDistributedLockClient(url, WithClientID(name))
		defer client.Close()
		leadership, err := client.TryAcquire(context.Background(), "leader", 10*time.Second, WithAutoRenew())
		if errors.Is(err, ErrHeld) {
			var held *APIError
			errors.As(err, &held)
			fmt.Println(name, "follows", held.Holders[0].ClientID)
			// AcquireContext waits for its turn to lead; nobody polls.
			leadership, err = client.AcquireContext(context.Background(), "leader", 10*time.Second, WithAutoRenew())
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		defer leadership.Release()
		fmt.Println(name, "leads")
		lead(leadership.Context()) // ends when the leadership is lost
	}
	var follower sync.WaitGroup
	term("node-1", func(context.Context) {
		began := make(chan struct{})
		follower.Go(func() {
			close(began)
			term("node-2", func(context.Context) {})
		})
		<-began
		watcher := NewDistributedLockClient(url)
		defer watcher.Close()
		for { // until node-2 stands in line
			if s, err := watcher.Status(context.Background(), "leader"); err != nil || s.QueueLength > 0 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	follower.Wait()
	// Output:
	// node-1 leads
	// node-2 follows node-1
	// node-2 leads
}

// A fencing token lets what is protected refuse a holder who is late: one who slept past the end of the lease.
func Example_fencing() {
	client := NewDistributedLockClient(address())
	defer client.Close()

	var highest int64 // kept beside the data, compared in the same transaction
	write := func(token int64, what string) {
		if token < highest {
			fmt.Println("refused:", what)
			return
		}
		highest = token
		fmt.Println("written:", what)
	}
	late, err := client.Acquire("file", 200*time.Millisecond)
	if err != nil {
		log.Fatal(err)
	}
	<-late.Done() // its lease runs out while it does something else
	next, err := client.Acquire("file", 30*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	defer next.Release()
	write(next.FencingToken, "by the next")
	write(late.FencingToken, "by the late one")
	// Output:
	// written: by the next
	// refused: by the late one
}

// A block that stops on loss: the lock's context ends before its lease does.
func ExampleLock_Context() {
	client := NewDistributedLockClient(address())
	defer client.Close()

	lock, err := client.Acquire("batch", time.Second) // and nobody renews it
	if err != nil {
		log.Fatal(err)
	}
	defer lock.Release()
	for step := 1; ; step++ {
		select {
		case <-lock.Context().Done():
			fmt.Println(errors.Is(context.Cause(lock.Context()), ErrLockLost), time.Now().Before(lock.ExpiresAt()))
			return
		case <-time.After(50 * time.Millisecond): // one step of the work
		}
	}
	// Output: true true
}

// OnQueued tells people why they wait.
func ExampleOnQueued() {
	client := NewDistributedLockClient(address())
	defer client.Close()

	holder, err := client.Acquire("printer", 30*time.Second, WithMetadata(map[string]any{"who": "Ada"}))
	if err != nil {
		log.Fatal(err)
	}
	lock, err := client.Acquire("printer", 30*time.Second, OnQueued(func(p Place) {
		fmt.Printf("number %d in line, behind %v\n", p.Position, p.Holders[0].Metadata["who"])
		go holder.Release()
	}))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(lock.Release())
	// Output:
	// number 1 in line, behind Ada
	// <nil>
}

// What one task holds and waits for is one owner's, if it acquires with the lock's context: a circle is found.
func ExampleWithOwnerContext() {
	client := NewDistributedLockClient(address())
	defer client.Close()

	outer, err := client.Acquire("account:1", 30*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	defer outer.Release()
	_, err = client.AcquireContext(outer.Context(), "account:1", 30*time.Second)
	var e *APIError
	if errors.As(err, &e) && errors.Is(err, ErrDeadlock) {
		fmt.Println("it waits for itself:", e.Cycle[0].WaitsFor)
	}
	// Output: it waits for itself: account:1
}

func ExampleClient_Subscribe() {
	client := NewDistributedLockClient(address())
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	for event, err := range client.Subscribe(ctx, Subscription{Locks: []string{"orders:*"}, Events: []string{"granted", "released"}}) {
		if err != nil {
			log.Fatal(err)
		}
		if event.Kind == "gap" {
			continue // some may be missing: read the state anew
		}
		fmt.Println(event.Kind, event.LockName, event.ClientID)
	}
	fmt.Println("done")
	// Output: done
}
