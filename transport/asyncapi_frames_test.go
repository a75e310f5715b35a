package transport

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"distributedlock/transport/frametest"
)

// asyncExample is a frame of the document, field by field.
type asyncExample struct {
	name   string
	kind   string
	fields map[string]any
	fault  func([]byte) error
	other  func([]byte) error // that of the other side
}

func asyncExamples(t *testing.T) (all []asyncExample) {
	t.Helper()
	d := readAsync(t)
	for _, kind := range slices.Sorted(maps.Keys(d.Components.Messages)) {
		e := asyncExample{kind: kind, fault: frametest.ServerFault, other: frametest.ClientFault}
		if o, ok := d.Operations[kind]; ok && o.Action == "receive" {
			e.fault, e.other = e.other, e.fault
		}
		for _, x := range d.Components.Messages[kind].Examples {
			e.name, e.fields = kind+" "+x.Name, nil
			if err := e.fault(x.Payload); err != nil {
				t.Errorf("example %s: %s\n%v", e.name, x.Payload, err)
			}
			if err := json.Unmarshal(x.Payload, &e.fields); err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
	}
	return all
}

// asyncFrame encodes fields with type and id in front.
func asyncFrame(fields map[string]any) []byte {
	var b bytes.Buffer
	keys := slices.Sorted(maps.Keys(fields))
	for _, first := range []string{"id", "type"} {
		if i := slices.Index(keys, first); i >= 0 {
			keys = slices.Insert(slices.Delete(keys, i, i+1), 0, first)
		}
	}
	for _, k := range keys {
		v, _ := json.Marshal(fields[k])
		b.WriteString(`,"` + k + `":`)
		b.Write(v)
	}
	return []byte("{" + strings.TrimPrefix(b.String(), ",") + "}")
}

func (e asyncExample) with(field string, value any) []byte {
	changed := maps.Clone(e.fields)
	changed[field] = value
	return asyncFrame(changed)
}

func (e asyncExample) without(fields ...string) []byte {
	changed := maps.Clone(e.fields)
	for _, f := range fields {
		delete(changed, f)
	}
	return asyncFrame(changed)
}

// asyncOptional are the fields that a frame may lack; all others it must have.
var asyncOptional = map[string][]string{
	"hello":     {"id", "session"},
	"acquire":   {"clientId", "timeout", "waitTimeout", "autoRenew", "maxHold", "metadata", "ownerId", "requestId", "mode", "limit"},
	"release":   {"clientId"},
	"renew":     {"clientId", "timeout"},
	"subscribe": {"events"},
	"ping":      {"id"},
	"welcome":   {"id"},
	"pong":      {"id"},
	"event":     {"reason"},
}

// TestAsyncExamplesBite: the examples are right, and would not be with anything left out, added or of another type.
func TestAsyncExamplesBite(t *testing.T) {
	for _, e := range asyncExamples(t) {
		if e.other(asyncFrame(e.fields)) == nil {
			t.Errorf("%s passes on the other side", e.name)
		}
		may := asyncOptional[e.kind]
		if code := e.fields["code"]; code == "invalid_argument" || code == "rate_limited" {
			may = []string{"id"} // the frame may have had none
		}
		for field, value := range e.fields {
			if passes := e.fault(e.without(field)) == nil; passes != slices.Contains(may, field) {
				t.Errorf("%s without %s: passes: %v", e.name, field, passes)
			}
			if e.fault(e.with(field, asyncOtherType(value))) == nil {
				t.Errorf("%s with another type of %s passes", e.name, field)
			}
			if passes := e.fault(e.with(field, nil)) == nil; passes != asyncNullable(e, field) {
				t.Errorf("%s with a null %s: passes: %v", e.name, field, passes)
			}
		}
		for _, extra := range []string{"extra", "lockId", "renewalToken"} {
			if _, ok := e.fields[extra]; !ok && e.fault(e.with(extra, strings.Repeat("a", 22))) == nil {
				t.Errorf("%s with %s passes", e.name, extra)
			}
		}
		if e.fault(e.with("type", "nonsense")) == nil {
			t.Errorf("%s of no known type passes", e.name)
		}
	}
}

// asyncNullable: in a client's frame null stands for an absent field, but for an absent id; in the service's, for no metadata.
func asyncNullable(e asyncExample, field string) bool {
	switch e.kind {
	case "hello", "acquire", "release", "renew", "subscribe":
		return field != "id" && slices.Contains(asyncOptional[e.kind], field)
	}
	return field == "metadata"
}

func asyncOtherType(v any) any {
	if _, ok := v.(float64); ok {
		return "7"
	}
	return 7.5
}

// TestAsyncLimitsBite: a value at its limit passes, and none beyond.
func TestAsyncLimitsBite(t *testing.T) {
	byName := map[string]asyncExample{}
	for _, e := range asyncExamples(t) {
		byName[e.name] = e
	}
	long := func(n int) string { return strings.Repeat("a", n) }
	many := func(n int) []string { return slices.Repeat([]string{"a"}, n) }
	const maxToken = 1<<53 - 1
	fault := map[string]any{"field": "a", "detail": "b"}
	var kinds []any
	for kind := range strings.FieldsSeq("granted released expired renewed force_released queued dequeued deadlock") {
		kinds = append(kinds, []string{kind})
	}
	for _, c := range []struct {
		example, field string
		good, bad      []any
	}{
		{"hello back", "clientId", []any{"a", long(256)}, []any{"", long(257)}},
		{"hello back", "session", []any{"a", long(256)}, []any{"", long(257)}},
		{"acquire all", "id", []any{"a", long(256)}, []any{"", long(257)}},
		{"acquire all", "lockName", []any{"a", long(512)}, []any{"", long(513)}},
		{"acquire all", "clientId", []any{"a", long(256)}, []any{"", long(257)}},
		{"acquire all", "ownerId", []any{"a", long(256)}, []any{"", long(257)}},
		{"acquire all", "requestId", []any{"a", long(256)}, []any{"", long(257)}},
		{"acquire all", "timeout", []any{0.1, 300}, []any{0.05, -1}},
		{"acquire all", "waitTimeout", []any{0, 300}, []any{-1}},
		{"acquire all", "maxHold", []any{0.001}, []any{0}},
		{"acquire all", "mode", []any{"shared"}, []any{"both", ""}},
		{"acquire all", "limit", []any{1, 10000}, []any{0, 10001, 1.5}},
		{"acquire all", "metadata", []any{map[string]any{}}, []any{[]any{}, "a"}},
		{"cancel by-id", "target", []any{long(256)}, []any{"", long(257)}},
		{"release release", "lockId", []any{"a", long(256)}, []any{"", long(257)}},
		{"renew renew", "renewalToken", []any{"a", long(256)}, []any{"", long(257)}},
		{"renew renew", "timeout", []any{0.1}, []any{0}},
		{"subscribe all", "locks", []any{many(100), []string{long(512)}}, []any{many(0), many(101), []any{7}, []string{""}, []string{long(513)}}},
		{"subscribe all", "events", []any{[]string{"deadlock"}}, []any{[]string{}, []string{"gap"}, []string{"nonsense"}}},
		{"subscribe all", "events", kinds, nil},
		{"cancel by-request", "requestId", []any{long(256)}, []any{"", long(257)}},
		{"unsubscribe unsubscribe", "subscription", []any{long(256)}, []any{"", long(257)}},
		{"welcome new", "session", []any{long(256)}, []any{"", long(257)}},
		{"welcome new", "heartbeat", []any{0.1}, []any{0}},
		{"granted granted", "lockId", []any{long(22)}, []any{long(21)}},
		{"granted granted", "renewalToken", []any{long(22)}, []any{long(21)}},
		{"granted granted", "acquired", nil, []any{false}},
		{"granted granted", "fencingToken", []any{1, maxToken}, []any{0, maxToken + 1}},
		{"granted granted", "ttlMs", []any{0}, []any{-1, 0.5}},
		{"granted granted", "expiresAt", []any{"2030-12-31T23:59:59.999Z"},
			[]any{"2030-02-30T00:00:00.000Z", "2030-01-01T00:00:00Z", "2030-01-01T00:00:00.000+00:00", "soon"}},
		{"queued third", "position", []any{1}, []any{0, 1.5}},
		{"queued third", "holders", []any{[]any{}}, []any{[]any{map[string]any{}}}},
		{"queued third", "requestId", []any{long(256)}, []any{"", long(257)}},
		{"position next", "position", []any{1}, []any{0}},
		{"position next", "requestId", []any{long(256)}, []any{"", long(257)}},
		{"error invalid", "errors", []any{[]any{fault, fault}}, []any{[]any{}, []any{7}, []any{map[string]any{"field": "a"}}, []any{map[string]any{"detail": "a"}},
			[]any{map[string]any{"field": 7, "detail": "b"}}, []any{map[string]any{"field": "a", "detail": 7}}, []any{map[string]any{"field": "a", "detail": "b", "more": 1}}}},
		{"error held", "title", nil, []any{""}},
		{"error held", "detail", nil, []any{""}},
		{"error held", "requestId", []any{long(256)}, []any{"", long(257)}},
		{"error held", "holders", []any{[]any{}}, []any{[]any{7}}},
		{"error held", "queueLength", []any{0}, []any{-1, 0.5}},
		{"error timeout", "waitTime", []any{0}, []any{-1}},
		{"error limit", "limit", []any{1}, []any{0}},
		{"error busy", "retryAfter", []any{0.5}, []any{0}},
		{"error held", "code", nil, []any{"nonsense", "unauthorized", "not_locked", "lock_lost"}},
		{"error held", "acquired", nil, []any{true}},
		{"event granted", "seq", []any{1, maxToken}, []any{0, maxToken + 1}},
		{"event granted", "event", []any{"released", "expired", "renewed", "force_released"}, []any{"queued", "dequeued", "deadlock", "gap"}},
		{"event queued", "event", []any{"dequeued"}, []any{"deadlock", "released", "gap", "nonsense"}},
		{"event deadlock", "cycle", nil, []any{nil, []any{}, []any{7}, []any{map[string]any{"clientId": "a"}}}},
		{"event granted", "clientId", []any{long(256)}, []any{"", long(257)}},
		{"event granted", "ownerId", []any{long(256)}, []any{"", long(257)}},
		{"event forced", "reason", []any{long(1024)}, []any{""}},
		{"event gap", "seq", nil, []any{1}},
		{"event gap", "lockName", nil, []any{"a"}},
		{"event gap", "seconds", nil, []any{1}},
		{"event quarantine", "seconds", []any{0, 1.5}, []any{nil, -1}},
		{"event quarantine", "lockName", nil, []any{"a"}},
		{"lost forced", "reason", []any{"expired"}, []any{"released"}},
		{"lost forced", "lockId", []any{long(22)}, []any{long(21)}},
		{"lost forced", "id", nil, []any{"1"}},
	} {
		e, ok := byName[c.example]
		if !ok {
			t.Errorf("no example %s", c.example)
			continue
		}
		for _, v := range c.good {
			if err := e.fault(e.with(c.field, v)); err != nil {
				t.Errorf("%s with %s %v: %v", c.example, c.field, v, err)
			}
		}
		for _, v := range c.bad {
			if e.fault(e.with(c.field, v)) == nil {
				t.Errorf("%s with %s %v passes", c.example, c.field, v)
			}
		}
	}
}

// TestAsyncErrorsAreThoseOfREST: the codes that a frame can meet have REST's status, and no fields but their own.
func TestAsyncErrorsAreThoseOfREST(t *testing.T) {
	status := map[string]int{"cancelled": 409, "not_found": 404}
	for _, code := range readSpec(t).Components.Schemas["Problem"].Properties["code"].Enum {
		i := slices.IndexFunc(problems, func(p problem) bool { return p.code == code })
		if i < 0 {
			t.Errorf("REST documents %s and does not have it", code)
			continue
		}
		status[code] = problems[i].status
	}
	// A handshake meets these, or a call that is no frame.
	for _, code := range []string{"unauthorized", "admin_disabled", "not_locked", "method_not_allowed"} {
		delete(status, code)
	}
	extras := map[string][]string{
		"lock_held":        {"requestId", "acquired", "holders", "queueLength"},
		"wait_timeout":     {"requestId", "acquired", "holders", "queueLength", "waitTime"},
		"deadlock":         {"requestId", "acquired", "cycle"},
		"limit_mismatch":   {"requestId", "limit"},
		"request_mismatch": {"requestId"},
		"cancelled":        {"requestId"},
		"queue_full":       {"requestId", "retryAfter"},
		"invalid_argument": {"errors"},
		"rate_limited":     {"retryAfter"},
		"draining":         {"retryAfter"},
		"unavailable":      {"retryAfter"},
	}
	at := "2030-01-02T03:04:05.006Z"
	step := map[string]any{"clientId": "c", "ownerId": "o", "holds": "l", "heldSince": at, "waitsFor": "l", "waitingSince": at}
	values := map[string]any{"acquired": false, "holders": []any{}, "queueLength": 0, "waitTime": 1.5, "limit": 2, "retryAfter": 1, "requestId": "r",
		"cycle": []any{step}, "errors": []any{map[string]any{"field": "a", "detail": "b"}}}
	enum := asyncArray(asyncObject(asyncObject(schemasOf(t, asyncDocument)["Error"]["properties"])["code"])["enum"])
	if documented := len(enum); documented != len(status) {
		t.Errorf("%d codes are documented, %d are known: %v", documented, len(status), enum)
	}
	for code, st := range status {
		e := asyncExample{fields: map[string]any{"type": "error", "id": "1", "code": code, "title": "t", "detail": "d", "status": st}}
		if code == "too_large" {
			delete(e.fields, "id")
		}
		for _, x := range extras[code] {
			e.fields[x] = values[x]
		}
		if err := frametest.ServerFault(asyncFrame(e.fields)); err != nil {
			t.Errorf("%s: %s\n%v", code, asyncFrame(e.fields), err)
			continue
		}
		if frametest.ServerFault(e.with("status", 418)) == nil {
			t.Errorf("%s with status 418 passes", code)
		}
		if code == "too_large" && frametest.ServerFault(e.with("id", "1")) == nil {
			t.Errorf("%s with an id passes", code)
		}
		for x, v := range values {
			own := slices.Contains(extras[code], x)
			if own && frametest.ServerFault(e.without(x)) == nil {
				t.Errorf("%s without %s passes", code, x)
			}
			// An acquire may meet any other code as well, but for these.
			may := x == "requestId" && !slices.Contains([]string{"not_owner", "lock_lost", "not_found", "too_large"}, code)
			if !own && !may && frametest.ServerFault(e.with(x, v)) == nil {
				t.Errorf("%s with %s passes", code, x)
			}
		}
	}
}

// TestFramesAreReadStrictly is about what no schema says.
func TestFramesAreReadStrictly(t *testing.T) {
	for _, bad := range []string{``, `null`, `[]`, `"pong"`, `{"type":"pong"`, `{"type":"pong"}{}`, `{"type":"pong","type":"pong"}`,
		`{"id":"1","type":"pong"}`, `{"id":"1"}`, `{"type":7}`, `{"type":"cancelled","\u0069d":"1","id":"1"}`,
		`{"type":"subscribed","subscription":"1","id":"1"}`} {
		if frametest.ServerFault([]byte(bad)) == nil {
			t.Errorf("the service may send %s", bad)
		}
	}
	for _, bad := range []string{``, `null`, `[]`, `{"type":"ping"`, `{"type":"ping"} x`, `{"type":"ping","id":"1","id":"1"}`, `{}`,
		`{"type":"cancel","id":"1"}`, `{"type":"cancel","id":"1","target":"2","requestId":"r"}`,
		`{"type":"ping"` + strings.Repeat(" ", 64<<10) + `}`} {
		if frametest.ClientFault([]byte(bad)) == nil {
			t.Errorf("a client may send %.80s", bad)
		}
	}
	for _, good := range []string{`{"type":"ping"}`, `{"id":"1","type":"ping"}`, `{"type":"acquire","id":"1","lockName":"a","timeout":null,"clientId":null}`} {
		frametest.Client(t, []byte(good))
	}
	frametest.Server(t, []byte(`{"type":"pong","id":"1"}`))
}
