package queue

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// Own is something of a session, as [Store.Resume] finds it.
type Own struct {
	// Request is what it asked for. Of a lost lock only Name, Client, ID and LockID are set.
	Request *Request
	// Grant is set where it holds the lock, Lost ("expired" or "force_released") where it no longer does.
	Grant *Grant
	Lost  string
	// Left is what is left of its wait, at least a millisecond, where it waits.
	Left time.Duration
	// Waited is how long it stood in line before its grant.
	Waited time.Duration
}

// HomeOf is the partition that keeps where a session is.
func (s *Store) HomeOf(session string) int { return s.keys.of(session) }

// NameSession writes down that a session of a client is on this node.
func (s *Store) NameSession(ctx context.Context, session, client string) error {
	_, err := s.place(ctx, session, client, "new", 0)
	return err
}

// TakeSession moves a session to this node. It reports false where there is none such of that client.
func (s *Store) TakeSession(ctx context.Context, session, client string) (bool, error) {
	return s.place(ctx, session, client, "take", 0)
}

// KeepSession writes a session of this node down again. It reports false where it has moved on to another.
func (s *Store) KeepSession(ctx context.Context, session, client string) (bool, error) {
	return s.place(ctx, session, client, "keep", 0)
}

// LeaveSession has a session of this node live on for its grace only.
func (s *Store) LeaveSession(ctx context.Context, session string, grace time.Duration) error {
	_, err := s.place(ctx, session, "", "leave", grace)
	return err
}

func (s *Store) place(ctx context.Context, session, client, how string, grace time.Duration) (bool, error) {
	r, err := s.run(ctx, &s.session, s.HomeOf(session), session, client, how, millis(grace))
	return r.word == "here", err
}

// Detach puts a session's waiting requests in a partition aside, and has its locks there renew themselves no longer
// than the grace. The effects of each step go to apply.
func (s *Store) Detach(ctx context.Context, partition int, session string, grace time.Duration, apply func(Effects)) error {
	for done := 0; ; done += batch {
		r, err := s.run(ctx, &s.detach, partition, session, millis(grace), strconv.Itoa(done))
		if err != nil {
			return err
		}
		apply(r.Effects)
		if len(r.rest) != 1 || int(r.rest[0].number) <= done+batch {
			return nil
		}
	}
}

// Resume tells what a session has in a partition, and has its locks there renew themselves for it on this node. With
// take, what is another node's becomes this one's.
func (s *Store) Resume(ctx context.Context, partition int, session string, take bool, apply func(Effects)) ([]Own, error) {
	how, skip := "keep", 0
	if take {
		how = "take"
	}
	var all []Own
	for {
		r, err := s.run(ctx, &s.resume, partition, session, how, strconv.Itoa(skip))
		if err != nil {
			return all, err
		}
		apply(r.Effects)
		if len(r.rest) == 0 || len(r.rest)%4 != 1 {
			return all, errReply
		}
		rows, gone := r.rest[1:], 0
		for ; len(rows) > 0; rows = rows[4:] {
			own, err := readOwn(rows, r.micros)
			if err != nil {
				return all, err
			}
			if own.Request == nil || own.Lost != "" {
				gone++
			}
			if own.Request != nil {
				all = append(all, own)
			}
		}
		if int(r.rest[0].number) <= skip+batch {
			return all, nil
		}
		skip += batch - gone
	}
}

// readOwn reads name, member, kind and text.
func readOwn(row []cell, now int64) (o Own, err error) {
	name, kind := row[0].text, row[2].text
	first, text, _ := strings.Cut(row[3].text, "\n")
	switch kind {
	case "lost":
		client, request, _ := strings.Cut(row[1].text, "\n")
		lockID, why, _ := strings.Cut(first, " ")
		return Own{Request: &Request{Name: name, Client: client, ID: request, LockID: lockID}, Lost: why}, nil
	case "holds":
		g, err := readHolder(name, first, text, now)
		if err != nil {
			return o, err
		}
		value, rest, _ := strings.Cut(text, "\n")
		if o.Request, err = readAsk(name, rest); err != nil {
			return o, err
		}
		if ticket := numbers(strings.Fields(value)[4:5]); len(ticket) == 1 && ticket[0] > 0 {
			o.Waited = max(0, g.Since.Sub(time.UnixMicro(ticket[0])))
		}
		o.Grant, o.Request.LockID = &g, first
		return o, nil
	case "waits", "parked":
		n := numbers(strings.Fields(first))
		if kind == "parked" && len(n) == 3 {
			n = n[1:]
		}
		if len(n) != 2 {
			return o, errReply
		}
		o.Left = until(max(n[0], 1), now)
		o.Request, err = readAsk(name, text)
		return o, err
	}
	return o, nil
}

// Orphan has the sessions of a node that is gone live on for their grace.
func (s *Store) Orphan(ctx context.Context, partition int, node string, grace time.Duration) error {
	for {
		r, err := s.run(ctx, &s.orphan, partition, node, millis(grace))
		if err != nil || r.word == "alive" || len(r.rest) != 1 || r.rest[0].number == 0 {
			return err
		}
	}
}

// LostChannel is where all nodes hear what sessions lost: see [ParseLoss].
func (s *Store) LostChannel() string { return s.keys.prefix + keyLost }

// ParseLoss reads a message of the lost channel.
func ParseLoss(message string) (session, lockID, why, name string, ok bool) {
	lines := strings.SplitN(message, "\n", 4)
	if len(lines) != 4 {
		return "", "", "", "", false
	}
	return lines[0], lines[1], lines[2], lines[3], true
}

// Lines asks for the tickets of the first waiters of locks of one partition, and to hear of the next move of any line of
// that partition on this node's channel, as "moved" and the partition.
func (s *Store) Lines(ctx context.Context, names []string, first int) ([][]int64, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.CommandTimeout)
	defer cancel()
	base := s.keys.bases[s.keys.of(names[0])]
	cmds := rueidis.Commands{s.client.B().Sadd().Key(base + keyMoves).Member(s.opts.Node).Build()}
	for _, name := range names {
		cmds = append(cmds, s.client.B().Zrange().Key(base+keyQueue+name).Min("0").Max(strconv.Itoa(first-1)).Withscores().Build())
	}
	res := s.client.DoMulti(ctx, cmds...)
	if err := res[0].Error(); err != nil {
		return nil, readError("SADD", err)
	}
	lines := make([][]int64, len(names))
	for i := range names {
		line, err := res[i+1].AsZScores()
		if err != nil {
			return nil, readError("ZRANGE", err)
		}
		for j := range line {
			lines[i] = append(lines[i], int64(line[j].Score))
		}
	}
	return lines, nil
}
