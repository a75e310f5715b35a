package queue

import (
	"cmp"
	"context"
	"hash/fnv"
	"slices"
	"strconv"
	"time"
)

// Acquire takes the lock, or a place in its line where the request waits, in one round trip. A request that came
// before gets its live grant, or its place, again. Errors: ErrQueueFull, ErrMismatch, *LimitError, *QuarantineError,
// ErrUnavailable, ErrUnknown; ErrQueueFull too comes with the holders. No call is given up halfway, whatever its context.
func (s *Store) Acquire(_ context.Context, q *Request, maxQueue int) (Acquired, error) {
	r, err := s.lanes.call(job{how: callAcquire, partition: s.keys.of(q.Name), args: s.acquireArgs(q, maxQueue)})
	if err != nil {
		return Acquired{}, err
	}
	return s.acquired(q, r)
}

func (s *Store) acquireArgs(q *Request, maxQueue int) []string {
	known, plain := "0", "0"
	if q.Known {
		known = "1"
	}
	if q.Mode == Exclusive && q.Limit == 1 && !q.AutoRenew {
		plain = "1"
	}
	return []string{q.Name, millis(q.Wait), strconv.Itoa(maxQueue), known, strconv.FormatInt(q.Ticket, 10), s.ask(q),
		memberOf(q.Client, q.ID), q.LockID, millis(q.Lease), cmp.Or(q.Session, "-"), plain}
}

func (s *Store) acquired(q *Request, r reply) (Acquired, error) {
	a := Acquired{Word: Word(r.word), Effects: r.Effects, name: q.Name, at: r.micros, rows: r.rest}
	switch r.word {
	case "granted":
		if len(r.rest) < 4 {
			return a, errReply
		}
		own := func(h Handed) bool { return h.LockID == r.rest[0].text }
		a.Handed, a.Unkept = slices.DeleteFunc(a.Handed, own), slices.DeleteFunc(a.Unkept, own)
		h := readGrant(r.rest, r.micros)
		s.remember(h.Token)
		if len(r.rest) == 5 {
			var err error
			if a.Grant, err = readHolder(q.Name, h.LockID, r.rest[4].text, r.micros); err != nil {
				return a, err
			}
		} else {
			a.Grant = q.Grant(h)
		}
		return a, r.unconfirmed(h.LockID == q.LockID)
	case "queued":
		if len(r.rest) < 2 {
			return a, errReply
		}
		a.Position, a.Ticket, a.rows = int(r.rest[0].number), r.rest[1].number, r.rest[2:]
		s.remember(a.Ticket)
		return a, nil
	case "held":
		return a, nil
	case "full":
		return a, ErrQueueFull
	case "limit":
		if len(r.rest) != 1 {
			return a, errReply
		}
		return a, &LimitError{Limit: int(r.rest[0].number)}
	case "mismatch":
		return a, ErrMismatch
	case "withheld":
		if len(r.rest) != 1 {
			return a, errReply
		}
		return a, &QuarantineError{Left: until(r.rest[0].number, r.micros)}
	}
	return a, errReply
}

// Grant is what the request holds once it was handed the lock.
func (q *Request) Grant(h Handed) Grant {
	return Grant{Name: q.Name, LockID: h.LockID, RenewalToken: q.RenewalToken, Client: q.Client, Owner: q.Owner,
		Explicit: q.Explicit, Request: q.ID, Mode: q.Mode, Limit: q.Limit, Token: h.Token, Since: h.Since, End: h.End, TTL: h.TTL,
		AutoRenew: q.AutoRenew, Metadata: q.Metadata, Taken: firstTaken}
}

// Got notes the grant that the request got.
func (q *Request) Got(g *Grant) {
	q.Earlier = q.Earlier || g.LockID != q.LockID
	q.LockID, q.Taken = g.LockID, g.Taken
}

// firstTaken is the state of a grant that no repeat of its request has taken up.
const firstTaken = "H"

// print is the same for two requests whose bodies are, the wait aside.
func (q *Request) print() uint64 {
	if q.Print != 0 {
		return q.Print
	}
	b := make([]byte, 0, 128+len(q.Metadata))
	b = strconv.AppendInt(b, q.Lease.Milliseconds(), 10)
	b = strconv.AppendBool(append(b, ' '), q.AutoRenew)
	b = strconv.AppendInt(append(b, ' '), q.MaxHold.Milliseconds(), 10)
	b = strconv.AppendInt(append(b, ' '), int64(q.Limit), 10)
	b = append(append(b, ' '), q.Mode...)
	b = strconv.AppendQuote(append(b, ' '), q.Owner)
	b = append(b, q.Metadata...)
	h := fnv.New64a()
	_, _ = h.Write(b)
	return h.Sum64()
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// Release ends a grant and hands the lock on, in one round trip. It returns since when it was held, and Redis's
// time now. Errors: ErrLost, ErrNotOwner, ErrUnavailable, ErrUnknown; the effects count even then.
func (s *Store) Release(_ context.Context, name, client, lockID string) (heldFor time.Duration, e Effects, err error) {
	r, err := s.lanes.call(job{how: callRelease, partition: s.keys.of(name), args: []string{name, client, lockID}})
	if err != nil {
		return 0, e, err
	}
	return released(r)
}

func released(r reply) (heldFor time.Duration, e Effects, err error) {
	switch r.word {
	case "released":
		if len(r.rest) != 1 {
			return 0, r.Effects, errReply
		}
		return time.Duration(r.micros-r.rest[0].number) * time.Microsecond, r.Effects, nil
	case "not_owner":
		return 0, r.Effects, ErrNotOwner
	}
	return 0, r.Effects, ErrLost
}

// Renew gives a live grant a new end; lease 0 means the grant's own lease again. The grant returned has its name,
// LockID, token and times set. Errors as for Release.
func (s *Store) Renew(ctx context.Context, name, client, renewalToken string, lease time.Duration) (Grant, Effects, error) {
	r, err := s.run(ctx, &s.renew, s.keys.of(name), name, client, renewalToken, millis(lease))
	if err != nil {
		return Grant{}, Effects{}, err
	}
	return renewed(name, client, r)
}

func renewed(name, client string, r reply) (Grant, Effects, error) {
	switch r.word {
	case "renewed":
		if len(r.rest) != 4 {
			return Grant{}, r.Effects, errReply
		}
		h := readGrant(r.rest, r.micros)
		return Grant{Name: name, LockID: h.LockID, Client: client, Token: h.Token, Since: h.Since, End: h.End, TTL: h.TTL}, r.Effects,
			r.unconfirmed(false)
	case "not_owner":
		return Grant{}, r.Effects, ErrNotOwner
	}
	return Grant{}, r.Effects, ErrLost
}

// Cancelled is how a cancel came out.
type Cancelled struct {
	// Word is "left" (it waited), "returned" (it had been granted, and the grant was given back), "kept" (a repeat
	// of the request has taken the grant) or "none".
	Word    string
	Holders []Grant
	Effects
}

// Cancel takes a request out of the line, or gives back the grant that it got meanwhile. With park its place is
// kept for its grace.
func (s *Store) Cancel(ctx context.Context, q *Request, park bool) (Cancelled, error) {
	if park {
		return s.cancelAs(ctx, q, "park")
	}
	return s.cancelAs(ctx, q, "leave")
}

func (s *Store) cancelAs(ctx context.Context, q *Request, how string) (Cancelled, error) {
	taken := cmp.Or(q.Taken, firstTaken)
	if q.Sole {
		taken = ""
	}
	r, err := s.run(ctx, &s.cancel, s.keys.of(q.Name), q.Name, memberOf(q.Client, q.ID), q.LockID, how, taken, millis(q.Left))
	if err != nil {
		return Cancelled{}, err
	}
	holders, err := readHolders(q.Name, r.rest, r.micros)
	return Cancelled{Word: r.word, Holders: holders, Effects: r.Effects}, err
}

// Failed is a waiting request of this node that was failed to break a deadlock.
type Failed struct {
	LockID string
	Cycle  []CycleStep
}

// Claimed is what a claim found.
type Claimed struct {
	// Taken is how many entries there were: where it is [Batch], there may be more.
	Taken  int
	Failed []Failed
	Effects
}

// Claim takes what other nodes did to waiters of this one in a partition: grants, and failures.
func (s *Store) Claim(ctx context.Context, partition int) (Claimed, error) {
	r, err := s.run(ctx, &s.claim, partition)
	if err != nil {
		return Claimed{}, err
	}
	if len(r.rest) == 0 {
		return Claimed{}, errReply
	}
	c := Claimed{Taken: int(r.rest[0].number), Effects: r.Effects}
	for rows := r.rest[1:]; len(rows) >= 2; rows = rows[2:] {
		cycle, err := CycleOf(rows[1].text)
		if err != nil {
			return c, errReply
		}
		c.Failed = append(c.Failed, Failed{LockID: rows[0].text, Cycle: cycle})
	}
	return c, nil
}

// Batch is the most that one call of Claim or Due does.
const Batch = batch

// DueResult is what Due did.
type DueResult struct {
	// Renewed is how many leases were renewed.
	Renewed int
	// Mine is whether the next thing due is this node's own to see to; others' it only stands in for.
	Mine bool
	Effects
}

// Due does what a partition's clock asks for: renews, ends leases, hands locks on.
func (s *Store) Due(ctx context.Context, partition int) (DueResult, error) {
	r, err := s.run(ctx, &s.due, partition)
	if err != nil {
		return DueResult{}, err
	}
	if len(r.rest) != 3 {
		return DueResult{}, errReply
	}
	r.Next = until(r.rest[0].number, r.micros)
	return DueResult{Renewed: int(r.rest[2].number), Mine: r.rest[1].text == s.opts.Node, Effects: r.Effects}, nil
}

// ForceRelease takes a lock from all its holders, whom it returns. Errors: ErrNotLocked, ErrUnavailable, ErrUnknown.
func (s *Store) ForceRelease(ctx context.Context, name, reason string) ([]Grant, Effects, error) {
	r, err := s.run(ctx, &s.force, s.keys.of(name), name, reason)
	if err != nil {
		return nil, Effects{}, err
	}
	if r.word == "free" {
		return nil, r.Effects, ErrNotLocked
	}
	holders, err := readHolders(name, r.rest, r.micros)
	return holders, r.Effects, err
}
