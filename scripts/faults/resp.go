package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// readFrame reads one answer of Redis and appends it, as it came, to buf. Where it is a message of pub/sub, about is the
// message's text, or a word where it has none. https://redis.io/docs/latest/develop/reference/protocol-spec/
func readFrame(from *bufio.Reader, buf []byte) (frame []byte, about string, err error) {
	start := len(buf)
	if buf, err = appendFrame(from, buf, 0); err != nil {
		return buf, "", err
	}
	f := string(buf[start:min(len(buf), start+64)])
	if f[0] != '>' {
		return buf, "", nil
	}
	for _, kind := range []string{"message", "pmessage", "smessage"} {
		if strings.Contains(f[:min(len(f), 24)], "\r\n"+kind+"\r\n") {
			return buf, lastText(string(buf[start:])), nil
		}
	}
	return buf, "", nil // of a subscribe, which is no message
}

// lastText is the last string of a frame.
func lastText(frame string) string {
	lines := strings.Split(strings.TrimSuffix(frame, "\r\n"), "\r\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return "message"
}

// isPing tells whether a message is one of a node to itself.
func isPing(about string) bool { return strings.HasPrefix(about, "ping ") }

func appendFrame(from *bufio.Reader, buf []byte, depth int) ([]byte, error) {
	line, err := from.ReadSlice('\n')
	if err != nil {
		return buf, err
	}
	if len(line) < 3 || depth > 32 {
		return buf, fmt.Errorf("not Redis's protocol: %q", line)
	}
	buf = append(buf, line...)
	kind, count := line[0], string(line[1:len(line)-2])
	switch kind {
	case '+', '-', ':', '_', '#', ',', '(':
		return buf, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		return buf, fmt.Errorf("not Redis's protocol: %w", err)
	}
	switch kind {
	case '$', '=', '!':
		if n < 0 {
			return buf, nil
		}
		at := len(buf)
		buf = append(buf, make([]byte, n+2)...)
		_, err := io.ReadFull(from, buf[at:])
		return buf, err
	case '%', '|':
		n *= 2
	case '*', '~', '>':
	default:
		return buf, fmt.Errorf("not Redis's protocol: %q", kind)
	}
	for range n {
		if buf, err = appendFrame(from, buf, depth+1); err != nil {
			return buf, err
		}
	}
	if kind == '|' { // an attribute is followed by what it is of
		return appendFrame(from, buf, depth+1)
	}
	return buf, nil
}
