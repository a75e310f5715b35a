package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

// fault is one thing wrong with a request.
type fault struct{ field, detail string }

// faults collects all that is wrong, so that a client is told everything at once.
type faults []fault

func (f *faults) add(field, detail string) { *f = append(*f, fault{field, detail}) }

func (f *faults) err() error {
	if len(*f) == 0 {
		return nil
	}
	return &invalidError{faults: *f}
}

func (f *faults) has(field string) bool {
	for i := range *f {
		if (*f)[i].field == field {
			return true
		}
	}
	return false
}

type invalidError struct{ faults faults }

func (e *invalidError) Error() string { return e.faults[0].field + " " + e.faults[0].detail }

// field is a member that a body may have.
type field[T any] struct {
	name     string
	required bool
	// set reads the value, which is not null, and says what is wrong with it.
	set func(into *T, v value) (fault string)
}

// decode reads a body strictly: one JSON object in UTF-8 with the fields given, each at most once. What is wrong goes
// to the faults. A null stands for an absent field.
func decode[T any](body []byte, fields []field[T], into *T, f *faults) {
	if fault := bodyFault(body); fault != "" {
		f.add("body", fault)
		return
	}
	decodeMembers(body, fields, into, f)
}

// decodeMembers reads an object that is known to be valid JSON.
func decodeMembers[T any](body []byte, fields []field[T], into *T, f *faults) {
	var seen, given uint
	for m := (members{rest: body}); m.next(); {
		i := 0
		for i < len(fields) && fields[i].name != string(m.key) {
			i++
		}
		switch {
		case i == len(fields):
			f.add(m.name(), "is not a field of this call")
			continue
		case seen&(1<<i) != 0:
			f.add(fields[i].name, "is there more than once")
			continue
		}
		seen |= 1 << i
		if m.value[0] == 'n' {
			continue
		}
		given |= 1 << i
		if fault := fields[i].set(into, m.value); fault != "" {
			f.add(fields[i].name, fault)
		}
	}
	for i := range fields {
		if fields[i].required && given&(1<<i) == 0 {
			f.add(fields[i].name, "is required")
		}
	}
}

// bodyFault says why a body is no JSON object.
func bodyFault(body []byte) string {
	switch {
	case len(body) == 0:
		return "is missing; this call needs a JSON object"
	case !utf8.Valid(body):
		return "is not valid UTF-8"
	case !json.Valid(body):
		return syntaxFault(body)
	case body[skipSpace(body)] != '{':
		return "must be a JSON object"
	}
	return ""
}

func syntaxFault(body []byte) string {
	var v any
	err := json.Unmarshal(body, &v)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return "is not JSON: " + syntax.Error() + ", at byte " + strconv.FormatInt(syntax.Offset, 10)
	}
	return "is not JSON"
}

// members walks the members of an object that is known to be valid JSON.
type members struct {
	rest  []byte
	key   []byte
	value value
}

func (m *members) next() bool {
	b := m.rest[skipSpace(m.rest):]
	b = b[1:] // { before the first, a comma or } after any other
	b = b[skipSpace(b):]
	if len(b) == 0 || b[0] != '"' {
		return false
	}
	end := stringEnd(b)
	m.key, b = unescapeKey(b[:end]), b[end:]
	b = b[skipSpace(b)+1:] // the colon
	b = b[skipSpace(b):]
	end = valueEnd(b)
	m.value, m.rest = value(b[:end]), b[end:]
	return true
}

// elements walks the elements of an array that is known to be valid JSON.
type elements struct {
	rest  []byte
	value value
}

func (e *elements) next() bool {
	b := e.rest[skipSpace(e.rest):]
	b = b[1:] // [ before the first, a comma or ] after any other
	b = b[skipSpace(b):]
	if len(b) == 0 || b[0] == ']' {
		return false
	}
	end := valueEnd(b)
	e.value, e.rest = value(b[:end]), b[end:]
	return true
}

// text reads an element that is an identifier.
func (e *elements) text(longest int) (s, fault string) {
	if e.value[0] == 'n' {
		return "", "must be a string, not null"
	}
	fault = e.value.text(&s, longest)
	return s, fault
}

// name is the key as it may be shown.
func (m *members) name() string {
	const longest = 64
	name := string(m.key)
	if len(name) > longest {
		name = name[:longest] + "…"
	}
	return name
}

// unescapeKey reads a key; most are as they stand.
func unescapeKey(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	s, fault := value(quoted).unquote()
	if fault != "" {
		return quoted
	}
	return []byte(s)
}

func skipSpace(b []byte) int {
	i := 0
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// stringEnd is where the string at the start of b ends, behind its quote.
func stringEnd(b []byte) int {
	i := 1
	for b[i] != '"' {
		if b[i] == '\\' {
			i++
		}
		i++
	}
	return i + 1
}

// valueEnd is where the value at the start of b ends.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i += stringEnd(b[i:]) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(b)
}
