package config

import (
	"flag"
	"fmt"
	"io"
	"text/tabwriter"
)

// Print writes every setting with its value and its source, one a line, secrets masked.
func (c *Config) Print(w io.Writer) {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer func() { _ = tab.Flush() }() // an error here is the reader's going away
	for _, s := range c.settings() {
		_, _ = fmt.Fprintf(tab, "%s\t%s\t%s\n", s.name, s.show(), c.Source(s.name))
	}
}

// Usage writes what lockd can be told.
func Usage(w io.Writer) {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer func() { _ = tab.Flush() }()
	c := &Config{}
	_, _ = fmt.Fprint(tab, "lockd serves fair, fenced locks on Redis.\n\n",
		"Flags, each also as an environment variable (-redis-host as REDIS_HOST), which it beats:\n")
	for _, s := range c.settings() {
		usage := s.usage
		if s.def != "" {
			usage += " (" + s.def + ")"
		}
		if s.secret {
			usage += "; better -" + s.flag() + "-file PATH, as others see a command line"
		}
		_, _ = fmt.Fprintf(tab, "  -%s\t%s\n", s.flag(), usage)
	}
	_, _ = fmt.Fprint(tab, "\nFlags only:\n")
	modes := flag.NewFlagSet("lockd", flag.ContinueOnError)
	c.addModes(modes)
	modes.VisitAll(func(f *flag.Flag) { _, _ = fmt.Fprintf(tab, "  -%s\t%s\n", f.Name, f.Usage) })
}
