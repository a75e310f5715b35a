package queue

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// A quarantine withholds grants where leases may run that this Redis does not know of. What tells so must hold for every
// single command, as one that comes in before any node has looked would grant what is held: so each answer is given, or
// refused, by what only the right instance has. Data that are gone took each partition's last ticket with them, which
// every grant reads. And the scripts are named, by their hash, after the life of the master that they were loaded on: any
// other answers NOSCRIPT. Then the node has era.lua begin the quarantine before it loads them there.

// always is a notAfter for what does no harm whenever it runs.
const always = 1 << 52

// era is a life of a master: one run of it, between its becoming one and its ceasing to be.
type era struct {
	id string
	// shas are the scripts' hashes in it, by their numbers.
	shas []string
}

// QuarantineError is returned to a request that would not wait until grants are given again.
type QuarantineError struct {
	// Left is how long it is until then.
	Left time.Duration
}

func (e *QuarantineError) Error() string {
	return fmt.Sprintf("no lock is granted for another %s: leases may still run that redis has forgotten", e.Left)
}

// Unwrap makes it an ErrUnavailable that Redis itself answered.
func (e *QuarantineError) Unwrap() []error { return []error{ErrUnavailable, ErrRefused} }

// Quarantine is a time in which nothing is granted.
type Quarantine struct {
	// Left is how long it lasts, 0 where there is none; Partitions are how many it is for.
	Left       time.Duration
	Partitions int
	// Why is instance_changed, data_lost or clock_stepped.
	Why string
}

// barred is what the last beat found of quarantines, by partition.
type barred struct {
	sync.Mutex
	till []int64 // ms
	why  []string
}

// shaOf is a script's hash on the instance that answers for a partition, as far as the node knows.
func (s *Store) shaOf(sc *script, partition int) string {
	if s.eras == nil || sc.number == 0 {
		return sc.sha
	}
	return s.eras[partition].Load().shas[sc.number-1]
}

// Quarantine is the longest one that there is, as of the last beat.
func (s *Store) Quarantine() (q Quarantine) {
	s.barred.Lock()
	defer s.barred.Unlock()
	for p, till := range s.barred.till {
		left := time.Duration(till*1000-s.clockOf(p).now()) * time.Microsecond
		if left <= 0 {
			continue
		}
		if q.Partitions++; left > q.Left {
			q.Left, q.Why = left, s.barred.why[p]
		}
	}
	return q
}

// firstEras learns which instances answer.
func (s *Store) firstEras(ctx context.Context) error {
	if s.eras == nil {
		return nil
	}
	s.barred.till, s.barred.why = make([]int64, s.keys.partitions), make([]string, s.keys.partitions)
	for p := range s.eras {
		if s.eras[p].Load() != nil {
			continue
		}
		if err := s.witness(ctx, p, "", nil); err != nil {
			return err
		}
	}
	return s.lookAtEras(ctx)
}

// witness learns which instance answers for a partition, has the quarantine begin that it may want, and only then loads
// the scripts. Anywhere but in a cluster it does so for all partitions, as one instance answers for all. It does nothing
// where the script's hash is not the one that failed any more: somebody else was quicker.
func (s *Store) witness(ctx context.Context, partition int, failed string, sc *script) error {
	s.witnessing.Lock()
	defer s.witnessing.Unlock()
	if sc != nil && s.shaOf(sc, partition) != failed {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.CommandTimeout)
	defer cancel()
	partitions := []int{partition}
	if !s.opts.Cluster {
		partitions = partitions[:0]
		for p := range s.eras {
			partitions = append(partitions, p)
		}
	}
	// One connection, so that what is loaded goes to the very instance that was asked.
	conn, _ := s.client.Dedicate()
	defer conn.Close()
	now, err := s.askEra(ctx, conn, partitions)
	if err != nil {
		return err
	}
	next := &era{id: now}
	cmds := make(rueidis.Commands, len(s.scripts))
	for i, sc := range s.scripts {
		text := inEra(sc.text, now)
		next.shas = append(next.shas, hashOf(text))
		cmds[i] = conn.B().ScriptLoad().Script(text).Build()
	}
	for _, r := range conn.DoMulti(ctx, cmds...) {
		if err := r.Error(); err != nil {
			return readError("SCRIPT LOAD", err)
		}
	}
	for _, p := range partitions {
		if before := s.eras[p].Swap(next); before != nil && before.id != now {
			s.clockOf(p).forget()
		}
	}
	return nil
}

// inEra is a script's text with a name of its own in each era.
func inEra(text, era string) string {
	first, rest, _ := strings.Cut(text, "\n")
	return first + "\n-- " + era + "\n" + rest
}

// askEra asks the instance at the other end which one it is; partitions are those that it has.
func (s *Store) askEra(ctx context.Context, conn rueidis.DedicatedClient, partitions []int) (id string, err error) {
	cmds := make(rueidis.Commands, len(partitions))
	for i, p := range partitions {
		head := s.headAfter(always)
		keys := s.keys.declared[p]
		cmds[i] = conn.B().Eval().Script(s.eraOf.text).Numkeys(int64(len(keys))).Key(keys...).Arg(head[:]...).Arg("").Build()
	}
	for i, res := range conn.DoMulti(ctx, cmds...) {
		r, err := s.read(&s.eraOf, partitions[i], res)
		if err != nil {
			return "", err
		}
		if len(r.rest) != 3 || i > 0 && r.rest[0].text != id {
			return "", fmt.Errorf("era: %w", errReply)
		}
		id = r.rest[0].text
	}
	return id, nil
}

// lookAtEras is a beat's part: which instances answer now, and what is in quarantine.
func (s *Store) lookAtEras(ctx context.Context) error {
	if s.eras == nil {
		return nil
	}
	errs := make([]error, s.keys.partitions)
	bounded(s.keys.partitions, 64, func(p int) { errs[p] = s.lookAtEra(ctx, p, "") })
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) lookAtEra(ctx context.Context, partition int, why string) error {
	r, err := s.run(ctx, &s.eraOf, partition, why)
	if err != nil {
		return err
	}
	if len(r.rest) != 3 {
		return errReply
	}
	s.barred.Lock()
	s.barred.till[partition], s.barred.why[partition] = r.rest[1].number, r.rest[2].text
	s.barred.Unlock()
	if known := s.eras[partition].Load(); known.id != r.rest[0].text {
		return s.witness(ctx, partition, known.shas[0], s.scripts[0])
	}
	return nil
}

// errLate is told of a call that was not made, as it came too late to Redis or to its turn.
var errLate = fmt.Errorf("%w: it did not answer in time", ErrUnavailable)

// late is told of a call that Redis refused as late, and says whether to make it again: if the answer came in time, Redis's
// clock was set, or it is another instance, and the answer taught us the new time. If it did not, Redis slept, and nothing
// is to be asked of it before all nodes are back.
func (s *Store) late(ctx context.Context, partition int, r *reply, took time.Duration) error {
	if took >= s.opts.patience() {
		return errLate
	}
	return s.stepped(ctx, partition, r.micros)
}

// stepped is told Redis's time by an answer that refused a call as late. Where the clock has been set, leases may be over
// before their time: nothing more is granted, and only then does the node go by the new time.
func (s *Store) stepped(ctx context.Context, partition int, micros int64) error {
	if s.eras == nil {
		return nil
	}
	c := s.clockOf(partition)
	if c.step(micros, c.at(), c.at()) > 0 {
		if err := s.withhold(ctx, partition); err != nil {
			return err
		}
	}
	c.learn(micros)
	return nil
}

// withhold begins a quarantine as the clock of a partition's master was set: for all partitions of that clock.
func (s *Store) withhold(ctx context.Context, partition int) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.CommandTimeout)
	defer cancel()
	var cmds rueidis.Commands
	var on []int
	for p := range s.eras {
		if s.opts.Cluster && p != partition {
			continue
		}
		head, keys := s.headAfter(always), s.keys.declared[p]
		on = append(on, p)
		cmds = append(cmds, s.client.B().Eval().Script(s.eraOf.text).Numkeys(int64(len(keys))).Key(keys...).
			Arg(head[:]...).Arg("clock_stepped").Build())
	}
	for i, res := range s.client.DoMulti(ctx, cmds...) {
		if _, err := s.read(&s.eraOf, on[i], res); err != nil {
			return err
		}
	}
	return nil
}
