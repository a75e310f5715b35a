package queue

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// dump is everything in Redis, in words: every key with its type, value and end, moments as distances from the
// epoch ("us+1000000", "ms+1000"), in an order of its own.
func (w *world) dump() string {
	w.t.Helper()
	keys, err := w.do("KEYS", "*").AsStrSlice()
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(keys)
	var b strings.Builder
	for _, key := range keys {
		if key == "test:clock" || key == "dl:partitions" || key == "dl:{0}:watched" || key == "dl:{0}:node:a" || key == "dl:{0}:node:c" ||
			key == "dl:{0}:node:b" && w.plain(key) == "here" {
			continue
		}
		kind, _ := w.do("TYPE", key).ToString()
		short := strings.ReplaceAll(strings.TrimPrefix(key, "dl:{0}:"), "\n", "|")
		fmt.Fprintf(&b, "%s (%s%s)\n", short, kind, w.ends(key))
		for _, line := range w.value(kind, key, short) {
			fmt.Fprintf(&b, "    %s\n", line)
		}
	}
	if n := w.plain("dl:{0}:node:a"); n != "here" && n != "claim" {
		b.WriteString("node a is not there\n")
	}
	return moments(b.String())
}

func (w *world) plain(key string) string {
	s, _ := w.do("GET", key).ToString()
	return s
}

// ends says when a key ends: locks exactly, as the scripts set a moment; others by their length of life in seconds.
func (w *world) ends(key string) string {
	if strings.Contains(key, ":lock:") {
		if at := w.int("PEXPIRETIME", key); at > 0 {
			return fmt.Sprintf(", ends %d", (at+50)/100*100) // the stand-in rounds by itself
		}
		return ", never ends"
	}
	if ms := w.int("PTTL", key); ms > 0 && !strings.HasPrefix(key, "dl:{0}:node:") {
		return fmt.Sprintf(", lives %ds", (ms+999)/1000)
	}
	return ""
}

func (w *world) value(kind, key, short string) (lines []string) {
	switch kind {
	case "string":
		if v := w.plain(key); strings.HasPrefix(short, "parked:") {
			first, text, _ := strings.Cut(v, "\n")
			n := strings.Fields(first)
			lines = append(lines, fmt.Sprintf("ticket %s until %s since %s %s", n[0], n[1], n[2], describeAsk(text)))
		} else {
			lines = append(lines, v)
		}
	case "hash":
		fields, err := w.do("HGETALL", key).AsStrMap()
		if err != nil {
			w.t.Fatal(err)
		}
		for f, v := range fields {
			lines = append(lines, sayField(short, f, v))
		}
		slices.Sort(lines)
	case "set":
		lines, _ = w.do("SMEMBERS", key).AsStrSlice()
		slices.Sort(lines)
	case "zset":
		members, err := w.do("ZRANGE", key, "0", "-1", "WITHSCORES").AsZScores()
		if err != nil {
			w.t.Fatal(err)
		}
		for _, m := range members {
			lines = append(lines, strconv.FormatFloat(m.Score, 'f', 0, 64)+" "+m.Member)
		}
	}
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], "\n", "|")
	}
	return lines
}

func sayField(short, field, value string) string {
	first, rest, _ := strings.Cut(value, "\n")
	n := strings.Fields(first)
	switch {
	case strings.HasPrefix(short, "lock:") && len(n) == 6:
		till := ""
		if n[5] != "0" {
			till = " till " + n[5]
		}
		return fmt.Sprintf("%s %s token %s since %s ends %s ticket %s%s %s", field, n[1], n[2], n[3], n[0], n[4], till, describeAsk(rest))
	case strings.HasPrefix(short, "waiters:") && len(n) == 2:
		return fmt.Sprintf("%s until %s since %s %s", field, n[0], n[1], describeAsk(rest))
	}
	return field + " = " + value
}

// describeAsk says a request in short.
func describeAsk(text string) string {
	q, err := readAsk("", text)
	if err != nil {
		return "?? " + text
	}
	s := fmt.Sprintf("[%s %s %s/%s@%s lease %d %s%d", q.LockID, q.RenewalToken, q.Client, q.ID, strings.Fields(text)[2],
		q.Lease.Milliseconds(), q.Mode, q.Limit)
	if q.AutoRenew {
		s += fmt.Sprintf(" renews every %d for %d", q.RenewEvery.Milliseconds(), q.Hold.Milliseconds())
	}
	if q.Owner != q.Client {
		s += " owner " + q.Owner
	}
	if q.Session != "" {
		s += " session " + q.Session + " frame " + q.Frame
	}
	return s + "]" + string(q.Metadata)
}

var momentPattern = regexp.MustCompile(`\b40000\d{11}\b|\b40000\d{8}\b`)

// moments writes the tests' times as distances from the epoch.
func moments(s string) string {
	return momentPattern.ReplaceAllStringFunc(s, func(m string) string {
		n, _ := strconv.ParseInt(m, 10, 64)
		if len(m) == 16 {
			return fmt.Sprintf("us+%d", n-epoch)
		}
		return fmt.Sprintf("ms+%d", n-epoch/1000)
	})
}

// sayGrant is a grant in words.
func sayGrant(g Grant) string {
	s := fmt.Sprintf("%s %s %s/%s %s%d token %d since %d ends %d ttl %s", g.LockID, g.RenewalToken, g.Client, g.Request,
		g.Mode, g.Limit, g.Token, g.Since.UnixMicro(), g.End.UnixMilli(), g.TTL)
	if g.AutoRenew {
		s += " renews"
	}
	if g.Metadata != nil {
		s += " " + string(g.Metadata)
	}
	return s
}

func sayGrants(what string, grants []Grant) string {
	slices.SortFunc(grants, func(a, b Grant) int { return int(a.Token - b.Token) })
	var b strings.Builder
	for _, g := range grants {
		fmt.Fprintf(&b, "%s %s\n", what, sayGrant(g))
	}
	return b.String()
}

func sayEffects(e Effects) string {
	var b strings.Builder
	slices.SortFunc(e.Handed, func(a, b Handed) int { return int(a.Token - b.Token) })
	for _, h := range e.Handed {
		fmt.Fprintf(&b, "handed %s %s token %d since %d ends %d ttl %s freed %d\n", h.Name, h.LockID, h.Token,
			h.Since.UnixMicro(), h.End.UnixMilli(), h.TTL, h.Freed.UnixMicro())
	}
	fmt.Fprintf(&b, "next look in %s, %d expired, %d in line\n", e.Next, e.Expired, e.Queue)
	return b.String()
}

func sayAcquired(a Acquired, err error) string {
	var b strings.Builder
	switch {
	case err != nil:
		fmt.Fprintf(&b, "error: %s\n", errorName(err))
	case a.Word == Granted:
		fmt.Fprintf(&b, "granted %s\n", sayGrant(a.Grant))
	case a.Word == Queued:
		fmt.Fprintf(&b, "queued at %d with ticket %d\n", a.Position, a.Ticket)
	default:
		fmt.Fprintf(&b, "%s\n", a.Word)
	}
	if a.Word != Granted {
		if holders, err := a.Holders(); err == nil {
			b.WriteString(sayGrants("held by", holders))
		}
	}
	return b.String() + sayEffects(a.Effects)
}

func sayResult(what string, e Effects, err error) string {
	if err != nil {
		what = "error: " + errorName(err)
	}
	return what + "\n" + sayEffects(e)
}
