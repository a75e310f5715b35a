package transport

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"distributedlock/queue"
)

// jsonWriter is JSON in the making. Its methods append members to the object, or elements to the array, that was
// opened last; the comma before them is theirs to set.
type jsonWriter []byte

// timeFormat is RFC 3339 with milliseconds, of times in UTC.
const timeFormat = "2006-01-02T15:04:05.000Z"

func (w *jsonWriter) comma() {
	if n := len(*w); n > 0 && (*w)[n-1] != '{' && (*w)[n-1] != '[' && (*w)[n-1] != ':' {
		*w = append(*w, ',')
	}
}

// key begins a member. Keys are the program's own and need no escaping.
func (w *jsonWriter) key(k string) {
	w.comma()
	*w = append(append(append(*w, '"'), k...), '"', ':')
}

func (w *jsonWriter) open(bracket byte) {
	w.comma()
	*w = append(*w, bracket)
}

func (w *jsonWriter) close(bracket byte) { *w = append(*w, bracket) }

func (w *jsonWriter) text(k, v string) {
	w.key(k)
	*w = appendString(*w, v)
}

func (w *jsonWriter) texts(k string, vs []string) {
	w.key(k)
	w.open('[')
	for _, v := range vs {
		w.comma()
		*w = appendString(*w, v)
	}
	w.close(']')
}

func (w *jsonWriter) num(k string, v int64) {
	w.key(k)
	*w = strconv.AppendInt(*w, v, 10)
}

func (w *jsonWriter) bool(k string, v bool) {
	w.key(k)
	*w = strconv.AppendBool(*w, v)
}

func (w *jsonWriter) time(k string, t time.Time) {
	w.key(k)
	*w = append(t.UTC().AppendFormat(append(*w, '"'), timeFormat), '"')
}

// seconds appends a duration as a number of seconds, to the microsecond.
func (w *jsonWriter) seconds(k string, d time.Duration) {
	w.key(k)
	*w = strconv.AppendFloat(*w, float64(max(d, 0).Microseconds())/1e6, 'f', -1, 64)
}

func (w *jsonWriter) millis(k string, d time.Duration) { w.num(k, max(d, 0).Milliseconds()) }

// latency appends a duration as a number of milliseconds, to the microsecond.
func (w *jsonWriter) latency(k string, d time.Duration) {
	w.key(k)
	*w = strconv.AppendFloat(*w, float64(max(d, 0).Microseconds())/1e3, 'f', -1, 64)
}

// raw appends JSON as it is, null for none.
func (w *jsonWriter) raw(k string, v []byte) {
	w.key(k)
	if len(v) == 0 {
		v = []byte("null")
	}
	*w = append(*w, v...)
}

// holders appends who holds a lock. What a grant is released and renewed with is never shown.
func (w *jsonWriter) holders(grants []queue.Grant) {
	w.key("holders")
	w.open('[')
	for i := range grants {
		g := &grants[i]
		w.open('{')
		w.text("clientId", g.Client)
		w.text("ownerId", g.Owner)
		w.time("acquiredAt", g.Since)
		w.time("expiresAt", g.End)
		w.millis("ttlMs", g.TTL)
		w.num("fencingToken", g.Token)
		w.bool("autoRenew", g.AutoRenew)
		w.raw("metadata", g.Metadata)
		w.close('}')
	}
	w.close(']')
}

func (w *jsonWriter) cycle(steps []queue.CycleStep) {
	w.open('[')
	for i := range steps {
		s := &steps[i]
		w.open('{')
		w.text("clientId", s.Client)
		w.text("ownerId", s.Owner)
		w.text("holds", s.Holds)
		w.time("heldSince", s.HeldSince)
		w.text("waitsFor", s.WaitsFor)
		w.time("waitingSince", s.WaitingSince)
		w.close('}')
	}
	w.close(']')
}

// appendString appends a JSON string. Almost all are plain ASCII and copied as they are.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		if c < ' ' {
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		} else {
			b = append(b, '\\', c)
		}
	}
	return append(append(b, s[from:]...), '"')
}
