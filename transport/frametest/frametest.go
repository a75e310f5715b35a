// Package frametest holds the frames of a WebSocket against transport/asyncapi.json, in tests. It stands apart from
// package transport so that the tests of the whole service can use it, and imports nothing of it, so that transport's
// own can, too.
package frametest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/pb33f/jsonschema/v6"
)

// maxClientFrame is how long a client's frame may be, in bytes.
const maxClientFrame = 64 << 10

// Server fails the test, and goes on, unless the frame is one that the service may send. It may be called from any
// goroutine.
func Server(tb testing.TB, frame []byte) {
	tb.Helper()
	if err := ServerFault(frame); err != nil {
		tb.Errorf("the service may not send %s\n%v", frame, err)
	}
}

// Client fails the test, and goes on, unless the frame is one that a client may send. It may be called from any
// goroutine.
func Client(tb testing.TB, frame []byte) {
	tb.Helper()
	if err := ClientFault(frame); err != nil {
		tb.Errorf("a client may not send %s\n%v", frame, err)
	}
}

// ServerFault says why the service may not send a frame; nil if it may. Beside what the schema says, type comes first
// and id next.
func ServerFault(frame []byte) error {
	keys, err := fields(frame)
	if err != nil {
		return err
	}
	for i, want := range []string{"type", "id"} {
		for at, key := range keys {
			if key == want && at != i {
				return fmt.Errorf("%s is field %d, and must be field %d", want, at+1, i+1)
			}
		}
	}
	return fault("ServerFrame", frame)
}

// ClientFault says why a client may not send a frame; nil if it may.
func ClientFault(frame []byte) error {
	if len(frame) > maxClientFrame {
		return fmt.Errorf("it has %d bytes; %d are allowed", len(frame), maxClientFrame)
	}
	if _, err := fields(frame); err != nil {
		return err
	}
	return fault("ClientFrame", frame)
}

// fields are the names of a frame's fields in their order. It is an error to have one twice, which a JSON schema
// cannot see.
func fields(frame []byte) ([]string, error) {
	d := json.NewDecoder(bytes.NewReader(frame))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("it is no JSON object")
	}
	var keys []string
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, ok := t.(string)
		if !ok || seen[key] {
			return nil, fmt.Errorf("%v is there twice", t)
		}
		seen[key] = true
		keys = append(keys, key)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// fault holds a frame against ClientFrame or ServerFrame. The reason is that of the one schema which is meant for the
// frame's type, not those of all that it does not match.
func fault(side string, frame []byte) error {
	all, err := compiled()
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(frame))
	if err != nil {
		return err
	}
	err = all[side].Validate(v)
	if err == nil {
		return nil
	}
	object, _ := v.(map[string]any)
	kind, _ := object["type"].(string)
	if one := all[side+" "+kind]; one != nil {
		if narrow := one.Validate(v); narrow != nil {
			return narrow
		}
		return err
	}
	return fmt.Errorf("%s has no type %q", side, kind)
}

// compiled are the schemas ClientFrame and ServerFrame by their names, and what they are made of by those and the type.
var compiled = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	text, err := document()
	if err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	const base = "file:///asyncapi.json"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7) // that of AsyncAPI
	c.AssertFormat()
	if err := c.AddResource(base, doc); err != nil {
		return nil, err
	}
	all := map[string]*jsonschema.Schema{}
	for _, side := range []string{"ClientFrame", "ServerFrame"} {
		s, err := c.Compile(base + "#/components/schemas/" + side)
		if err != nil {
			return nil, err
		}
		all[side] = s
		for _, one := range s.OneOf {
			if one.Ref == nil || one.Ref.Properties["type"] == nil || one.Ref.Properties["type"].Const == nil {
				return nil, fmt.Errorf("%s: an alternative is no reference to a schema with a constant type", side)
			}
			all[fmt.Sprint(side, " ", *one.Ref.Properties["type"].Const)] = one.Ref
		}
	}
	return all, nil
})

// document is asyncapi.json. It lies in the folder above, out of reach of an embed.
func document() ([]byte, error) {
	_, here, _, _ := runtime.Caller(0)
	return os.ReadFile(filepath.Join(filepath.Dir(here), "..", "asyncapi.json"))
}
