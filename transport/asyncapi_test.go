package transport

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The parts of an AsyncAPI 3.0.0 document that ours is made of, each with every field that it uses and with none that
// the specification does not have. A field that is not here fails the decoding.
type (
	asyncSpec struct {
		AsyncAPI           string                    `json:"asyncapi"`
		Info               asyncInfo                 `json:"info"`
		DefaultContentType string                    `json:"defaultContentType"`
		Servers            map[string]asyncServer    `json:"servers"`
		Channels           map[string]asyncChannel   `json:"channels"`
		Operations         map[string]asyncOperation `json:"operations"`
		Components         struct {
			SecuritySchemes map[string]asyncSecurity    `json:"securitySchemes"`
			CorrelationIDs  map[string]asyncCorrelation `json:"correlationIds"`
			Messages        map[string]asyncMessage     `json:"messages"`
			Schemas         map[string]any              `json:"schemas"`
		} `json:"components"`
	}
	asyncInfo   struct{ Title, Version, Description string }
	asyncServer struct {
		Host, Protocol, Description string
		Variables                   map[string]struct{ Default, Description string }
		Security                    []asyncRef
	}
	asyncChannel struct {
		Address, Title, Summary, Description string
		Messages                             map[string]asyncRef
		Bindings                             struct {
			WS struct {
				Method, BindingVersion string
				Headers                any
			}
		}
		Handshake  map[string]string `json:"x-handshake"`
		CloseCodes map[string]string `json:"x-close-codes"`
	}
	asyncOperation struct {
		Action, Title, Summary string
		Channel                asyncRef
		Messages               []asyncRef
		Reply                  *struct {
			Channel  asyncRef
			Messages []asyncRef
		}
	}
	asyncSecurity    struct{ Type, Scheme, In, Name, Description string }
	asyncCorrelation struct{ Location, Description string }
	asyncMessage     struct {
		Name, Title, Summary, Description string
		CorrelationID                     *asyncRef
		Payload                           asyncRef
		Examples                          []struct {
			Name, Summary string
			Payload       json.RawMessage
		}
	}
	asyncRef struct {
		Ref string `json:"$ref"`
	}
)

func readAsync(t *testing.T) (d asyncSpec) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(asyncDocument))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		t.Fatalf("asyncapi.json is not as AsyncAPI 3 has it: %v", err)
	}
	return d
}

// schemasOf are the component schemas of a document.
func schemasOf(t *testing.T, text []byte) map[string]map[string]any {
	t.Helper()
	var d struct {
		Components struct{ Schemas map[string]map[string]any }
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d.Components.Schemas
}

func TestAsyncDocumentIsValid(t *testing.T) {
	d := readAsync(t)
	var rest struct{ Info struct{ Version string } }
	if err := json.Unmarshal(document, &rest); err != nil {
		t.Fatal(err)
	}
	if d.AsyncAPI != "3.0.0" || d.Info.Title == "" || d.Info.Version != rest.Info.Version || d.DefaultContentType != "application/json" {
		t.Errorf("asyncapi %q, info %q %q, content %q", d.AsyncAPI, d.Info.Title, d.Info.Version, d.DefaultContentType)
	}
	variable := regexp.MustCompile(`\{(\w+)\}`)
	for name, s := range d.Servers {
		if s.Protocol != "ws" && s.Protocol != "wss" {
			t.Errorf("server %s: protocol %q", name, s.Protocol)
		}
		for _, v := range variable.FindAllStringSubmatch(s.Host, -1) {
			if s.Variables[v[1]].Default == "" {
				t.Errorf("server %s: no value for %s", name, v[0])
			}
		}
		for _, r := range s.Security {
			if _, ok := d.Components.SecuritySchemes[strings.TrimPrefix(r.Ref, "#/components/securitySchemes/")]; !ok {
				t.Errorf("server %s: no security scheme %s", name, r.Ref)
			}
		}
	}
	for name, s := range d.Components.SecuritySchemes {
		if (s.Type != "http" || s.Scheme != "bearer") && (s.Type != "httpApiKey" || s.In != "header" || s.Name == "") {
			t.Errorf("security scheme %s: %+v", name, s)
		}
	}
	location := regexp.MustCompile(`^\$message\.(header|payload)#(/[^/~]+)+$`)
	for name, c := range d.Components.CorrelationIDs {
		if !location.MatchString(c.Location) {
			t.Errorf("correlation id %s: %q", name, c.Location)
		}
	}
	ws := d.Channels["ws"]
	if len(d.Channels) != 1 || ws.Address != "/ws" || ws.Bindings.WS.Method != http.MethodGet || ws.Bindings.WS.BindingVersion != "0.1.0" {
		t.Errorf("channels: %+v", d.Channels)
	}
	if want := []string{"1000", "1001", "1009", "4400", "4401", "4403", "4408", "4429"}; !slices.Equal(slices.Sorted(maps.Keys(ws.CloseCodes)), want) {
		t.Errorf("close codes: %v", ws.CloseCodes)
	}
}

// TestAsyncReferencesResolve follows every $ref. In AsyncAPI's dialect a $ref has no effect on what stands beside it, so
// it must stand alone.
func TestAsyncReferencesResolve(t *testing.T) {
	var root any
	if err := json.Unmarshal(asyncDocument, &root); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	eachObject(root, "", func(at string, o map[string]any) {
		ref, ok := o["$ref"].(string)
		if !ok {
			return
		}
		if len(o) > 1 {
			t.Errorf("%s: more than a $ref", at)
		}
		used[ref] = true
		target := root
		for step := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			object, _ := target.(map[string]any)
			target = object[step]
		}
		if target == nil || !strings.HasPrefix(ref, "#/") {
			t.Errorf("%s: %s leads nowhere", at, ref)
		}
	})
	for name := range readAsync(t).Components.Schemas {
		if ref := "#/components/schemas/" + name; !used[ref] && name != "ClientFrame" && name != "ServerFrame" {
			t.Errorf("%s is not used", ref)
		}
	}
}

// eachObject visits every object in a JSON value, those of examples left out.
func eachObject(v any, at string, visit func(at string, o map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		visit(at, v)
		for key, member := range v {
			if key != "examples" {
				eachObject(member, at+"/"+key, visit)
			}
		}
	case []any:
		for _, element := range v {
			eachObject(element, at+"/-", visit)
		}
	}
}

// TestAsyncOperationsHaveTheirMessages: every message is in the channel, in an operation, and, as the client's or as
// the service's, in the schema of all frames.
func TestAsyncOperationsHaveTheirMessages(t *testing.T) {
	d := readAsync(t)
	const channel, inChannel = "#/channels/ws", "#/channels/ws/messages/"
	received, sent := map[string]bool{}, map[string]bool{}
	note := func(operation string, refs []asyncRef, into map[string]bool) {
		for _, r := range refs {
			name, ok := strings.CutPrefix(r.Ref, inChannel)
			if _, there := d.Channels["ws"].Messages[name]; !ok || !there {
				t.Errorf("operation %s: %s is no message of the channel", operation, r.Ref)
			}
			into[name] = true
		}
	}
	for name, o := range d.Operations {
		if o.Channel.Ref != channel || len(o.Messages) == 0 || o.Title == "" || o.Summary == "" {
			t.Errorf("operation %s: %+v", name, o)
		}
		switch {
		case o.Action == "send" && o.Reply == nil:
			note(name, o.Messages, sent)
		case o.Action == "receive" && o.Reply != nil && o.Reply.Channel.Ref == channel:
			note(name, o.Messages, received)
			note(name, o.Reply.Messages, sent)
		default:
			t.Errorf("operation %s: action %q, reply %v", name, o.Action, o.Reply)
		}
	}
	schemas := schemasOf(t, asyncDocument)
	for side, want := range map[string]map[string]bool{"ClientFrame": received, "ServerFrame": sent} {
		got := map[string]bool{}
		for _, one := range asyncArray(schemas[side]["oneOf"]) {
			ref, _ := asyncObject(one)["$ref"].(string)
			schema := schemas[strings.TrimPrefix(ref, "#/components/schemas/")]
			kind, _ := asyncObject(asyncObject(schema["properties"])["type"])["const"].(string)
			got[kind] = true
			if m := d.Components.Messages[kind]; m.Payload.Ref != ref {
				t.Errorf("message %s has the payload %s, not %s", kind, m.Payload.Ref, ref)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s has %v, the operations have %v", side, got, want)
		}
	}
	for name, m := range d.Components.Messages {
		if m.Name != name || m.Title == "" || m.Summary == "" || len(m.Examples) == 0 {
			t.Errorf("message %s: name %q, title %q, summary %q, %d examples", name, m.Name, m.Title, m.Summary, len(m.Examples))
		}
		if r := d.Channels["ws"].Messages[name]; r.Ref != "#/components/messages/"+name {
			t.Errorf("message %s is in the channel as %q", name, r.Ref)
		}
		_, hasID := asyncObject(schemas[strings.TrimPrefix(m.Payload.Ref, "#/components/schemas/")]["properties"])["id"]
		if hasID != (m.CorrelationID != nil) {
			t.Errorf("message %s: has an id: %v, a correlation id: %v", name, hasID, m.CorrelationID)
		}
	}
	if len(d.Channels["ws"].Messages) != len(d.Components.Messages) {
		t.Errorf("the channel has %d messages, there are %d", len(d.Channels["ws"].Messages), len(d.Components.Messages))
	}
}

func asyncObject(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

func asyncArray(v any) []any {
	a, _ := v.([]any)
	return a
}

// TestAsyncSchemasSayWhatTheyMean finds misspelt keywords, required fields that are not there, and frames that would
// take any field.
func TestAsyncSchemasSayWhatTheyMean(t *testing.T) {
	keywords := strings.Fields("type const enum description format pattern minLength maxLength minimum maximum " +
		"exclusiveMinimum minItems maxItems items properties required additionalProperties oneOf allOf if then else $ref")
	for name, schema := range schemasOf(t, asyncDocument) {
		if asyncObject(asyncObject(schema["properties"])["type"])["const"] != nil && (schema["type"] != "object" ||
			schema["additionalProperties"] != false || !slices.Contains(asyncArray(schema["required"]), any("type"))) {
			t.Errorf("%s takes any type or field", name)
		}
		eachSchema(schema, name, func(at string, s map[string]any) {
			for keyword := range s {
				if !slices.Contains(keywords, keyword) {
					t.Errorf("%s: no keyword %s", at, keyword)
				}
			}
			// What an allOf or oneOf names is a field of the frame around it.
			for _, field := range asyncArray(s["required"]) {
				key, _ := field.(string)
				if _, ok := asyncObject(schema["properties"])[key]; !ok && asyncObject(s["properties"])[key] == nil {
					t.Errorf("%s: no field %s", at, key)
				}
			}
		})
	}
}

// eachSchema visits a schema and all in it.
func eachSchema(v any, at string, visit func(at string, s map[string]any)) {
	s := asyncObject(v)
	if s == nil {
		return // true or false
	}
	visit(at, s)
	for name, p := range asyncObject(s["properties"]) {
		eachSchema(p, at+"."+name, visit)
	}
	for _, one := range []string{"items", "if", "then", "else"} {
		eachSchema(s[one], at+"/"+one, visit)
	}
	for _, many := range []string{"oneOf", "allOf"} {
		for _, sub := range asyncArray(s[many]) {
			eachSchema(sub, at+"/"+many, visit)
		}
	}
}

// TestAsyncSchemasAreThoseOfREST: what both documents tell is told alike.
func TestAsyncSchemasAreThoseOfREST(t *testing.T) {
	async, rest := schemasOf(t, asyncDocument), schemasOf(t, document)
	for _, name := range []string{"Name", "Time", "Token", "Metadata", "Holder", "Cycle"} {
		if !reflect.DeepEqual(async[name], rest[name]) {
			t.Errorf("%s is not as over REST", name)
		}
	}
	for frame, c := range map[string]struct {
		rest string
		own  []string // what the frame has besides
	}{
		"Acquire":  {"AcquireRequest", []string{"type", "id", "lockName"}},
		"Release":  {"ReleaseRequest", []string{"type", "id", "lockName"}},
		"Renew":    {"RenewRequest", []string{"type", "id", "lockName"}},
		"Granted":  {"Grant", []string{"type", "id"}},
		"Released": {"Released", []string{"type", "id"}},
		"Renewed":  {"Renewed", []string{"type", "id"}},
	} {
		client := c.own[len(c.own)-1] == "lockName"
		got, want := asyncShapes(async[frame]), asyncShapes(rest[c.rest])
		for _, own := range c.own {
			delete(got, own)
		}
		if client { // the clientId may be left out after a hello
			if !reflect.DeepEqual(asyncObject(got["clientId"])["type"], []any{"string", "null"}) {
				t.Errorf("%s.clientId: %v", frame, got["clientId"])
			}
			asyncObject(got["clientId"])["type"] = "string"
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s %v\n%s %v", frame, got, c.rest, want)
		}
		required := append([]any{}, asyncArray(rest[c.rest]["required"])...)
		required = slices.DeleteFunc(required, func(v any) bool { return client && v == "clientId" })
		for _, own := range c.own {
			required = append(required, own)
		}
		if !asyncSameSet(required, asyncArray(async[frame]["required"])) {
			t.Errorf("%s requires %v, not %v", frame, async[frame]["required"], required)
		}
	}
}

func asyncSameSet(a, b []any) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(v any) bool { return !slices.Contains(b, v) })
}

// asyncShapes are the fields of a schema without what is said about them.
func asyncShapes(schema map[string]any) map[string]any {
	text, _ := json.Marshal(schema["properties"])
	var props map[string]any
	_ = json.Unmarshal(text, &props)
	for _, p := range props {
		delete(asyncObject(p), "description")
	}
	return props
}
