package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

//go:embed cases/*.yaml
var caseFiles embed.FS

// A testCase is one story: what is started, what is done and what has to come of it. README.md describes the fields.
type testCase struct {
	Name     string                `yaml:"name"`
	About    string                `yaml:"about"`
	Mixed    bool                  `yaml:"mixed"`    // its clients are of all languages there are, in turns
	Slow     bool                  `yaml:"slow"`     // run only with -slow
	Unsafe   bool                  `yaml:"unsafe"`   // Redis loses data: two may hold a lock
	Nodes    *int                  `yaml:"nodes"`    // n1, n2…; default 1
	Settings map[string]string     `yaml:"settings"` // of the nodes, as environment variables
	Settle   duration              `yaml:"settle"`   // how long locks of killed clients may live on after the end
	Clients  map[string]clientSpec `yaml:"clients"`
	Steps    []step                `yaml:"steps"`
}

// A clientSpec says where a client connects to, and how.
type clientSpec struct {
	Nodes     []string `yaml:"nodes"` // default n1; an address stands for itself
	Token     string   `yaml:"token"`
	ID        string   `yaml:"id"`
	WebSocket *bool    `yaml:"webSocket"`
	Proxy     string   `yaml:"proxy"`  // the proxy's first mode
	Closed    bool     `yaml:"closed"` // it is opened by a step
}

// A step is one verb with what belongs to it, and what has to come of it.
type step struct {
	Verb   string
	Arg    any
	As     string         `yaml:"as"`     // how later steps call the answer
	Async  string         `yaml:"async"`  // the same, and do not wait for the answer
	Times  int            `yaml:"times"`  // that often at once; {i} in the arguments counts from 1
	OK     map[string]any `yaml:"ok"`     // the answer's pattern
	Error  map[string]any `yaml:"error"`  // or that of the error
	Either []string       `yaml:"either"` // or these: ok, or kinds of errors
	Until  map[string]any `yaml:"until"`  // ask again until the answer is so
	Within duration       `yaml:"within"` // default 10 s
	Took   string         `yaml:"took"`   // pattern for the milliseconds from the question to the answer
	Before string         `yaml:"before"` // end: a push lost came while the service still kept the lease
	line   int
}

// A duration is written as Go does: 1.5s, 200ms.
type duration time.Duration

func (d *duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	*d = duration(v)
	return err
}

// UnmarshalYAML takes the one key that is no modifier as the verb.
func (s *step) UnmarshalYAML(n *yaml.Node) error {
	type plain step
	if err := n.Decode((*plain)(s)); err != nil {
		return err
	}
	s.line = n.Line
	var all map[string]any
	if err := n.Decode(&all); err != nil {
		return err
	}
	for _, m := range []string{"as", "async", "times", "ok", "error", "either", "until", "within", "took", "before"} {
		delete(all, m)
	}
	verbs := slices.Collect(maps.Keys(all))
	if len(verbs) != 1 {
		return fmt.Errorf("line %d: a step has one verb, not %q", n.Line, verbs)
	}
	s.Verb, s.Arg = verbs[0], all[verbs[0]]
	return nil
}

var kebab = regexp.MustCompile(`^[a-z][a-z0-9-]+$`)

// loadCases reads all cases, those of a file in its order.
func loadCases() ([]*testCase, error) {
	names, err := fs.Glob(caseFiles, "cases/*.yaml")
	if err != nil {
		return nil, err
	}
	var all []*testCase
	seen := map[string]bool{}
	for _, name := range names {
		text, err := caseFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var cases []*testCase
		d := yaml.NewDecoder(strings.NewReader(string(text)))
		d.KnownFields(true)
		if err := d.Decode(&cases); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, c := range cases {
			if err := c.check(); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", name, c.Name, err)
			}
			if seen[c.Name] {
				return nil, fmt.Errorf("%s: two cases have the name %s", name, c.Name)
			}
			seen[c.Name] = true
		}
		all = append(all, cases...)
	}
	return all, nil
}

// check says what is wrong with a case before anything is started.
func (c *testCase) check() error {
	if c.Nodes == nil {
		one := 1
		c.Nodes = &one
	}
	switch {
	case !kebab.MatchString(c.Name):
		return errors.New("a name has small letters, digits and -")
	case c.About == "":
		return errors.New("about says what the case shows")
	case len(c.Steps) == 0 || len(c.Clients) == 0:
		return errors.New("a case has clients and steps")
	}
	for i := range c.Steps {
		s := &c.Steps[i]
		name, op, asks := strings.Cut(s.Verb, ".")
		_, known := c.Clients[name]
		switch {
		case asks && !known:
			return fmt.Errorf("line %d: there is no client %s", s.line, name)
		case asks && op == "":
			return fmt.Errorf("line %d: %s does nothing", s.line, name)
		case !asks && verbs[s.Verb] == nil:
			return fmt.Errorf("line %d: there is no verb %s", s.line, s.Verb)
		}
		if s.Within == 0 {
			s.Within = duration(10 * time.Second)
		}
	}
	return nil
}
