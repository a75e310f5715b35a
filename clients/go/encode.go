package distributedlock

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// appendString appends a JSON string.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...) // a string cannot fail
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

func appendText(b []byte, key, value string) []byte {
	return appendString(append(append(append(b, ',', '"'), key...), '"', ':'), value)
}

// appendSeconds appends a duration as a number of seconds, to the microsecond.
func appendSeconds(b []byte, key string, d time.Duration) []byte {
	b = append(append(append(b, ',', '"'), key...), '"', ':')
	if d%time.Second == 0 {
		return strconv.AppendInt(b, int64(d/time.Second), 10)
	}
	return strconv.AppendFloat(b, float64(d.Microseconds())/1e6, 'f', -1, 64)
}

func appendHead(b []byte, kind string, id uint64) []byte {
	b = append(append(append(b, `{"type":"`...), kind...), `","id":"`...)
	return append(strconv.AppendUint(b, id, 10), '"')
}

// appendAcquire appends the members of an acquire, over whatever it goes.
func (q *request) appendAcquire(b []byte, wait time.Duration) []byte {
	if q.ttl != 0 {
		b = appendSeconds(b, "timeout", q.ttl)
	}
	if wait > 0 {
		b = appendSeconds(b, "waitTimeout", wait)
	}
	if q.meta != nil {
		b = append(append(b, `,"metadata":`...), q.meta...)
	}
	b = appendText(appendText(b, "ownerId", q.owner), "requestId", q.id)
	if q.shared {
		b = append(b, `,"mode":"shared"`...)
	}
	if q.hasLimit {
		b = strconv.AppendInt(append(b, `,"limit":`...), int64(q.limit), 10)
	}
	return b
}

// appendFrame appends the frame of a call.
func (k *call) appendFrame(b []byte, now time.Time) []byte {
	switch k.kind {
	case callAcquire:
		b = appendText(appendHead(b, "acquire", k.id), "lockName", k.name)
		b = k.q.appendAcquire(b, k.chunk(now))
	case callRelease:
		b = appendText(appendText(appendHead(b, "release", k.id), "lockName", k.name), "lockId", k.secret)
	case callRenew:
		b = appendText(appendText(appendHead(b, "renew", k.id), "lockName", k.name), "renewalToken", k.secret)
		if k.ttl != 0 {
			b = appendSeconds(b, "timeout", k.ttl)
		}
	case callSubscribe:
		b = k.sub.appendSubscribe(appendHead(b, "subscribe", k.id))
	case callUnsubscribe:
		b = appendText(appendHead(b, "unsubscribe", k.id), "subscription", k.secret)
	}
	return append(b, '}')
}

// appendCancel appends the frame that takes an acquire back. Nobody waits for its answer.
func appendCancel(b []byte, id, target uint64) []byte {
	b = append(appendHead(b, "cancel", id), `,"target":"`...)
	return append(strconv.AppendUint(b, target, 10), '"', '}')
}
