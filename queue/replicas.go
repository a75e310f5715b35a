package queue

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// replicaTime is how long replicas may take to confirm. It is less than what the driver gives a connection to answer.
const replicaTime = 500 * time.Millisecond

// confirmed runs scripts, and tells of each whether fewer replicas than wanted have what it did; none of that where none is wanted. The question goes right
// behind the scripts on the same connection, one for all of them: it is about all that this connection wrote.
func (s *Store) confirmed(c rueidis.Client, cmds rueidis.Commands) (results []rueidis.RedisResult, unkept []bool) {
	if s.opts.Replicas == 0 {
		return c.DoMulti(context.Background(), cmds...), nil
	}
	unkept = make([]bool, len(cmds))
	if s.opts.Cluster {
		results = make([]rueidis.RedisResult, len(cmds))
		bounded(len(cmds), 16, func(i int) { results[i], unkept[i] = s.confirmedAlone(c, cmds[i]) })
		return results, unkept
	}
	results = c.DoMulti(context.Background(), append(cmds, s.replicasHave(c.B()))...)
	last := len(cmds)
	n, err := results[last].AsInt64()
	for i := range unkept {
		unkept[i] = err != nil || n < int64(s.opts.Replicas)
	}
	return results[:last], unkept
}

// confirmedAlone is for a cluster, where each script may go to another master.
func (s *Store) confirmedAlone(c rueidis.Client, cmd rueidis.Completed) (result rueidis.RedisResult, unkept bool) {
	conn, release := c.Dedicate()
	defer release()
	results := conn.DoMulti(context.Background(), cmd, s.replicasHave(conn.B()))
	n, err := results[1].AsInt64()
	return results[0], err != nil || n < int64(s.opts.Replicas)
}

// replicasHave asks how many replicas have all that was written before, as soon as they are enough. It is made from its
// words, as the driver's own command would take a connection of its own.
func (s *Store) replicasHave(b rueidis.Builder) rueidis.Completed {
	return b.Arbitrary("WAIT", strconv.Itoa(s.opts.Replicas), strconv.FormatInt(replicaTime.Milliseconds(), 10)).Build()
}

// unconfirmed is the error of what too few replicas have confirmed: fresh is whether it is a grant that was just made.
func (r *reply) unconfirmed(fresh bool) error {
	switch {
	case !r.unkept:
		return nil
	case fresh:
		return errors.Join(ErrNotReplicated, ErrUnavailable)
	}
	return errors.Join(ErrNotReplicated, ErrUnknown)
}

// Undo takes back a grant that too few replicas have confirmed. Where it came from the line, its place is kept for the
// grace: the client is told to ask again.
func (s *Store) Undo(ctx context.Context, q *Request) (Cancelled, error) {
	return s.cancelAs(ctx, q, "undo")
}
