package distributedlock

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// members goes through the members of a JSON object that the service wrote.
type members struct {
	rest       []byte
	key, value []byte // the key without its quotes, the value as it stands
}

// next reports whether there is one more member. What is no JSON ends the object.
func (m *members) next() bool {
	i := bytes.IndexByte(m.rest, '"')
	if i < 0 || bytes.IndexByte(m.rest[:i], '}') >= 0 {
		return false
	}
	b := m.rest[i:]
	end := stringEnd(b)
	colon := bytes.IndexByte(b[end:], ':')
	if end < 2 || colon < 0 {
		return false
	}
	m.key, b = b[1:end-1], bytes.TrimLeft(b[end+colon+1:], " \t\r\n")
	n := valueEnd(b)
	m.value, m.rest = bytes.TrimRight(b[:n], " \t\r\n"), b[n:]
	return n > 0
}

// stringEnd is where the string that b begins with ends, 0 where it does not.
func stringEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

// valueEnd is where the value that b begins with ends.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			n := stringEnd(b[i:])
			if n == 0 {
				return 0
			}
			i += n - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(b)
}

// text is a string's value.
func text(value []byte) string {
	if len(value) < 2 || value[0] != '"' {
		return ""
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1])
	}
	var s string
	_ = json.Unmarshal(value, &s) // "" for what is none
	return s
}

func number(value []byte) int64 {
	n := int64(0)
	for _, c := range value {
		if c < '0' || c > '9' {
			f, _ := strconv.ParseFloat(string(value), 64)
			return int64(f)
		}
		n = 10*n + int64(c-'0')
	}
	return n
}

func seconds(value []byte) time.Duration {
	f, _ := strconv.ParseFloat(string(value), 64)
	return time.Duration(f * float64(time.Second))
}

// moment is a time as the service writes it: RFC 3339, UTC, milliseconds.
func moment(value []byte) time.Time {
	if v := value; len(v) == len(`"2006-01-02T15:04:05.000Z"`) && v[20] == '.' && v[24] == 'Z' {
		n := func(i, j int) int { return int(number(v[i:j])) }
		return time.Date(n(1, 5), time.Month(n(6, 8)), n(9, 11), n(12, 14), n(15, 17), n(18, 20), n(21, 24)*1e6, time.UTC)
	}
	t, _ := time.Parse(time.RFC3339Nano, text(value))
	return t
}

// head is a frame's type and id, which come first.
func head(frame []byte) (kind []byte, id uint64) {
	m := members{rest: frame}
	if !m.next() || string(m.key) != "type" || len(m.value) < 2 {
		return nil, 0
	}
	kind = m.value[1 : len(m.value)-1]
	if m.next() && string(m.key) == "id" && len(m.value) > 2 {
		id = uint64(number(m.value[1 : len(m.value)-1])) //nolint:gosec // our own ids
	}
	return kind, id
}

// grant is what is told of a lock that was granted, renewed or released.
type grant struct {
	lockID, token     string
	expires           time.Time
	ttl, waited, held time.Duration
	fencing           int64
	// name and request stand as they do in the frame, and are good as long as that is: few want them.
	name, request []byte
}

func (g *grant) read(frame []byte) {
	for m := (members{rest: frame}); m.next(); {
		switch string(m.key) {
		case "lockId":
			g.lockID = text(m.value)
		case "lockName":
			g.name = m.value
		case "requestId":
			g.request = m.value
		case "renewalToken":
			g.token = text(m.value)
		case "expiresAt":
			g.expires = moment(m.value)
		case "ttlMs":
			g.ttl = time.Duration(number(m.value)) * time.Millisecond
		case "fencingToken":
			g.fencing = number(m.value)
		case "waitTime":
			g.waited = seconds(m.value)
		case "heldFor":
			g.held = seconds(m.value)
		}
	}
}

// readHeld is how long a lock was held that was released.
func readHeld(frame []byte) time.Duration {
	for m := (members{rest: frame}); m.next(); {
		if string(m.key) == "heldFor" {
			return seconds(m.value)
		}
	}
	return 0
}

// now is the service's time as the grant was told, where it was told at once.
func (g *grant) now() time.Time { return g.expires.Add(-g.ttl) }

// readError reads a problem or an error frame. status counts where it tells none.
func readError(body []byte, status int) *APIError {
	var e struct {
		APIError
		WaitTime   float64 `json:"waitTime"`
		RetryAfter float64 `json:"retryAfter"`
	}
	if err := json.Unmarshal(body, &e); err != nil || e.Code == "" {
		e.APIError = APIError{Code: codeOf(status), Status: status, Title: "an answer that is not the service's", Detail: excerpt(body)}
	}
	if e.Status == 0 {
		e.Status = status
	}
	e.APIError.WaitTime = time.Duration(e.WaitTime * float64(time.Second))
	e.APIError.RetryAfter = time.Duration(e.RetryAfter * float64(time.Second))
	return &e.APIError
}

// codeOf is the code of an answer that came from something between us and the service.
func codeOf(status int) string {
	switch {
	case status == 401:
		return "unauthorized"
	case status == 403:
		return "forbidden"
	case status == 413:
		return "too_large"
	case status == 429:
		return codeRateLimited
	case status >= 502:
		return codeUnavailable
	case status >= 500:
		return codeInternal
	case status == 404:
		return "not_found"
	}
	return codeInvalid
}

func excerpt(b []byte) string {
	if len(b) > 200 {
		b = b[:200]
	}
	return string(bytes.ToValidUTF8(b, nil))
}
