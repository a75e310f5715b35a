package queue

import (
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

// descriptor is the part of a request that never changes, as it stands in Redis.
type descriptor struct {
	LockID       string `json:"lockId"`
	RenewalToken string `json:"renewalToken"`
	Client       string `json:"client"`
	Owner        string `json:"owner"`
	Explicit     bool   `json:"explicit,omitempty"`
	Request      string `json:"request"`
	Node         string `json:"node"`
	Lease        int64  `json:"lease"`
	AutoRenew    bool   `json:"autoRenew,omitempty"`
	RenewEvery   int64  `json:"renewEvery,omitempty"`
	MaxHold      int64  `json:"maxHold,omitempty"`
	Grace        int64  `json:"grace"`
	Mode         Mode   `json:"mode"`
	Limit        int    `json:"limit"`
	// Print tells one body from another, whatever the wait.
	Print string `json:"print"`
}

// readHolder reads a holder's value (see lua/lib.lua); now is Redis's time in microseconds.
func readHolder(name, lockID, value string, now int64) (Grant, error) {
	first, line, meta, ok := threeLines(value)
	columns := strings.Fields(first)
	if !ok || len(columns) != 7 {
		return Grant{}, errReply
	}
	n := numbers([]string{columns[0], columns[2], columns[3]})
	var d descriptor
	if n == nil || json.Unmarshal([]byte(line), &d) != nil {
		return Grant{}, errReply
	}
	g := Grant{Name: name, LockID: lockID, RenewalToken: d.RenewalToken, Client: d.Client, Owner: d.Owner,
		Explicit: d.Explicit, Request: d.Request, Mode: d.Mode, Limit: d.Limit, Token: n[1], Since: time.UnixMicro(n[2]).UTC(),
		End: time.UnixMilli(n[0]).UTC(), TTL: until(n[0], now), AutoRenew: d.AutoRenew,
		Taken: columns[1]}
	if meta != "" {
		g.Metadata = json.RawMessage(meta)
	}
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
		first, line, _, ok := threeLines(rows[i+1].text)
		n := numbers(strings.Fields(first))
		var d descriptor
		if !ok || len(n) != 2 || json.Unmarshal([]byte(line), &d) != nil {
			return nil, errReply
		}
		out = append(out, Waiter{Position: len(out) + 1, Client: d.Client, Owner: d.Owner, Explicit: d.Explicit,
			Request: d.Request, Mode: d.Mode, Limit: d.Limit, Ticket: rows[i].number, Since: time.UnixMicro(n[1]).UTC(),
			Waiting: max(0, time.Duration(now-n[1])*time.Microsecond)})
	}
	return out, nil
}

func threeLines(value string) (first, second, third string, ok bool) {
	first, rest, ok := strings.Cut(value, "\n")
	second, third, _ = strings.Cut(rest, "\n")
	return first, second, third, ok
}
