package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var ref = regexp.MustCompile(`\$([A-Za-z]\w*(?:\.\d+)?)((?:\.[A-Za-z]\w*)*)`)

// resolve puts what earlier answers said in place of references, such as $g.fencingToken, deep in a value.
func (r *run) resolve(v any) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			var err error
			if out[k], err = r.resolve(e); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			var err error
			if out[i], err = r.resolve(e); err != nil {
				return nil, err
			}
		}
		return out, nil
	case string:
		return r.resolveText(v)
	default:
		return v, nil
	}
}

func (r *run) resolveText(s string) (any, error) {
	if whole := ref.FindStringSubmatch(s); len(whole) > 0 && whole[0] == s {
		return r.lookup(whole[1], whole[2])
	}
	var wrong error
	text := ref.ReplaceAllStringFunc(s, func(m string) string {
		parts := ref.FindStringSubmatch(m)
		v, err := r.lookup(parts[1], parts[2])
		if err != nil {
			wrong = err
		}
		if n := number(v); n != nil {
			return strconv.FormatFloat(*n, 'f', -1, 64)
		}
		return fmt.Sprint(v)
	})
	return text, wrong
}

// lookup finds a field of the answer that a step named, or of the answer to a client's open.
func (r *run) lookup(name, path string) (any, error) {
	k := r.calls[name]
	if c := r.clients[name]; k == nil && c != nil {
		k = c.opened
	}
	if k == nil {
		return nil, fmt.Errorf("nothing is called %s", name)
	}
	select {
	case <-k.done:
	default:
		return nil, fmt.Errorf("%s is not answered yet", name)
	}
	var v any = k.ok
	if k.fail != nil {
		v = k.fail
	}
	for _, key := range strings.Split(path, ".")[1:] {
		m, _ := v.(map[string]any)
		if v = m[key]; v == nil {
			return nil, fmt.Errorf("%s has no %s", name, path)
		}
	}
	return v, nil
}

// durations are the arguments that cases write as 1.5s and testclients get in milliseconds, with Ms behind the name.
var durations = map[string]bool{"ttl": true, "wait": true, "maxHold": true, "hold": true}

// wire makes a testclient's arguments of a step's: {i} is the count, a name in target, of or ownerOf is a call's id.
func (r *run) wire(arg any, i int) (map[string]any, error) {
	v, err := r.resolve(count(arg, i))
	if err != nil {
		return nil, err
	}
	in, _ := v.(map[string]any)
	out := map[string]any{}
	for k, v := range in {
		text, is := v.(string)
		switch {
		case durations[k] && is:
			d, err := time.ParseDuration(text)
			if err != nil {
				return nil, err
			}
			out[k+"Ms"] = float64(d) / float64(time.Millisecond)
		case k == "target" || k == "ownerOf":
			c := r.calls[text]
			if c == nil {
				return nil, fmt.Errorf("nothing is called %v", v)
			}
			out[k] = c.id
		default:
			out[k] = v
		}
	}
	return out, nil
}

// count puts i in place of {i}.
func count(v any, i int) any {
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(v, "{i}", strconv.Itoa(i))
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = count(e, i)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for j, e := range v {
			out[j] = count(e, i)
		}
		return out
	default:
		return v
	}
}
