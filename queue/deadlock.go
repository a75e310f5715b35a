package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// Owner is who holds locks and waits for them, as deadlocks see it.
type Owner struct{ Client, ID string }

// CycleStep is one in a deadlock: it holds one lock and waits for another, which the next step holds; the last waits
// for what the first holds.
type CycleStep struct {
	Client string `json:"clientId"`
	Owner  string `json:"ownerId"`
	// Holds is the lock that it holds, or, where it is in the way as it stands before another in a line, that line's.
	Holds        string    `json:"holds"`
	HeldSince    time.Time `json:"heldSince"`
	WaitsFor     string    `json:"waitsFor"`
	WaitingSince time.Time `json:"waitingSince"`
}

// CycleOf reads a cycle as it stands in an event's reason.
func CycleOf(text string) (cycle []CycleStep, err error) {
	err = json.Unmarshal([]byte(text), &cycle)
	return cycle, err
}

// DeadlockError is returned to the request that was failed to break a deadlock. The first step is its own.
type DeadlockError struct{ Cycle []CycleStep }

func (e *DeadlockError) Error() string { return "the request was part of a deadlock" }

// Wait is that a request of an owner waits for a lock.
type Wait struct {
	Owner   Owner
	Name    string
	Request string
}

// Noted is a wait as it is noted: with an owner that it was seen to wait for, which may be over.
type Noted struct {
	Wait
	Behind Owner
	// Grant is that owner's lockId where nobody else was in the way, else ""; it is not noted.
	Grant string
}

func (w *Wait) member() string { return memberOf(w.Owner.Client, w.Request) }

// home is the partition in which an owner's waits are noted.
func (s *Store) home(o Owner) int { return s.keys.of(memberOf(o.Client, o.ID)) }

// NoteWaits notes waits of this node's requests, for [Store.WaitsOf] to find on whichever node; noting one again
// changes nothing. StrikeWaits strikes them out. ErrUnavailable: some of them may not be.
func (s *Store) NoteWaits(ctx context.Context, waits []Noted) error {
	return s.eachHome(ctx, "ZADD", waits, func(key string, members []string) rueidis.Completed {
		cmd := s.client.B().Zadd().Key(key).ScoreMember()
		for _, m := range members {
			cmd = cmd.ScoreMember(0, m)
		}
		return cmd.Build()
	})
}

// StrikeWaits undoes NoteWaits.
func (s *Store) StrikeWaits(ctx context.Context, waits []Noted) error {
	return s.eachHome(ctx, "ZREM", waits, func(key string, members []string) rueidis.Completed {
		return s.client.B().Zrem().Key(key).Member(members...).Build()
	})
}

func (s *Store) eachHome(ctx context.Context, what string, waits []Noted, command func(key string, members []string) rueidis.Completed) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.CommandTimeout)
	defer cancel()
	homes := make([][]string, s.keys.partitions)
	for i := range waits {
		w := &waits[i]
		p := s.home(w.Owner)
		homes[p] = append(homes[p], w.Owner.Client+"\n"+w.Owner.ID+"\n"+w.Name+"\n"+w.Request+"\n"+w.Behind.Client+"\n"+w.Behind.ID+"\n"+s.opts.Node)
	}
	var cmds rueidis.Commands
	for p, members := range homes {
		for some := range slices.Chunk(members, 4*batch) {
			cmds = append(cmds, command(s.keys.bases[p]+keyWaits, some))
		}
	}
	for _, r := range s.client.DoMulti(ctx, cmds...) {
		if err := r.Error(); err != nil {
			return readError(what, err)
		}
	}
	return nil
}

// StillHeld asks of each wait whether the grant that it was behind still stands.
func (s *Store) StillHeld(ctx context.Context, waits []Noted) ([]bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.CommandTimeout)
	defer cancel()
	cmds := make(rueidis.Commands, len(waits))
	for i := range waits {
		name := waits[i].Name
		cmds[i] = s.client.B().Hexists().Key(s.keys.bases[s.keys.of(name)] + keyLock + name).Field(waits[i].Grant).Build()
	}
	held := make([]bool, len(waits))
	for i, r := range s.client.DoMulti(ctx, cmds...) {
		var err error
		if held[i], err = r.AsBool(); err != nil {
			return nil, readError("HEXISTS", err)
		}
	}
	return held, nil
}

// waitsMost is how many waits of one owner are told.
const waitsMost = 1000

// WaitsOf finds what owners have waited for for a while, on any node. Some of it may be over.
func (s *Store) WaitsOf(ctx context.Context, owners []Owner) ([]Noted, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.CommandTimeout)
	defer cancel()
	cmds := make(rueidis.Commands, len(owners))
	for i, o := range owners {
		prefix := memberOf(o.Client, o.ID)
		cmds[i] = s.client.B().Zrange().Key(s.keys.bases[s.home(o)]+keyWaits).Min("["+prefix+"\n").Max("("+prefix+"\x0b").
			Bylex().Limit(0, waitsMost).Build()
	}
	var waits []Noted
	for i, r := range s.client.DoMulti(ctx, cmds...) {
		members, err := r.AsStrSlice()
		if err != nil {
			return nil, readError("ZRANGE", err)
		}
		for _, m := range members {
			if line := strings.Split(m, "\n"); len(line) == 7 {
				waits = append(waits, Noted{Wait{Owner: owners[i], Name: line[2], Request: line[3]}, Owner{line[4], line[5]}, ""})
			}
		}
	}
	return waits, nil
}

// StrikeNode strikes out what a node noted that is no more.
func (s *Store) StrikeNode(ctx context.Context, node string) error {
	for _, base := range s.keys.bases {
		for cursor := uint64(0); ; {
			scan := s.client.B().Zscan().Key(base + keyWaits).Cursor(cursor).Match("*\n" + globEscape.Replace(node)).Count(1000).Build()
			found, err := s.client.Do(ctx, scan).AsScanEntry()
			if err != nil {
				return readError("ZSCAN", err)
			}
			var members []string
			for i := 0; i < len(found.Elements); i += 2 {
				members = append(members, found.Elements[i])
			}
			if len(members) > 0 {
				if err := s.client.Do(ctx, s.client.B().Zrem().Key(base+keyWaits).Member(members...).Build()).Error(); err != nil {
					return readError("ZREM", err)
				}
			}
			if cursor = found.Cursor; cursor == 0 {
				break
			}
		}
	}
	return nil
}

var globEscape = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

// Glance is what to read of a lock: beside its holders and the head of its line, these requests.
type Glance struct {
	Name  string
	Waits []Wait
}

// Look reads many locks: their holders, the first so many in each line, and the requests asked for that still wait, in
// the order of their tickets. The partitions are read one beside the other, each at moments of its own.
func (s *Store) Look(ctx context.Context, glances []Glance, first int) ([]Status, error) {
	out := make([]Status, len(glances))
	for runs := range slices.Chunk(s.lookRuns(glances, first), lookTogether) {
		if err := s.lookAt(ctx, runs, glances, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

const (
	// lookMost is how many requests one run of the script reads at most, where it reads more than one lock.
	lookMost = 512
	// lookTogether is how many runs are under way at once: what else uses the connection waits behind them.
	lookTogether = 32
)

func (s *Store) lookAt(ctx context.Context, runs []lookRun, glances []Glance, out []Status) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.CommandTimeout)
	defer cancel()
	cmds := make(rueidis.Commands, len(runs))
	for i := range runs {
		keys, head := s.keys.declared[runs[i].partition], s.head(runs[i].partition)
		cmds[i] = s.client.B().Evalsha().Sha1(s.look.sha).Numkeys(int64(len(keys))).Key(keys...).Arg(head[:]...).Arg(runs[i].args...).Build()
	}
	begin := time.Now()
	for i, res := range s.client.DoMulti(ctx, cmds...) {
		r, err := s.read(&s.look, runs[i].partition, res)
		if s.opts.Observe != nil {
			s.opts.Observe(s.look.name, time.Since(begin), err)
		}
		if isNoScript(res.Error()) || err == nil && r.word == "late" {
			r, err = s.run(ctx, &s.look, runs[i].partition, runs[i].args...)
		}
		if err == nil {
			err = readLooked(r, glances, runs[i].of, out)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lookRun is one run of the script: which glances it is of.
type lookRun struct {
	partition int
	of        []int
	args      []string
	most      int
}

func (s *Store) lookRuns(glances []Glance, first int) []lookRun {
	var runs []lookRun
	open := make([]int, s.keys.partitions) // the run that takes more, by partition, from 1
	for i := range glances {
		g := &glances[i]
		p := s.keys.of(g.Name)
		most := first + len(g.Waits)
		if open[p] == 0 || runs[open[p]-1].most+most > lookMost {
			runs = append(runs, lookRun{partition: p, args: []string{strconv.Itoa(first)}})
			open[p] = len(runs)
		}
		r := &runs[open[p]-1]
		r.of, r.most = append(r.of, i), r.most+most
		r.args = append(r.args, g.Name, strconv.Itoa(len(g.Waits)))
		for j := range g.Waits {
			r.args = append(r.args, g.Waits[j].member())
		}
	}
	return runs
}

func readLooked(r reply, glances []Glance, of []int, out []Status) error {
	rows := r.rest
	take := func() ([]cell, bool) {
		if len(rows) == 0 || len(rows) < 1+2*int(rows[0].number) {
			return nil, false
		}
		n := 1 + 2*int(rows[0].number)
		some := rows[1:n]
		rows = rows[n:]
		return some, true
	}
	for _, i := range of {
		holders, ok1 := take()
		waiters, ok2 := take()
		if !ok1 || !ok2 {
			return errReply
		}
		st := Status{Name: glances[i].Name}
		var err1, err2 error
		st.Holders, err1 = readHolders(st.Name, holders, r.micros)
		st.Waiters, err2 = readWaiters(waiters, r.micros)
		if err1 != nil || err2 != nil {
			return errReply
		}
		slices.SortFunc(st.Holders, func(a, b Grant) int { return cmp.Compare(a.Token, b.Token) })
		slices.SortFunc(st.Waiters, func(a, b Waiter) int { return cmp.Compare(a.Ticket, b.Ticket) })
		out[i] = st
	}
	return nil
}

// Fail takes a waiting request out of its line to break a deadlock. Its node is told, and answers it with a
// [DeadlockError]. It reports whether the request still waited.
func (s *Store) Fail(ctx context.Context, w Wait, lockID string, cycle []CycleStep) (failed bool, e Effects, err error) {
	text, err := json.Marshal(cycle)
	if err != nil {
		return false, e, fmt.Errorf("cycle: %w", err)
	}
	r, err := s.run(ctx, &s.fail, s.keys.of(w.Name), w.Name, w.member(), lockID, string(text))
	return r.word == "failed", r.Effects, err
}

// Turn takes the fleet's turn to do something that one node does at a time, for at most so long. It reports false
// where it is another's.
func (s *Store) Turn(ctx context.Context, what string, most time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.CommandTimeout)
	defer cancel()
	err := s.client.Do(ctx, s.client.B().Set().Key(s.keys.bases[0]+keyTurn+what).Value(s.opts.Node).Nx().Px(most).Build()).Error()
	if rueidis.IsRedisNil(err) {
		return false, nil
	}
	if err != nil {
		return false, readError("SET", err)
	}
	return true, nil
}

// EndTurn gives the turn back: only where it is certain that it has not run out.
func (s *Store) EndTurn(ctx context.Context, what string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.CommandTimeout)
	defer cancel()
	if err := s.client.Do(ctx, s.client.B().Del().Key(s.keys.bases[0]+keyTurn+what).Build()).Error(); err != nil {
		return readError("DEL", err)
	}
	return nil
}
