package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// match says how a value is not as a pattern wants it, "" where it is.
//
// A map wants its keys and leaves others alone, a list wants its elements and no more, and a string may be "?" (there,
// and not null), "-" (absent or null), "< 5", "> 5", "5..10" (both ends in), "#3" (a list of three), "/regular expression/", or the text itself.
func match(pattern, value any) string {
	switch p := pattern.(type) {
	case map[string]any:
		v, is := value.(map[string]any)
		if !is {
			return fmt.Sprintf("is %v, not an object", value)
		}
		for _, k := range slices.Sorted(maps.Keys(p)) {
			if bad := match(p[k], v[k]); bad != "" {
				return k + " " + bad
			}
		}
		return ""
	case []any:
		v, is := value.([]any)
		if !is || len(v) != len(p) {
			return fmt.Sprintf("is %v, wanted %d elements", value, len(p))
		}
		for i := range p {
			if bad := match(p[i], v[i]); bad != "" {
				return fmt.Sprintf("[%d] %s", i, bad)
			}
		}
		return ""
	case string:
		return matchText(p, value)
	default:
		if number(p) != nil && number(value) != nil && *number(p) == *number(value) || p == value {
			return ""
		}
		return fmt.Sprintf("is %v, wanted %v", value, p)
	}
}

var between = regexp.MustCompile(`^(-?[\d.]*\d)\.\.(-?[\d.]+)$`)

func matchText(p string, value any) string {
	if fits(p, value) {
		return ""
	}
	return fmt.Sprintf("is %v, wanted %s", value, p)
}

func fits(p string, value any) bool {
	n := number(value)
	switch {
	case p == "?":
		return value != nil
	case p == "-":
		return value == nil
	case strings.HasPrefix(p, "#"):
		length, err := strconv.Atoi(p[1:])
		l, is := value.([]any)
		return err == nil && is && len(l) == length || value == p
	case strings.HasPrefix(p, "< ") || strings.HasPrefix(p, "> "):
		bound, err := strconv.ParseFloat(p[2:], 64)
		return err == nil && n != nil && (p[0] == '<' && *n < bound || p[0] == '>' && *n > bound)
	case between.MatchString(p):
		ends := between.FindStringSubmatch(p)
		low, err := strconv.ParseFloat(ends[1], 64)
		high, err2 := strconv.ParseFloat(ends[2], 64)
		return err == nil && err2 == nil && n != nil && low <= *n && *n <= high
	case len(p) > 2 && p[0] == '/' && p[len(p)-1] == '/':
		re, err := regexp.Compile(p[1 : len(p)-1])
		s, is := value.(string)
		return err == nil && is && re.MatchString(s)
	}
	return value == p || n != nil && strconv.FormatFloat(*n, 'f', -1, 64) == p
}

// number returns a value of YAML or JSON as a number, nil where it is none.
func number(v any) *float64 {
	var f float64
	switch n := v.(type) {
	case float64:
		f = n
	case int:
		f = float64(n)
	case int64:
		f = float64(n)
	case uint64:
		f = float64(n)
	default:
		return nil
	}
	return &f
}
