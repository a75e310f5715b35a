package transport

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// value is a JSON value as it came, known to be valid.
type value []byte

const (
	maxText     = 256
	maxMetadata = 4 << 10
)

func (v value) kind() string {
	switch v[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	}
	return "a number"
}

func (v value) must(kind string) string { return "must be " + kind + ", not " + v.kind() }

// text reads an identifier: 1 to longest bytes without control characters.
func (v value) text(into *string, longest int) string {
	if v[0] != '"' {
		return v.must("a string")
	}
	s, fault := v.unquote()
	if fault != "" {
		return fault
	}
	*into = s
	return textFault(s, longest)
}

// unquote reads a string. Half a surrogate pair is refused: it has no UTF-8, and two such names would become one.
func (v value) unquote() (s, fault string) {
	inner := v[1 : len(v)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), ""
	}
	if halfPair(inner) {
		return "", "holds half a surrogate pair"
	}
	if err := json.Unmarshal(v, &s); err != nil {
		return "", "is not a JSON string"
	}
	return s, ""
}

// halfPair reports whether an escaped string has a \uD800 to \uDFFF that is not one of a pair.
func halfPair(b []byte) bool {
	high := false // whether the character before was the first half of a pair
	for len(b) > 0 {
		code, width := uint64(0), 1
		if b[0] == '\\' {
			width = 2
			if b[1] == 'u' {
				width = 6
				code, _ = strconv.ParseUint(string(b[2:6]), 16, 16)
			}
		}
		if low := code >= 0xdc00 && code < 0xe000; low != high {
			return true
		}
		high = code >= 0xd800 && code < 0xdc00
		b = b[width:]
	}
	return high
}

func (v value) boolean(into *bool) string {
	if v[0] != 't' && v[0] != 'f' {
		return v.must("a boolean")
	}
	*into = v[0] == 't'
	return ""
}

func (v value) number() (n float64, fault string) {
	if v.kind() != "a number" {
		return 0, v.must("a number")
	}
	// A number too large for a float comes back as an infinity, which is out of any range.
	n, _ = strconv.ParseFloat(string(v), 64)
	return n, ""
}

// seconds reads a duration in [low, high], rounded up to the millisecond.
func (v value) seconds(into *time.Duration, low, high time.Duration) string {
	n, fault := v.number()
	if fault != "" {
		return fault + " (of seconds)"
	}
	if n < low.Seconds() || n > high.Seconds() {
		return "must be from " + trim(low.Seconds()) + " to " + trim(high.Seconds()) + " seconds"
	}
	micros := math.Round(n * 1e6)
	*into = time.Duration(math.Ceil(micros/1e3)) * time.Millisecond
	return ""
}

// whole reads an integer in [low, high].
func (v value) whole(into *int, low, high int) string {
	n, fault := v.number()
	if fault != "" {
		return fault
	}
	if n != math.Trunc(n) || n < float64(low) || n > float64(high) {
		return "must be a whole number from " + strconv.Itoa(low) + " to " + strconv.Itoa(high)
	}
	*into = int(n)
	return ""
}

// object reads any object of up to 4 KiB, compacted, into memory of its own.
func (v value) object(into *json.RawMessage) string {
	if v[0] != '{' {
		return v.must("an object")
	}
	var compact bytes.Buffer
	compact.Grow(len(v))
	if err := json.Compact(&compact, v); err != nil {
		return "is not JSON"
	}
	if compact.Len() > maxMetadata {
		return "is " + strconv.Itoa(compact.Len()) + " bytes of JSON; " + strconv.Itoa(maxMetadata) + " are allowed"
	}
	*into = compact.Bytes()
	return ""
}

func trim(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
