package queue

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// reply is the answer of a script: the head that all have (see lua/head.lua) and its own rest.
type reply struct {
	word   string
	micros int64
	Effects
	rest []cell
	// unkept is whether too few replicas have confirmed what the script did.
	unkept bool
}

// cell is one part of an answer: a text, a number, or a number as digits, which is both.
type cell struct {
	text   string
	number int64
}

var errReply = errors.New("redis gave an answer that this version does not understand")

const (
	headColumns   = 6
	handedColumns = 6
)

func readReply(msgs []rueidis.RedisMessage) (reply, error) {
	cells := make([]cell, len(msgs))
	for i := range msgs {
		var err error
		if msgs[i].IsInt64() {
			cells[i].number, err = msgs[i].ToInt64()
		} else {
			cells[i].text, err = msgs[i].ToString()
			cells[i].number = digits(cells[i].text)
		}
		if err != nil {
			return reply{}, fmt.Errorf("%w: part %d: %w", errReply, i, err)
		}
	}
	if len(cells) < headColumns || len(cells) < headColumns+handedColumns*int(cells[5].number) {
		return reply{}, errReply
	}
	r := reply{word: cells[0].text, micros: cells[1].number}
	r.Next, r.Expired, r.Queue = until(cells[2].number, r.micros), int(cells[3].number), int(cells[4].number)
	rows := cells[headColumns:]
	for range cells[5].number {
		r.Handed = append(r.Handed, readHanded(rows[:handedColumns], r.micros))
		rows = rows[handedColumns:]
	}
	r.rest = rows
	return r, nil
}

// digits is the number that a text of up to 18 digits is, 0 for any other text.
func digits(text string) (n int64) {
	if len(text) > 18 {
		return 0
	}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0
		}
		n = 10*n + int64(text[i]-'0')
	}
	return n
}

// readHanded reads name, lockId, token, since, end and freed.
func readHanded(row []cell, now int64) Handed {
	return Handed{Name: row[0].text, LockID: row[1].text, Token: row[2].number, Since: time.UnixMicro(row[3].number).UTC(),
		End: time.UnixMilli(row[4].number).UTC(), TTL: until(row[4].number, now), Freed: time.UnixMicro(row[5].number).UTC()}
}

// readGrant reads lockId, token, since and end.
func readGrant(row []cell, now int64) Handed {
	return Handed{LockID: row[0].text, Token: row[1].number, Since: time.UnixMicro(row[2].number).UTC(),
		End: time.UnixMilli(row[3].number).UTC(), TTL: until(row[3].number, now)}
}

// until is the time from a moment in microseconds to one in milliseconds: rounded up, at least a millisecond, 0 for none.
func until(ms, micros int64) time.Duration {
	if ms == 0 {
		return 0
	}
	return max(time.Duration(ms*1000-micros)*time.Microsecond, time.Millisecond)
}

func numbers(fields []string) []int64 {
	out := make([]int64, len(fields))
	for i, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return nil
		}
		out[i] = n
	}
	return out
}

// ask is the text of a request as it stands in Redis: see lua/head.lua. No line of it but the first and the last has
// anything of the program's own, and the client's texts hold no control characters.
func (s *Store) ask(q *Request) string {
	session, explicit := cmp.Or(q.Session, "-"), byte('0')
	if q.Explicit {
		explicit = '1'
	}
	every := int64(0)
	if q.AutoRenew {
		every = max(q.RenewEvery.Milliseconds(), 1)
	}
	b := make([]byte, 0, 256+len(q.Client)+len(q.Owner)+len(q.Metadata))
	b = append(append(b, q.LockID...), ' ')
	b = append(append(b, q.RenewalToken...), ' ')
	b = append(append(b, s.opts.Node...), ' ')
	b = append(append(b, session...), ' ')
	b = append(strconv.AppendInt(b, q.Lease.Milliseconds(), 10), ' ')
	b = append(append(b, q.Mode...), ' ')
	for _, n := range [...]int64{int64(q.Limit), every, q.Hold.Milliseconds(), q.Grace.Milliseconds()} {
		b = append(strconv.AppendInt(b, n, 10), ' ')
	}
	b = strconv.AppendUint(append(b, explicit, ' '), q.print(), 36)
	for _, line := range [...]string{q.Client, q.ID, q.Owner, q.Frame} {
		b = append(append(b, '\n'), line...)
	}
	return string(append(append(b, '\n'), q.Metadata...))
}

// readAsk reads what ask wrote, but for the print and the wait. The node that it names is not the caller's concern.
func readAsk(name, text string) (*Request, error) {
	lines := strings.SplitN(text, "\n", 6)
	if len(lines) != 6 {
		return nil, errReply
	}
	t := strings.Split(lines[0], " ")
	if len(t) != 12 {
		return nil, errReply
	}
	n := numbers([]string{t[4], t[6], t[7], t[8], t[9]})
	if n == nil {
		return nil, errReply
	}
	q := &Request{Name: name, LockID: t[0], RenewalToken: t[1], Session: t[3], Mode: Mode(t[5]), Limit: int(n[1]),
		Lease: ms(n[0]), RenewEvery: ms(n[2]), AutoRenew: n[2] > 0, Hold: ms(n[3]), Grace: ms(n[4]), Explicit: t[10] == "1",
		Client: lines[1], ID: lines[2], Owner: lines[3], Frame: lines[4]}
	if q.Session == "-" {
		q.Session = ""
	}
	if lines[5] != "" {
		q.Metadata = json.RawMessage(lines[5])
	}
	var err error
	q.Print, err = strconv.ParseUint(t[11], 36, 64)
	return q, err
}

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// readHolder reads a holder's value (see lua/head.lua); now is Redis's time in microseconds.
func readHolder(name, lockID, value string, now int64) (Grant, error) {
	first, text, _ := strings.Cut(value, "\n")
	columns := strings.Fields(first)
	if len(columns) != 6 {
		return Grant{}, errReply
	}
	n := numbers([]string{columns[0], columns[2], columns[3]})
	q, err := readAsk(name, text)
	if n == nil || err != nil {
		return Grant{}, errReply
	}
	q.LockID = lockID
	g := q.Grant(Handed{LockID: lockID, Token: n[1], Since: time.UnixMicro(n[2]).UTC(), End: time.UnixMilli(n[0]).UTC(),
		TTL: until(n[0], now)})
	g.Taken = columns[1]
	return g, nil
}

// readHolders reads rows of lockId and value.
func readHolders(name string, rows []cell, now int64) ([]Grant, error) {
	out := make([]Grant, 0, len(rows)/2)
	for i := 0; i+1 < len(rows); i += 2 {
		g, err := readHolder(name, rows[i].text, rows[i+1].text, now)
		if err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, nil
}

// readWaiters reads rows of ticket and value, in the order of the line.
func readWaiters(rows []cell, now int64) ([]Waiter, error) {
	out := make([]Waiter, 0, len(rows)/2)
	for i := 0; i+1 < len(rows); i += 2 {
		first, text, _ := strings.Cut(rows[i+1].text, "\n")
		n := numbers(strings.Fields(first))
		q, err := readAsk("", text)
		if err != nil || len(n) != 2 {
			return nil, errReply
		}
		out = append(out, Waiter{Position: len(out) + 1, LockID: q.LockID, Client: q.Client, Owner: q.Owner, Explicit: q.Explicit,
			Request: q.ID, Mode: q.Mode, Limit: q.Limit, Ticket: rows[i].number, Since: time.UnixMicro(n[1]).UTC(),
			Waiting: max(0, time.Duration(now-n[1])*time.Microsecond)})
	}
	return out, nil
}
