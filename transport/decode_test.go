package transport

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"distributedlock/queue"
)

// post serves one request without a network.
func post(s http.Handler, path, body string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
	return rec
}

type problemBody struct {
	Type, Title, Detail, Code, RequestID string
	Status                               int
	Errors                               []struct{ Field, Detail string }
}

func TestBadBodies(t *testing.T) {
	long := strings.Repeat("x", 257)
	for _, c := range []struct {
		body   string
		fields string
	}{
		{``, "body"}, {` `, "body"}, {`{`, "body"}, {`null`, "body"}, {`[]`, "body"}, {`"a"`, "body"}, {`{"clientId":"a"} x`, "body"},
		{`{"clientId":"a"}{}`, "body"}, {`{"clientId":"a",}`, "body"}, {`{"clientId":"a","timeout":NaN}`, "body"}, {`{'clientId':'a'}`, "body"},
		{"{\"clientId\":\"\xff\"}", "body"}, {"\xef\xbb\xbf{}", "body"}, {"{\"clientId\":\"a\nb\"}", "body"},
		{`{}`, "clientId"}, {`{"clientId":null}`, "clientId"}, {`{"clientId":""}`, "clientId"}, {`{"clientId":7}`, "clientId"},
		{`{"clientId":["a"]}`, "clientId"}, {`{"clientId":"` + long + `"}`, "clientId"}, {`{"clientId":"a\u0000"}`, "clientId"},
		{`{"clientId":"a\n"}`, "clientId"}, {`{"clientId":"a\u0085"}`, "clientId"}, {`{"clientId":"\ud800"}`, "clientId"},
		{`{"clientId":"\udc00\ud800"}`, "clientId"}, {`{"ClientId":"a"}`, "ClientId clientId"}, {`{"clientId":"a","clientId":"b"}`, "clientId"},
		{`{"clientId":"a","timeout":"30"}`, "timeout"}, {`{"clientId":"a","timeout":0}`, "timeout"}, {`{"clientId":"a","timeout":0.09}`, "timeout"},
		{`{"clientId":"a","timeout":-1}`, "timeout"}, {`{"clientId":"a","timeout":300.1}`, "timeout"}, {`{"clientId":"a","timeout":1e999}`, "timeout"},
		{`{"clientId":"a","timeout":-1e999}`, "timeout"}, {`{"clientId":"a","waitTimeout":-0.1}`, "waitTimeout"},
		{`{"clientId":"a","waitTimeout":301}`, "waitTimeout"}, {`{"clientId":"a","waitTimeout":true}`, "waitTimeout"},
		{`{"clientId":"a","autoRenew":"true"}`, "autoRenew"}, {`{"clientId":"a","autoRenew":1}`, "autoRenew"},
		{`{"clientId":"a","maxHold":0}`, "maxHold"}, {`{"clientId":"a","maxHold":3601}`, "maxHold"},
		{`{"clientId":"a","metadata":[]}`, "metadata"}, {`{"clientId":"a","metadata":"x"}`, "metadata"},
		{`{"clientId":"a","metadata":{"a":"` + strings.Repeat("x", 4090) + `"}}`, "metadata"},
		{`{"clientId":"a","ownerId":""}`, "ownerId"}, {`{"clientId":"a","ownerId":"` + long + `"}`, "ownerId"},
		{`{"clientId":"a","requestId":""}`, "requestId"}, {`{"clientId":"a","requestId":1}`, "requestId"},
		{`{"clientId":"a","mode":"Shared"}`, "mode"}, {`{"clientId":"a","mode":1}`, "mode"}, {`{"clientId":"a","mode":""}`, "mode"},
		{`{"clientId":"a","limit":0}`, "limit"}, {`{"clientId":"a","limit":10001}`, "limit"}, {`{"clientId":"a","limit":1.5}`, "limit"},
		{`{"clientId":"a","limit":"1"}`, "limit"}, {`{"clientId":"a","limit":1e30}`, "limit"}, {`{"clientId":"a","mode":"shared","limit":1}`, "limit"},
		{`{"clientId":"a","lockId":"x"}`, "lockId"}, {`{"clientId":"a","":1}`, ""},
		{`{"clientId":1,"timeout":"x","limit":0,"nope":{"a":[1,"}"]},"mode":"odd"}`, "clientId timeout limit nope mode"},
	} {
		rec := post(New(newFake(), Options{}), "/locks/a/acquire", c.body)
		var p problemBody
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		var fields []string
		for _, e := range p.Errors {
			fields = append(fields, e.Field)
			if e.Detail == "" {
				t.Errorf("%s: no detail for %s", c.body, e.Field)
			}
		}
		if rec.Code != 400 || p.Code != "invalid_argument" || strings.Join(fields, " ") != c.fields {
			t.Errorf("%.80s: %d %s", c.body, rec.Code, rec.Body)
		}
	}
}

func TestNameAndBodyFaultsComeTogether(t *testing.T) {
	rec := post(New(newFake(), Options{}), "/locks//acquire", `{"timeout":0}`)
	for _, want := range []string{`"field":"lockName"`, `"field":"timeout"`, `"field":"clientId"`} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("no %s in %s", want, rec.Body)
		}
	}
}

// TestGoodBodies holds bodies against the requests that the lock manager must see.
func TestGoodBodies(t *testing.T) {
	plain := queue.Request{Name: "a", Client: "c", Owner: "c", Lease: 30 * time.Second, Mode: queue.Exclusive, Limit: 1}
	with := func(change func(*queue.Request)) queue.Request {
		q := plain
		change(&q)
		return q
	}
	for body, want := range map[string]queue.Request{
		`{"clientId":"c"}`: plain,
		" {\n\"clientId\" :\t\"c\" , \"timeout\" : null, \"metadata\":null,\"limit\":null,\"mode\":null,\"autoRenew\":null} ": plain,
		`{"clientId":"c\"\\\/\u00fc\ud83d\udd12"}`: with(func(q *queue.Request) { q.Client, q.Owner = `c"\/ü🔒`, `c"\/ü🔒` }),
		`{"\u0063lientId":"c"}`:                    plain,
		`{"clientId":"c","ownerId":"c"}`:           with(func(q *queue.Request) { q.Explicit = true }),
		`{"clientId":"c","timeout":0.1,"waitTimeout":0.0001}`: with(func(q *queue.Request) {
			q.Lease, q.Wait = 100*time.Millisecond, time.Millisecond
		}),
		`{"clientId":"c","timeout":3E2,"waitTimeout":0.29,"maxHold":1}`: with(func(q *queue.Request) {
			q.Lease, q.Wait, q.MaxHold = 300*time.Second, 290*time.Millisecond, time.Second
		}),
		`{"clientId":"c","mode":"shared","autoRenew":true}`: with(func(q *queue.Request) { q.Mode, q.AutoRenew = queue.Shared, true }),
		`{"clientId":"c","limit":1e1,"requestId":"r"}`:      with(func(q *queue.Request) { q.Limit, q.ID, q.Known = 10, "r", true }),
		"{\"clientId\":\"c\",\"metadata\": {\n \"a\": [1, \"} ,\\\"\"] }}": with(func(q *queue.Request) {
			q.Metadata = json.RawMessage(`{"a":[1,"} ,\""]}`)
		}),
		`{"metadata":{},"clientId":"c"}`: with(func(q *queue.Request) { q.Metadata = json.RawMessage(`{}`) }),
	} {
		var got queue.Request
		fake := newFake()
		fake.acquire = func(_ context.Context, q *queue.Request) (queue.Grant, time.Duration, error) {
			got = *q
			return grantOf(q), 0, nil
		}
		if rec := post(New(fake, Options{}), "/locks/a/acquire", body); rec.Code != 200 {
			t.Errorf("%s: %s", body, rec.Body)
			continue
		}
		got.LockID, got.RenewalToken = "", ""
		if !want.Known {
			got.ID = ""
		}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", body, got, want)
		}
	}
}

func TestRenewAndReleaseBodies(t *testing.T) {
	fake := newFake()
	s := New(fake, Options{})
	if rec := post(s, "/locks/a/renew", `{"clientId":"c","renewalToken":"t","timeout":2.5}`); rec.Code != 200 ||
		fake.lease != 2500*time.Millisecond || fake.client != "c" || fake.secret != "t" {
		t.Errorf("renew: %s %+v", rec.Body, fake)
	}
	if rec := post(s, "/locks/a/renew", `{"clientId":"c","renewalToken":"t"}`); rec.Code != 200 || fake.lease != 0 {
		t.Errorf("renew for the lease's own time: %s %s", rec.Body, fake.lease)
	}
	if rec := post(s, "/locks/a/release", `{"clientId":"c","lockId":"l"}`); rec.Code != 200 ||
		rec.Body.String() != `{"released":true,"lockName":"a","lockId":"l","heldFor":1.5}` {
		t.Errorf("release: %s", rec.Body)
	}
	for _, path := range []string{"/locks/a/renew", "/locks/a/release"} {
		rec := post(s, path, `{"requestId":"r"}`)
		if n := strings.Count(rec.Body.String(), `"field"`); rec.Code != 400 || n != 3 {
			t.Errorf("%s: %d faults: %s", path, n, rec.Body)
		}
	}
}

// FuzzAcquireBody: whatever the body is, the answer is 200, 400 or 413, and JSON; and what is granted was asked for.
func FuzzAcquireBody(f *testing.F) {
	for _, seed := range []string{`{"clientId":"c"}`, `{}`, ``, `{"clientId":"\ud83d\udd12","metadata":{"a":[{}]},"limit":3}`, `{"a":"\`,
		`{"clientId":"c","timeout":1e400}`, "{\"\\u00\":1}", `[{"clientId":`, `{"clientId":"c","mode":"shared"}  `, `{"clientId":"\u000`} {
		f.Add([]byte(seed))
	}
	for _, body := range goodBodies {
		f.Add([]byte(body))
	}
	s := New(newFake(), Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		rec := post(s, "/locks/a/acquire", string(body))
		if !slices.Contains([]int{200, 400, 413}, rec.Code) || !json.Valid(rec.Body.Bytes()) {
			t.Fatalf("%q: %d %s", body, rec.Code, rec.Body)
		}
		if rec.Code != 200 {
			return
		}
		var asked, granted struct {
			ClientID string          `json:"clientId"`
			Metadata json.RawMessage `json:"metadata"`
		}
		if json.Unmarshal(body, &asked) != nil || json.Unmarshal(rec.Body.Bytes(), &granted) != nil || asked.ClientID != granted.ClientID {
			t.Fatalf("%q: %s", body, rec.Body)
		}
	})
}
