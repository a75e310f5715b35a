package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// TestWebSocketBadFrames sends what a client may not send: a mistake in a frame is answered and the connection goes on,
// what is no frame ends it.
func TestWebSocketBadFrames(t *testing.T) {
	t.Parallel()
	env, _ := redisEnv(t)
	n := start(t, append(env, "MAX_TIMEOUT=60", "MAX_QUEUE=1"))
	held := n.acquire(200, "x", `{"clientId":"holder"}`)
	c := n.dial()
	c.hold("h", "mine", "clientId", "c")
	c.stand("dup", "x", 1, "clientId", "c")
	for i, bad := range []struct{ what, text, code, field string }{
		{"no type", `{"id":"%s"}`, "invalid_argument", "type"},
		{"a type that is no string", `{"id":"%s","type":1}`, "invalid_argument", "type"},
		{"an unknown type", `{"id":"%s","type":"steal"}`, "invalid_argument", "type"},
		{"a frame of the server's", `{"id":"%s","type":"granted"}`, "invalid_argument", "type"},
		{"an unknown field", `{"id":"%s","type":"ping","payload":1}`, "invalid_argument", "payload"},
		{"a field twice", `{"id":"%s","type":"acquire","lockName":"a","clientId":"c","lockName":"b"}`, "invalid_argument", "lockName"},
		{"no lock", `{"id":"%s","type":"acquire","clientId":"c"}`, "invalid_argument", "lockName"},
		{"no client", `{"id":"%s","type":"acquire","lockName":"a"}`, "invalid_argument", "clientId"},
		{"a bad name", `{"id":"%s","type":"acquire","lockName":"..","clientId":"c"}`, "invalid_argument", "lockName"},
		{"too long a lease", `{"id":"%s","type":"acquire","lockName":"a","clientId":"c","timeout":61}`, "invalid_argument", "timeout"},
		{"hello after an acquire", `{"id":"%s","type":"hello","clientId":"c"}`, "invalid_argument", "type"},
		{"nothing to cancel", `{"id":"%s","type":"cancel"}`, "invalid_argument", "target"},
		{"a cancel of nothing", `{"id":"%s","type":"cancel","target":"none"}`, "not_found", ""},
		{"no such kind", `{"id":"%s","type":"subscribe","locks":["x"],"events":["stolen"]}`, "invalid_argument", "events"},
		{"no locks", `{"id":"%s","type":"subscribe","locks":[]}`, "invalid_argument", "locks"},
		{"no such subscription", `{"id":"%s","type":"unsubscribe","subscription":"s9"}`, "not_found", ""},
		{"a release of nothing", `{"id":"%s","type":"release","lockName":"x","clientId":"c","lockId":"invented"}`, "lock_lost", ""},
		{"a release of another's", `{"id":"%s","type":"release","lockName":"x","clientId":"c","lockId":"` + held.str("lockId") + `"}`, "not_owner", ""},
		{"a renewal of another's", `{"id":"%s","type":"renew","lockName":"x","clientId":"c","renewalToken":"` + held.str("renewalToken") + `"}`, "not_owner", ""},
		{"a full line", `{"id":"%s","type":"acquire","lockName":"x","clientId":"d","waitTimeout":5}`, "queue_full", ""},
		{"held", `{"id":"%s","type":"acquire","lockName":"x","clientId":"d"}`, "lock_held", ""},
		{"another limit", `{"id":"%s","type":"acquire","lockName":"x","clientId":"d","limit":7}`, "limit_mismatch", ""},
	} {
		id := fmt.Sprint("bad ", i)
		c.sendAny(websocket.TextMessage, fmt.Sprintf(bad.text, id))
		e := c.get(frame{"id": id})
		if e.str("type") != "error" || e.str("code") != bad.code || bad.field != "" && e["errors"].([]any)[0].(map[string]any)["field"] != bad.field {
			t.Errorf("%s: %v", bad.what, e)
		}
	}
	c.sendAny(websocket.TextMessage, `{"type":"acquire","id":"dup","lockName":"other","clientId":"c"}`)
	if e := c.get(frame{"id": "dup", "type": "error"}); e.str("code") != "invalid_argument" || e["errors"].([]any)[0].(map[string]any)["field"] != "id" {
		t.Errorf("the id of an acquire under way: %v", e)
	}
	c.sendAny(websocket.TextMessage, `{"type":"acquire","lockName":"other","clientId":"c"}`)
	c.wait("error without an id", patience, func(f answer) bool { return f.str("type") == "error" && f["id"] == nil })
	c.pong("still there")
	n.release("x", "holder", held.str("lockId"))
	c.release(c.get(frame{"id": "dup", "type": "granted"}))

	for what, bad := range map[string]struct {
		kind int
		text string
		code int
	}{
		"no JSON":      {websocket.TextMessage, "acquire x", 4400},
		"no object":    {websocket.TextMessage, `["acquire"]`, 4400},
		"half a frame": {websocket.TextMessage, `{"type":"ping"`, 4400},
		"two frames":   {websocket.TextMessage, `{"type":"ping"}{"type":"ping"}`, 4400},
		"nothing":      {websocket.TextMessage, "", 4400},
		"binary":       {websocket.BinaryMessage, `{"type":"ping"}`, 4400},
		"70 KiB":       {websocket.TextMessage, `{"type":"ping","id":"` + strings.Repeat("x", 70<<10) + `"}`, 1009},
	} {
		t.Run(what, func(t *testing.T) {
			c := n.dial()
			c.pong("p")
			c.sendAny(bad.kind, bad.text)
			c.closed(bad.code)
			if bad.code == 1009 && !c.has(frame{"type": "error", "code": "too_large"}) {
				t.Errorf("%v", c.all())
			}
		})
	}
	c.pong("others do not notice")
}

// TestWebSocketAuth has handshakes with and without a token, and from pages of other hosts.
func TestWebSocketAuth(t *testing.T) {
	t.Parallel()
	const secret, protocols = "client-token-0123456789", "Sec-WebSocket-Protocol"
	env, _ := redisEnv(t)
	n := start(t, append(env, "CLIENT_TOKEN="+secret, "ALLOWED_ORIGINS=https://console.example.org,https://two.example.org", "LOG_LEVEL=debug"))
	bearer := []string{"Authorization", "Bearer " + secret}
	for what, c := range map[string]struct {
		header []string
		status int
		code   string
	}{
		"no token":         {nil, 401, "unauthorized"},
		"a wrong token":    {[]string{"Authorization", "Bearer wrong-token-0123456789"}, 401, "unauthorized"},
		"wrong, from page": {[]string{protocols, subprotocol + ", bearer.wrong-token-0123456789"}, 401, "unauthorized"},
		"in the header":    {bearer, 101, ""},
		"as a subprotocol": {[]string{protocols, subprotocol + ", bearer." + secret}, 101, ""},
		"a foreign page":   {append([]string{"Origin", "https://evil.example.org"}, bearer...), 403, "forbidden"},
		"a foreign port":   {append([]string{"Origin", "https://console.example.org:8443"}, bearer...), 403, "forbidden"},
		"an allowed page":  {append([]string{"Origin", "https://two.example.org"}, bearer...), 101, ""},
		"a page of ours":   {append([]string{"Origin", n.url}, bearer...), 101, ""},
	} {
		t.Run(what, func(t *testing.T) {
			ws, res, err := n.handshake(c.header...)
			if res == nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != c.status {
				t.Fatalf("%d, want %d", res.StatusCode, c.status)
			}
			if c.status == http.StatusSwitchingProtocols {
				go ws.read()
				ws.pong("p")
				if got := res.Header.Get(protocols); got != ws.ws.Subprotocol() || got != "" && got != subprotocol || (got == "") != !slices.Contains(c.header, protocols) {
					t.Errorf("answered subprotocol %q", got)
				}
				ws.close()
				return
			}
			raw, _ := io.ReadAll(res.Body)
			var a answer
			if err := json.Unmarshal(raw, &a); err != nil || a.str("code") != c.code || res.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s", raw)
			}
			if (c.status == http.StatusUnauthorized) != (res.Header.Get("WWW-Authenticate") != "") {
				t.Errorf("%v", res.Header)
			}
		})
	}
	if said := n.said(); strings.Contains(said, "-token-") || !strings.Contains(said, "websocket opened") {
		t.Errorf("log: %s", said)
	}
	n.call(http.StatusUnauthorized, http.MethodGet, "/ws?access_token="+secret, "") // no place for a token
}

// section is a part of the README.
func section(t *testing.T, title string) string {
	t.Helper()
	raw, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(raw), "\n## "+title+"\n")
	if !found {
		t.Fatalf("the README has no %q", title)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// TestWebSocketReadme sends the frames of the README as they stand there, and sees that what it says comes back does.
func TestWebSocketReadme(t *testing.T) {
	t.Parallel()
	env, _ := redisEnv(t)
	n := start(t, env)
	text := section(t, "WebSocket")
	_, shell, _ := strings.Cut(text, "```sh\n")
	shell, _, _ = strings.Cut(shell, "```")
	c, lockID, sent := n.dial(), "", 0
	for line := range strings.Lines(shell) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "{") {
			c.sendText(regexp.MustCompile(`"lockId":"[^"]*"`).ReplaceAllString(line, `"lockId":"`+lockID+`"`))
			sent++
		} else if shown, ok := strings.CutPrefix(line, "# {"); ok {
			m := regexp.MustCompile(`^"type":"(\w+)","id":"(\w+)"`).FindStringSubmatch(shown)
			f := c.get(frame{"type": m[1], "id": m[2]})
			if f.str("lockId") != "" {
				lockID = f.str("lockId")
			}
			for _, field := range regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(shown, -1) {
				if _, there := f[field[1]]; !there {
					t.Errorf("%s is shown, and is not in %v", field[1], f)
				}
			}
		}
	}
	if sent < 3 || lockID == "" {
		t.Errorf("%d frames, lock %q", sent, lockID)
	}

	_, script, _ := strings.Cut(text, "```js no-run\n")
	script, _, _ = strings.Cut(script, "```")
	page, sent := n.dial(), 0
	var g answer
	for _, m := range regexp.MustCompile(`send\((\{.*?\})\)`).FindAllStringSubmatch(script, -1) {
		object := strings.NewReplacer("'", `"`, ", session: sessionStorage.session", "").Replace(m[1])
		object = regexp.MustCompile(`(\w+): `).ReplaceAllString(object, `"$1": `)
		if strings.Contains(object, "f.lockId") {
			g = page.get(frame{"type": "granted"})
			object = strings.NewReplacer("f.lockName", `"`+g.str("lockName")+`"`, "f.lockId", `"`+g.str("lockId")+`"`).Replace(object)
		}
		page.sendText(object)
		sent++
	}
	page.get(frame{"type": "welcome", "id": "h"})
	page.get(frame{"type": "subscribed", "id": "s"})
	page.get(frame{"type": "released", "id": "r", "lockId": g["lockId"]})
	page.get(frame{"type": "event", "event": "released", "lockName": g["lockName"]})
	if sent != 4 {
		t.Errorf("%d frames in %s", sent, script)
	}
}
