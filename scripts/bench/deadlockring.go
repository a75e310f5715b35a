package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// ring is owners of which each holds a lock and waits for the next one's.
type ring struct {
	store  *store
	owners []party
}

// party is one of them. What it asks for is answered in order.
type party interface {
	take(lock string) (id string, err error)
	ask(lock string) error
	// stands returns once the request is in line.
	stands(ctx context.Context, s *store, lock string) error
	// outcome is what comes of the request: the grant's id, or for a deadlock how many owners are told to be in it.
	outcome() (id string, deadlocked int, err error)
	release(lock, id string) error
}

// ringWait is the longest that an owner waits, in seconds: when it is over, a deadlock was missed.
const ringWait = 20

// closing is how a ring is closed.
type closing struct {
	last  int           // the owner that closes it
	stand time.Duration // how long the others wait before
	burst bool          // nobody waits for anybody, and any of them may be the last
}

// ringRound is what came of it.
type ringRound struct {
	told  time.Duration // from the last request to its failure
	done  time.Duration // from there to the end of all others
	wrong int           // requests failed that should not have been
}

// turnOf is what one owner does in a round.
type turnOf struct {
	own, id, next string
	asked, ended  time.Time
	failed        time.Time // zero: it was not
}

func (r *ring) round(ctx context.Context, how closing) (ringRound, error) {
	n := len(r.owners)
	names, turns := locksOf(n), make([]turnOf, n)
	err := inParallel(n, func(i int) (err error) {
		turns[i].own, turns[i].next = names[i], names[(i+1)%n]
		turns[i].id, err = r.owners[i].take(names[i])
		return err
	})
	if err == nil {
		err = r.close(ctx, turns, how)
	}
	if err != nil {
		return ringRound{}, err
	}
	return judge(turns, how)
}

// close has all ask, the last one last, and go on to the end.
func (r *ring) close(ctx context.Context, turns []turnOf, how closing) error {
	n := len(turns)
	if how.burst {
		return inParallel(n, func(i int) error { return errors.Join(r.ask(turns, i), r.end(turns, i)) })
	}
	var ends sync.WaitGroup
	errs := make([]error, n)
	end := func(i int) { ends.Go(func() { errs[i] = r.end(turns, i) }) }
	for k := range n {
		i := (how.last + 1 + k) % n
		if k == n-1 {
			pause(ctx, how.stand)
		}
		err := r.ask(turns, i)
		if err == nil && k < n-1 {
			err = r.owners[i].stands(ctx, r.store, turns[i].next)
		}
		if err != nil {
			return err // and the connections are closed
		}
		end(i)
	}
	ends.Wait()
	return errors.Join(errs...)
}

func (r *ring) ask(turns []turnOf, i int) error {
	turns[i].asked = time.Now()
	return r.owners[i].ask(turns[i].next)
}

// end waits for what comes of the request, and gives everything back.
func (r *ring) end(turns []turnOf, i int) error {
	t, o := &turns[i], r.owners[i]
	id, deadlocked, err := o.outcome()
	if err != nil {
		return err
	}
	if deadlocked > 0 {
		t.failed = time.Now()
		if deadlocked != len(turns) {
			return fmt.Errorf("told of %d owners", deadlocked)
		}
	} else if err := o.release(t.next, id); err != nil {
		return err
	}
	err = o.release(t.own, t.id)
	t.ended = time.Now()
	return err
}

func judge(turns []turnOf, how closing) (r ringRound, err error) {
	var asked, failed, ended time.Time
	for i, t := range turns {
		if t.asked.After(asked) {
			asked = t.asked
		}
		if t.ended.After(ended) {
			ended = t.ended
		}
		if t.failed.IsZero() {
			continue
		}
		if !failed.IsZero() || !how.burst && i != how.last {
			r.wrong++
		}
		if failed.IsZero() || t.failed.Before(failed) {
			failed = t.failed
		}
	}
	if failed.IsZero() {
		return r, errors.New("nobody was failed")
	}
	r.told, r.done = failed.Sub(asked), ended.Sub(failed)
	return r, nil
}

// owners makes n owners with a connection each: every third speaks REST, and neighbors are on different nodes.
func (c *crowd) owners(n int, addrs []string) (all []party, err error) {
	for i := range n {
		addr := addrs[i%len(addrs)]
		if i%3 == 1 {
			some, err := c.dial(1, addr)
			if err != nil {
				return nil, err
			}
			all = append(all, restParty{some[0]})
			continue
		}
		some, err := c.sockets(1, addr)
		if err != nil {
			return nil, err
		}
		some[0].r = bufio.NewReaderSize(some[0].r, 1<<16) // a large ring takes a large frame to tell
		all = append(all, socketParty{some[0]})
	}
	return all, nil
}

// stepsOf counts the owners that a failure tells of: none, if it is no deadlock.
func stepsOf(answer []byte) int {
	if !bytes.Contains(answer, []byte(`"code":"deadlock"`)) {
		return 0
	}
	return bytes.Count(answer, []byte(`"waitsFor":`))
}

// restParty is an owner over REST.
type restParty struct{ *conn }

func (p restParty) take(lock string) (string, error) { return p.acquire(lock, maxLease, 0) }
func (p restParty) ask(lock string) error            { return p.conn.ask(lock, maxLease, ringWait) }

func (p restParty) stands(ctx context.Context, s *store, lock string) error {
	return until(ctx, ringWait*time.Second, "the request in line", func() bool {
		n, err := s.queued(ctx, []string{lock})
		return err == nil && n == 1
	})
}

func (p restParty) outcome() (id string, deadlocked int, err error) {
	id, err = p.taken()
	if err != nil && strings.HasPrefix(err.Error(), "status 409") {
		if n := stepsOf([]byte(err.Error())); n > 0 {
			return "", n, nil
		}
	}
	return id, 0, err
}

// socketParty is an owner over a WebSocket.
type socketParty struct{ *socket }

func (p socketParty) request(kind, lock, rest string) {
	p.put(opText, []byte(`{"type":"`+kind+`","id":"`+kind+`","lockName":"`+lock+`","clientId":"`+p.client+`",`+rest+`}`))
}

func (p socketParty) take(lock string) (string, error) {
	p.request("acquire", lock, `"timeout":`+seconds(maxLease))
	id, deadlocked, err := p.outcome()
	if deadlocked > 0 {
		err = errAnswer
	}
	return id, err
}

func (p socketParty) ask(lock string) error {
	p.request("acquire", lock, `"timeout":`+seconds(maxLease)+`,"waitTimeout":`+seconds(ringWait))
	return p.flush()
}

func (p socketParty) stands(context.Context, *store, string) error {
	b, err := p.next()
	if err == nil && string(frameType(b)) != "queued" {
		err = fmt.Errorf("%w: %s", errAnswer, b)
	}
	return err
}

func (p socketParty) outcome() (id string, deadlocked int, err error) {
	for {
		b, err := p.next()
		if err != nil {
			return "", 0, err
		}
		switch string(frameType(b)) {
		case "queued", "position":
		case "granted":
			return string(member(b, "lockId")), 0, nil
		default:
			if n := stepsOf(b); n > 0 {
				return "", n, nil
			}
			return "", 0, fmt.Errorf("%w: %s", errAnswer, b)
		}
	}
}

func (p socketParty) release(lock, id string) error {
	p.request("release", lock, `"lockId":"`+id+`"`)
	for {
		b, err := p.next()
		if err != nil {
			return err
		}
		switch string(frameType(b)) {
		case "released":
			return nil
		case "error":
			return fmt.Errorf("release of %s: %s", lock, b)
		}
	}
}
