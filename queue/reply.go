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

// reply is the answer of a script: the head that all have (see lua/lib.lua) and its own rest.
type reply struct {
	word   string
	micros int64
	Effects
	handed []Handed
	rest   []string
}

var errReply = errors.New("redis gave an answer that this version does not understand")

const (
	headColumns   = 6
	handedColumns = 6
)

func readReply(msgs []rueidis.RedisMessage, _ int) (reply, error) {
	fields := make([]string, len(msgs))
	for i := range msgs {
		if n, err := msgs[i].ToInt64(); err == nil {
			fields[i] = strconv.FormatInt(n, 10)
		} else if fields[i], err = msgs[i].ToString(); err != nil {
			return reply{}, fmt.Errorf("%w: field %d: %w", errReply, i, err)
		}
	}
	if len(fields) < headColumns {
		return reply{}, errReply
	}
	n := numbers(fields[1:headColumns])
	if len(n) != headColumns-1 || len(fields) < headColumns+handedColumns*int(n[4]) {
		return reply{}, errReply
	}
	r := reply{word: fields[0], micros: n[0]}
	r.Next, r.Expired, r.Queue = until(n[1], n[0]), int(n[2]), int(n[3])
	rows := fields[headColumns:]
	for range n[4] {
		h := numbers(rows[2:handedColumns])
		if h == nil {
			return reply{}, errReply
		}
		r.handed = append(r.handed, Handed{Name: rows[0], LockID: rows[1], Token: h[0], Since: time.UnixMicro(h[1]).UTC(),
			End: time.UnixMilli(h[2]).UTC(), TTL: until(h[2], n[0]), Freed: time.UnixMicro(h[3]).UTC()})
		rows = rows[handedColumns:]
	}
	r.Handed, r.rest = r.handed, rows
	return r, nil
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
		End: time.UnixMilli(n[0]).UTC(), TTL: until(n[0], now), AutoRenew: d.AutoRenew}
	if meta != "" {
		g.Metadata = json.RawMessage(meta)
	}
	return g, nil
}

// readHolders reads rows of lockId and value.
func readHolders(name string, rows []string, now int64) ([]Grant, error) {
	out := make([]Grant, 0, len(rows)/2)
	for i := 0; i+1 < len(rows); i += 2 {
		g, err := readHolder(name, rows[i], rows[i+1], now)
		if err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, nil
}

// readWaiters reads rows of ticket and value, in the order of the line.
func readWaiters(rows []string, now int64) ([]Waiter, error) {
	out := make([]Waiter, 0, len(rows)/2)
	for i := 0; i+1 < len(rows); i += 2 {
		first, line, _, ok := threeLines(rows[i+1])
		n := numbers(append(strings.Fields(first), rows[i]))
		var d descriptor
		if !ok || len(n) != 3 || json.Unmarshal([]byte(line), &d) != nil {
			return nil, errReply
		}
		out = append(out, Waiter{Position: len(out) + 1, Client: d.Client, Owner: d.Owner, Explicit: d.Explicit,
			Request: d.Request, Mode: d.Mode, Limit: d.Limit, Ticket: n[2], Since: time.UnixMicro(n[1]).UTC(),
			Waiting: max(0, time.Duration(now-n[1])*time.Microsecond)})
	}
	return out, nil
}

func threeLines(value string) (first, second, third string, ok bool) {
	first, rest, ok := strings.Cut(value, "\n")
	second, third, _ = strings.Cut(rest, "\n")
	return first, second, third, ok
}
