package main

import (
	"fmt"
	"sync"
)

// checker watches, from the clients' side, what the service promises. A client enters a lock once it has the answer
// to its acquire, and leaves before it asks for the release; so whoever enters while another is inside holds the
// lock beside it, and the order of entering is the order of the grants.
type checker struct {
	mu                   sync.Mutex
	locks                map[string]*watched
	doubles, disorders   int
	firstDouble, firstDO string
}

type watched struct {
	holders map[string]int64 // client: token
	last    int64            // the highest token so far
}

func newChecker() *checker { return &checker{locks: map[string]*watched{}} }

// enter notes that a client has been granted a lock.
func (c *checker) enter(lock, client string, token int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.locks[lock]
	if w == nil {
		w = &watched{holders: map[string]int64{}}
		c.locks[lock] = w
	}
	for other, theirs := range w.holders {
		c.doubles++
		if c.firstDouble == "" {
			c.firstDouble = fmt.Sprintf("%s is held by %s (token %d) and by %s (token %d)", lock, other, theirs, client, token)
		}
	}
	if token <= w.last {
		c.disorders++
		if c.firstDO == "" {
			c.firstDO = fmt.Sprintf("%s was granted with token %d after %d", lock, token, w.last)
		}
	}
	w.holders[client], w.last = token, max(w.last, token)
}

// leave notes that a client is about to release a lock.
func (c *checker) leave(lock, client string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.locks[lock]; w != nil {
		delete(w.holders, client)
	}
}

// verdict tells how often two held one lock at once, how often a token did not rise, and the first case of each.
func (c *checker) verdict() (doubles, disorders int, first []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range []string{c.firstDouble, c.firstDO} {
		if s != "" {
			first = append(first, s)
		}
	}
	return c.doubles, c.disorders, first
}

// held is how many hold a lock at the moment.
func (c *checker) held() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.locks {
		n += len(w.holders)
	}
	return n
}
