package transport

import (
	"net/url"
	"strconv"
	"unicode"
	"unicode/utf8"
)

const maxName = 512

// unescapeName reads a lock's name from its place in a path, as it came.
func unescapeName(escaped string) (string, error) { return url.PathUnescape(escaped) }

// nameFault says what is wrong with a lock's name, "" for nothing. "." and ".." are refused because proxies rewrite
// paths that hold them.
func nameFault(name string) string {
	if name == "." || name == ".." {
		return "must not be . or .., which proxies rewrite"
	}
	return textFault(name, maxName)
}

// textFault says what is wrong with a text that people and logs will see.
func textFault(s string, longest int) string {
	switch {
	case s == "":
		return "must not be empty"
	case len(s) > longest:
		return "is " + strconv.Itoa(len(s)) + " bytes long; " + strconv.Itoa(longest) + " are allowed"
	}
	return charFault(s)
}

func charFault(s string) string {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return ""
	}
	if !utf8.ValidString(s) {
		return "is not valid UTF-8"
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return "must not hold control characters"
		}
	}
	return ""
}
