package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// watchedTTL is how long the scripts go on telling of a partition's events after a node has last said that it watches
// them: five beats, so that one or two late ones leave no gap.
const watchedTTL = 6 * time.Second

var errNoEvent = errors.New("the message is no event")

// EventName is the lock that a message of an event channel is about, found without looking at the rest: most messages
// are about locks that nobody here watches.
func EventName(message string) (name string, ok bool) {
	_, rest, ok := strings.Cut(message, "\n")
	if !ok {
		return "", false
	}
	name, _, ok = strings.Cut(rest, "\n")
	return name, ok && name != ""
}

// ParseEvent reads a message of an event channel as the scripts write it (lua/head.lua, emit): lines, of which the last,
// the reason, may be empty. The event's strings are parts of the message.
func ParseEvent(message string) (Event, error) {
	var line [7]string // kind, lock, token, time, client, owner, seq
	rest := message
	for i := range line {
		var ok bool
		if line[i], rest, ok = strings.Cut(rest, "\n"); !ok {
			return Event{}, fmt.Errorf("%w: it has %d lines", errNoEvent, i+1)
		}
	}
	if line[0] == "" || line[1] == "" {
		return Event{}, fmt.Errorf("%w: it names no kind or no lock", errNoEvent)
	}
	token, err1 := strconv.ParseUint(line[2], 10, 63)
	at, err2 := strconv.ParseUint(line[3], 10, 50) // ms until the year 37648
	seq, err3 := strconv.ParseUint(line[6], 10, 63)
	if err := cmp.Or(err1, err2, err3); err != nil {
		return Event{}, fmt.Errorf("%w: %w", errNoEvent, err)
	}
	return Event{Kind: line[0], Name: line[1], Client: line[4], Owner: line[5], Token: int64(token), Seq: int64(seq),
		At: time.UnixMilli(int64(at)).UTC(), Reason: rest}, nil
}

// Watched has the scripts tell of the events of these partitions for the next 6 s (watchedTTL). Each partition has a
// mark, which is the same for all nodes and from one call to the next, as long as somebody called in time: while a
// partition's mark stays what it was, no event went untold in between, and when it is another, some may have. It does
// not matter why: nodes that were late, a Redis that was away, lost its data or had its clock set. Errors:
// ErrUnavailable; then nothing is known.
func (s *Store) Watched(ctx context.Context, partitions []int) (marks []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.CommandTimeout)
	defer cancel()
	// A read that moves the key's end, as in Beat: it is allowed even where Redis is out of memory.
	cmds := make(rueidis.Commands, len(partitions))
	for i, p := range partitions {
		cmds[i] = s.client.B().Getex().Key(s.keys.bases[p] + keyWatched).Px(watchedTTL).Build()
	}
	marks = make([]string, len(partitions))
	var absent []int
	for i, r := range s.client.DoMulti(ctx, cmds...) {
		if marks[i], err = r.ToString(); rueidis.IsRedisNil(err) {
			absent = append(absent, i)
		} else if err != nil {
			return nil, readError("GETEX", err)
		}
	}
	if err := s.mark(ctx, partitions, marks, absent); err != nil {
		return nil, err
	}
	return marks, nil
}

// mark gives those partitions a mark that have none, unless another node is quicker: then its mark is the one.
func (s *Store) mark(ctx context.Context, partitions []int, marks []string, absent []int) error {
	cmds := make(rueidis.Commands, len(absent))
	for i, at := range absent {
		marks[at] = NewSecret()
		cmds[i] = s.client.B().Set().Key(s.keys.bases[partitions[at]] + keyWatched).Value(marks[at]).Nx().Get().Px(watchedTTL).Build()
	}
	for i, r := range s.client.DoMulti(ctx, cmds...) {
		if theirs, err := r.ToString(); err == nil {
			marks[absent[i]] = theirs
		} else if !rueidis.IsRedisNil(err) {
			return readError("SET", err)
		}
	}
	return nil
}
