package queue

import (
	"encoding/json"
	"strings"
	"time"
)

// Mode says how a lock is held.
type Mode string

const (
	// Exclusive is held by one, or by as many as the limit.
	Exclusive Mode = "exclusive"
	// Shared is held by any number at once, and by no exclusive holder beside them.
	Shared Mode = "shared"
)

// Request asks for a lock.
type Request struct {
	Name   string
	Client string
	// Owner is who would hold the lock, for deadlocks; Explicit is whether the client named it.
	Owner    string
	Explicit bool
	// ID is the requestId; Known is whether an earlier call may have used it, so that its outcome must be looked for.
	ID    string
	Known bool
	// LockID and RenewalToken are the capabilities that a grant will have. Make them with [NewSecret].
	LockID       string
	RenewalToken string
	Lease        time.Duration
	// Wait is how long to wait in line; 0 tries once.
	Wait time.Duration
	// AutoRenew has the service renew the lease every RenewEvery, until Hold after the grant; 0 for as long as its
	// session lives. MaxHold is what the client asked for, 0 for nothing.
	AutoRenew     bool
	RenewEvery    time.Duration
	Hold, MaxHold time.Duration
	// Grace is how long the request's place is kept while nobody listens for it.
	Grace time.Duration
	Mode  Mode
	Limit int
	// Metadata is compact JSON, or nil.
	Metadata json.RawMessage
	// Ticket is the place to come back with after Redis lost its data; 0 for none.
	Ticket int64
	// Sole is whether nobody but the caller knows the ID, so that nobody else can take up its grant.
	Sole bool
	// Taken is the [Grant.Taken] that the request got, "" while it has none.
	Taken string
	// Earlier is whether the grant that it got was made to an earlier call of it. That one's answer may have come to the
	// client, so that the grant is not given back where this one's does not.
	Earlier bool
	// Left is what is left of the wait, for a grant that is given back with its place kept.
	Left time.Duration
	// Print tells one body from another; 0 to have it computed.
	Print uint64
	// Session is the session that the request belongs to, "" for none; Frame is that client's own name for it.
	Session, Frame string
}

// Grant is a lock held.
type Grant struct {
	Name         string
	LockID       string
	RenewalToken string
	Client       string
	Owner        string
	Explicit     bool
	Request      string
	Mode         Mode
	Limit        int
	// Token is the fencing token: it rises with every grant of the lock.
	Token int64
	// Since and End are moments of Redis's clock; TTL is what is left of the lease as the answer was made.
	Since     time.Time
	End       time.Time
	TTL       time.Duration
	AutoRenew bool
	Metadata  json.RawMessage
	// Taken tells one taking up of the grant from the next: a call may give back only what was not taken up after it.
	Taken string
}

// Handed is a grant that a script made to a waiting request of the calling node.
type Handed struct {
	Name   string
	LockID string
	Token  int64
	Since  time.Time
	End    time.Time
	TTL    time.Duration
	// Freed is when the lock came free, by Redis's clock.
	Freed time.Time
}

// Waiter is a request in line.
type Waiter struct {
	Position int
	LockID   string
	Client   string
	Owner    string
	Explicit bool
	Request  string
	Mode     Mode
	Limit    int
	Ticket   int64
	Since    time.Time
	// Waiting is how long it has waited as the answer was made.
	Waiting time.Duration
}

// Status is a lock as it stood at one moment.
type Status struct {
	Name    string
	Holders []Grant
	// Queue is how many wait; Waiters are the first of them.
	Queue   int
	Waiters []Waiter
}

// Locked reports whether anybody holds the lock.
func (s Status) Locked() bool { return len(s.Holders) > 0 }

// Effects are what a script did beside what it was asked to do. The node has to act on them.
type Effects struct {
	// Handed are grants to waiting requests of this node.
	Handed []Handed
	// Unkept are such grants that too few replicas have confirmed: they must be taken back by [Store.Undo].
	Unkept []Handed
	// Next is how long until the lock's (for Due: the partition's) next lease needs a look; 0 for nothing to look at.
	Next time.Duration
	// Expired is how many leases the call found over and ended.
	Expired int
	// Queue is the length of the line afterwards.
	Queue int
}

// Word is how an acquire came out.
type Word string

// The outcomes of an acquire that are no errors.
const (
	Granted Word = "granted"
	Queued  Word = "queued"
	Held    Word = "held"
)

// Acquired is the outcome of an acquire.
type Acquired struct {
	Word  Word
	Grant Grant
	// Position and Ticket are the place in line of a queued request.
	Position int
	Ticket   int64
	Effects
	rows []cell
	at   int64
	name string
}

// Holders are up to 100 of those in the way, for a request that was not granted.
func (a *Acquired) Holders() ([]Grant, error) { return readHolders(a.name, a.rows, a.at) }

// Behind is the owner of a holder in the way, and own whether one of those in the way is the request's own owner, which
// it named: that lock will never come. grant is that holder's lockId where nobody but it is in the way, else "".
func (a *Acquired) Behind(q *Request) (first Owner, grant string, own bool) {
	if len(a.rows) == 2 && a.Position == 1 && q.Mode == Exclusive && q.Limit == 1 {
		grant = a.rows[0].text
	}
	for i := 1; i < len(a.rows); i += 2 {
		_, lines, _ := strings.Cut(a.rows[i].text, "\n") // end …, lockId …, client, request, owner
		terms, lines, _ := strings.Cut(lines, "\n")
		client, lines, _ := strings.Cut(lines, "\n")
		_, lines, _ = strings.Cut(lines, "\n")
		owner, _, _ := strings.Cut(lines, "\n")
		if i == 1 {
			first = Owner{Client: client, ID: owner}
		}
		if !q.Explicit {
			break
		}
		own = own || client == q.Client && owner == q.Owner && strings.Contains(terms, " 1 ")
	}
	return first, grant, own
}

// At is when it was so, by Redis's clock.
func (a *Acquired) At() time.Time { return time.UnixMicro(a.at).UTC() }

// Event is a change of a lock, as watchers see it.
type Event struct {
	// Kind is granted, released, expired, renewed, force_released, queued, dequeued, deadlock or gap.
	Kind   string
	Name   string
	Client string
	Owner  string
	// Token is the fencing token of the grant that the event is about, 0 where it is about none.
	Token int64
	// Seq rises with every event of a lock.
	Seq int64
	// At is Redis's time.
	At time.Time
	// Reason is the cycle, as [CycleOf] reads it, where the kind is deadlock.
	Reason string
}
