package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A rule says in its error what it wants, as in "want a host".
type rule func(value string) error

func text(name, def, usage string, p *string, allowed rule) *setting {
	return &setting{
		name: name, def: def, usage: usage,
		set: func(raw string) error {
			if raw != def { // an empty default means: not set
				if err := allowed(raw); err != nil {
					return err
				}
			}
			*p = raw
			return nil
		},
		show: func() string { return *p },
	}
}

func secret(name, usage string, p *string, allowed rule) *setting {
	s := text(name, "", usage, p, allowed)
	s.secret = true
	s.show = func() string {
		if *p == "" {
			return ""
		}
		return "********" // of one length, whatever the secret's
	}
	return s
}

func list(name, usage string, p *[]string, allowed rule) *setting {
	return &setting{
		name: name, usage: usage,
		set: func(raw string) error {
			*p = nil
			if strings.TrimSpace(raw) == "" {
				return nil
			}
			for item := range strings.SplitSeq(raw, ",") {
				item = strings.TrimSpace(item)
				if err := allowed(item); err != nil {
					return fmt.Errorf("%w, with commas between several", err)
				}
				*p = append(*p, item)
			}
			return nil
		},
		show: func() string { return strings.Join(*p, ",") },
	}
}

func integer(name, def, usage string, p *int, low, high int) *setting {
	return &setting{
		name: name, def: def, usage: usage,
		set: func(raw string) error {
			n, err := strconv.Atoi(strings.TrimSpace(raw))
			if err != nil || n < low || n > high {
				return fmt.Errorf("want a whole number from %d to %d", low, high)
			}
			*p = n
			return nil
		},
		show: func() string { return strconv.Itoa(*p) },
	}
}

// duration is a number of seconds, fractions allowed.
func duration(name, def, usage string, p *time.Duration, low, high time.Duration) *setting {
	return &setting{
		name: name, def: def, usage: usage + ", in seconds",
		set: func(raw string) error {
			n, err := strconv.ParseFloat(strings.TrimSpace(raw), 64)
			// Negated, so that NaN, which compares with nothing, is refused too.
			if err != nil || !(n >= low.Seconds() && n <= high.Seconds()) {
				return fmt.Errorf("want seconds from %s to %s", seconds(low), seconds(high))
			}
			*p = time.Duration(n * float64(time.Second)).Round(time.Microsecond)
			return nil
		},
		show: func() string { return seconds(*p) },
	}
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

func boolean(name, def, usage string, p *bool) *setting {
	return &setting{
		name: name, def: def, usage: usage, boolean: true,
		set: func(raw string) error {
			switch strings.ToLower(strings.TrimSpace(raw)) {
			case "true", "1", "on", "yes":
				*p = true
			case "false", "0", "off", "no":
				*p = false
			default:
				return errors.New("want true or false")
			}
			return nil
		},
		show: func() string { return strconv.FormatBool(*p) },
	}
}

func anything(string) error { return nil }

func oneOf(names ...string) rule {
	return func(value string) error {
		if !slices.Contains(names, value) {
			return errors.New("want one of " + strings.Join(names, ", "))
		}
		return nil
	}
}

// visible tells whether the value is of printing ASCII characters other than space, and of at least one.
func visible(value string) bool {
	return value != "" && !strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' })
}

func word(value string) error {
	if !visible(value) {
		return errors.New("want a name without spaces")
	}
	return nil
}

// token is what an Authorization header can carry.
func token(value string) error {
	if !visible(value) {
		return errors.New("want printing ASCII characters without spaces")
	}
	return nil
}

func host(value string) error {
	if !visible(value) || strings.ContainsAny(value, "/,@[]") || (strings.Contains(value, ":") && net.ParseIP(value) == nil) {
		return errors.New("want a host name or address, the port apart")
	}
	return nil
}

func address(value string) error {
	name, port, err := net.SplitHostPort(value)
	if err != nil || name == "" || host(name) != nil || !portNumber(port, 1) {
		return errors.New("want host:port")
	}
	return nil
}

// listenAddress may leave out the host (every address), and port 0 is any free one.
func listenAddress(value string) error {
	name, port, err := net.SplitHostPort(value)
	if err != nil || (name != "" && host(name) != nil) || !portNumber(port, 0) {
		return errors.New("want host:port or :port")
	}
	return nil
}

func portNumber(value string, low int) bool {
	n, err := strconv.Atoi(value)
	return err == nil && n >= low && n <= 65535
}

// keyPrefix leaves out braces, with which a key names its slot.
func keyPrefix(value string) error {
	if !visible(value) || len(value) > 64 || strings.ContainsAny(value, "{}*?[]\\") {
		return errors.New(`want 1 to 64 printing ASCII characters, without spaces and {}*?[]\`)
	}
	return nil
}

func origin(value string) error {
	u, err := url.Parse(value)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Scheme+"://"+u.Host != value {
		return errors.New("want an origin such as https://console.example.org")
	}
	return nil
}

func file(value string) error {
	f, err := os.Open(value)
	if err != nil {
		return errors.New("want a file that can be read: " + oneLine(err))
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return errors.New("want a file that can be read, not a directory")
	}
	return nil
}
