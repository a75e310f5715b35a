// Package config reads the settings of lockd: a flag beats an environment variable beats the default.
//
// Every setting is declared once, in settings.go. Its environment variable is its name (REDIS_HOST), its flag the same
// in kebab case (-redis-host). A secret can also be given as the path of a file that holds it, by its name with _FILE
// behind (REDIS_PASSWORD_FILE, -redis-password-file).
package config

import (
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
)

// Config is what lockd was told. Load checks every value, so that whoever reads one need not.
type Config struct {
	// ListenAddr is the host:port to serve on.
	ListenAddr string

	// RedisHost and RedisPort say where Redis is, unless RedisSentinels or RedisCluster does.
	RedisHost string
	RedisPort int
	// RedisDB is the number of the database; 0 in a cluster.
	RedisDB       int
	RedisUsername string
	RedisPassword string
	// RedisTLS is whether to speak TLS to Redis. RedisTLSCA is a file of certificates to trust in place of the
	// system's; RedisTLSCert and RedisTLSKey are the files of our own, both or neither.
	RedisTLS     bool
	RedisTLSCA   string
	RedisTLSCert string
	RedisTLSKey  string
	// RedisSentinels are the host:port of the Sentinels that know RedisMasterName; both or neither.
	RedisSentinels  []string
	RedisMasterName string
	// RedisSentinelUsername and RedisSentinelPassword are what the Sentinels ask for, RedisSentinelTLS whether they speak
	// TLS, with the same files as Redis.
	RedisSentinelUsername string
	RedisSentinelPassword string
	RedisSentinelTLS      bool
	// RedisCluster are the host:port of some nodes of a Redis Cluster.
	RedisCluster []string
	// RedisKeyPrefix begins every key.
	RedisKeyPrefix string
	// RedisPartitions is the number of partitions, fixed when the store is first used.
	RedisPartitions int
	// RedisWaitReplicas is how many replicas must have a change before it is answered.
	RedisWaitReplicas int
	// FailoverQuarantine withholds grants, after a change of master, that the old one may have given too.
	FailoverQuarantine bool

	// DefaultTimeout is the lease of a request that names none, MaxTimeout the longest a request may name.
	DefaultTimeout time.Duration
	MaxTimeout     time.Duration
	// MaxWaitTimeout is the longest that a request may wait; 0 lets none wait.
	MaxWaitTimeout time.Duration
	// MaxHold is where autoRenew ends for a lock without a session.
	MaxHold time.Duration
	// RenewalInterval is the longest time between two renewals of a lease with autoRenew.
	RenewalInterval time.Duration
	// DeadlockDetection is whether waits that can never end are found and broken.
	DeadlockDetection bool
	// MaxQueue is the most requests that may wait for one lock.
	MaxQueue int
	// SessionGrace is how long the places and locks of a session without connection are kept.
	SessionGrace time.Duration

	// ClientToken is the bearer token that lock calls need; empty: none. AdminToken is the one for admin calls; empty:
	// these are off. AuthTokensFile is a JSON file of more of both.
	ClientToken    string
	AdminToken     string
	AuthTokensFile string
	// AllowedOrigins are the origins whose pages may call, such as https://console.example.org.
	AllowedOrigins []string
	// TLSCert and TLSKey are the files to serve TLS with, both or neither.
	TLSCert string
	TLSKey  string

	// ShutdownTimeout is how long requests under way may take to end. StartupTimeout is how long Redis may take to
	// answer at the start.
	ShutdownTimeout time.Duration
	StartupTimeout  time.Duration
	// LogLevel is debug, info, warn or error, LogFormat json or console.
	LogLevel  string
	LogFormat string

	// Dev asks for a private Redis in place of the one that the settings name, and changes two defaults: ListenAddr is
	// on 127.0.0.1 only, and AdminToken is made up.
	Dev bool
	// PrintConfig, Version and Healthcheck ask for something else than to serve. With Version, nothing else is read.
	PrintConfig bool
	Version     bool
	Healthcheck bool

	sources map[string]Source
}

// Source says where a value comes from.
type Source string

// The sources, from the strongest to the weakest. File is the file that a NAME_FILE names, Generated a value made up for
// this run.
const (
	FromFlag        Source = "flag"
	FromEnvironment Source = "environment"
	FromFile        Source = "file"
	FromDev         Source = "-dev"
	Generated       Source = "generated"
	FromDefault     Source = "default"
)

// Source tells where the value of a setting comes from, by the name of its environment variable. It is empty for a name
// that is none.
func (c *Config) Source(name string) Source { return c.sources[name] }

// Load reads the settings from the command line, without the program's name, and the environment. Its error is one line
// that names the setting, the value, unless that is a secret, and what is allowed. It is flag.ErrHelp where -h asks for
// help: see Usage.
func Load(args []string, getenv func(string) string) (*Config, error) {
	c := &Config{sources: map[string]Source{}}
	settings := c.settings()
	given, err := parseFlags(c, settings, args)
	if err != nil || c.Version {
		return c, err
	}
	for _, s := range settings {
		if err := c.resolve(s, given, getenv); err != nil {
			return nil, err
		}
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return c, nil
}

// resolve gives one setting its value, from the strongest source that has one.
func (c *Config) resolve(s *setting, given map[string]string, getenv func(string) string) error {
	raw, source := s.def, FromDefault
	if value, ok := given[s.flag()]; ok {
		raw, source = value, FromFlag
	} else if value := getenv(s.name); value != "" {
		raw, source = value, FromEnvironment
	}
	if s.secret {
		content, found, err := s.fromFile(given, getenv)
		switch {
		case err != nil:
			return err
		case found && source != FromDefault:
			return fmt.Errorf("%s and %[1]s_FILE are both given: want one of them", s.name)
		case found:
			raw, source = content, FromFile
		}
	}
	if c.Dev && source == FromDefault {
		raw, source = devDefault(s.name, raw)
	}
	if err := s.set(raw); err != nil {
		return s.refuse(raw, source, err)
	}
	c.sources[s.name] = source
	return nil
}

// devDefault is what a setting is with -dev when nothing else is said.
func devDefault(name, def string) (string, Source) {
	switch name {
	case "LISTEN_ADDR":
		return "127.0.0.1:5000", FromDev
	case "ADMIN_TOKEN":
		return rand.Text(), Generated
	default:
		return def, FromDefault
	}
}

// refuse words the error of a value that a setting does not allow, on one line and without any secret.
func (s *setting) refuse(raw string, source Source, allowed error) error {
	shown := fmt.Sprintf("%q", raw)
	switch {
	case s.secret:
		shown = "(a secret, not shown)"
	case len(raw) > 100:
		shown = fmt.Sprintf("%.100q...", raw)
	}
	return fmt.Errorf("%s (%s): %s: %w", s.name, source, shown, allowed)
}

// parseFlags fills in what only flags can say, and returns the others as they were given, by the flag's name.
func parseFlags(c *Config, settings []*setting, args []string) (map[string]string, error) {
	given := map[string]string{}
	fs := flag.NewFlagSet("lockd", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	c.addModes(fs)
	for _, s := range settings {
		fs.Var(&raw{given, s.flag(), s.boolean}, s.flag(), s.usage)
		if s.secret {
			fs.Var(&raw{given, s.flag() + "-file", false}, s.flag()+"-file", "file that holds it")
		}
	}
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("%.100q: want flags only (lockd -h lists them)", fs.Arg(0))
	}
	return given, nil
}

func (c *Config) addModes(fs *flag.FlagSet) {
	fs.BoolVar(&c.Dev, "dev", false,
		"bring a private Redis, whose state ends with lockd; listen on 127.0.0.1:5000; make up an admin token")
	fs.BoolVar(&c.PrintConfig, "print-config", false, "print every setting with its source, secrets masked, and exit")
	fs.BoolVar(&c.Version, "version", false, "print the version and exit")
	fs.BoolVar(&c.Healthcheck, "healthcheck", false, "ask the lockd at the listen address whether it is ready, and exit")
}

// raw is a flag that keeps what was given, to be judged by the setting, whose errors know about secrets.
type raw struct {
	given   map[string]string
	name    string
	boolean bool
}

func (r *raw) String() string         { return "" }
func (r *raw) Set(value string) error { r.given[r.name] = value; return nil }
func (r *raw) IsBoolFlag() bool       { return r.boolean }

// check holds settings against each other, and returns the first conflict.
func (c *Config) check() error {
	tls := c.RedisTLSCA + c.RedisTLSCert + c.RedisTLSKey
	rules := []struct {
		broken bool
		says   string
	}{
		{c.DefaultTimeout > c.MaxTimeout, fmt.Sprintf("DEFAULT_TIMEOUT (%s): %s: want at most MAX_TIMEOUT, which is %s",
			c.Source("DEFAULT_TIMEOUT"), seconds(c.DefaultTimeout), seconds(c.MaxTimeout))},
		{(c.TLSCert == "") != (c.TLSKey == ""), "TLS_CERT and TLS_KEY: want both or neither"},
		{(c.RedisTLSCert == "") != (c.RedisTLSKey == ""), "REDIS_TLS_CERT and REDIS_TLS_KEY: want both or neither"},
		{tls != "" && !c.RedisTLS && !c.RedisSentinelTLS,
			"REDIS_TLS_CA, REDIS_TLS_CERT and REDIS_TLS_KEY: want REDIS_TLS=true with them"},
		{(len(c.RedisSentinels) == 0) != (c.RedisMasterName == ""),
			"REDIS_SENTINELS and REDIS_MASTER_NAME: want both or neither"},
		{len(c.RedisSentinels) > 0 && len(c.RedisCluster) > 0, "REDIS_SENTINELS and REDIS_CLUSTER: want only one of them"},
		{len(c.RedisCluster) > 0 && c.RedisDB != 0, fmt.Sprintf("REDIS_DB (%s): %d: want 0 with REDIS_CLUSTER",
			c.Source("REDIS_DB"), c.RedisDB)},
		{c.RedisUsername != "" && c.RedisPassword == "", "REDIS_USERNAME: want REDIS_PASSWORD with it"},
		{len(c.RedisSentinels) == 0 && (c.RedisSentinelUsername+c.RedisSentinelPassword != "" || c.RedisSentinelTLS),
			"REDIS_SENTINEL_USERNAME, REDIS_SENTINEL_PASSWORD and REDIS_SENTINEL_TLS: want REDIS_SENTINELS with them"},
		{c.RedisSentinelUsername != "" && c.RedisSentinelPassword == "",
			"REDIS_SENTINEL_USERNAME: want REDIS_SENTINEL_PASSWORD with it"},
		{c.ClientToken != "" && c.ClientToken == c.AdminToken,
			"CLIENT_TOKEN and ADMIN_TOKEN: want two different ones, or every client is an admin"},
	}
	for _, rule := range rules {
		if rule.broken {
			return errors.New(rule.says)
		}
	}
	return nil
}

// oneLine keeps what the operating system says on one line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", " ") }
