package config_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"distributedlock/service/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// documented are the names that the documentation promises, with their defaults.
var documented = map[string]string{
	"LISTEN_ADDR": ":5000", "REDIS_HOST": "localhost", "REDIS_PORT": "6379", "REDIS_DB": "0", "REDIS_USERNAME": "",
	"REDIS_PASSWORD": "", "REDIS_TLS": "false", "REDIS_TLS_CA": "", "REDIS_TLS_CERT": "", "REDIS_TLS_KEY": "",
	"REDIS_SENTINELS": "", "REDIS_MASTER_NAME": "", "REDIS_SENTINEL_USERNAME": "", "REDIS_SENTINEL_PASSWORD": "",
	"REDIS_SENTINEL_TLS": "false", "REDIS_CLUSTER": "", "REDIS_KEY_PREFIX": "dl",
	"REDIS_PARTITIONS": "8", "REDIS_WAIT_REPLICAS": "0", "FAILOVER_QUARANTINE": "false", "DEFAULT_TIMEOUT": "30",
	"MAX_TIMEOUT": "300", "MAX_WAIT_TIMEOUT": "300", "MAX_HOLD": "3600", "RENEWAL_INTERVAL": "5",
	"DEADLOCK_DETECTION": "true", "MAX_QUEUE": "10000", "SESSION_GRACE": "10", "CLIENT_TOKEN": "", "ADMIN_TOKEN": "",
	"AUTH_TOKENS_FILE": "", "ALLOWED_ORIGINS": "", "TLS_CERT": "", "TLS_KEY": "", "SHUTDOWN_TIMEOUT": "15",
	"STARTUP_TIMEOUT": "10", "LOG_LEVEL": "info", "LOG_FORMAT": "json",
}

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// printed is what -print-config says, by name: value and source, with a space between.
func printed(t *testing.T, c *config.Config) map[string]string {
	t.Helper()
	var b bytes.Buffer
	c.Print(&b)
	out := map[string]string{}
	for line := range strings.Lines(b.String()) {
		words := strings.Fields(line)
		out[words[0]] = strings.Join(words[1:], " ")
	}
	return out
}

func TestDefaults(t *testing.T) {
	c, err := config.Load(nil, env(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for name, def := range documented {
		want[name] = strings.TrimSpace(def + " default")
	}
	if got := printed(t, c); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if c.DefaultTimeout != 30*time.Second || c.RedisPartitions != 8 || !c.DeadlockDetection || c.Dev {
		t.Errorf("got %+v", c)
	}
}

// good holds a value of every setting that is not its default.
func good(t *testing.T) map[string]string {
	t.Helper()
	path := write(t, "x")
	return map[string]string{
		"LISTEN_ADDR": "[::1]:0", "REDIS_HOST": "10.0.0.7", "REDIS_PORT": "7000", "REDIS_DB": "3",
		"REDIS_USERNAME": "svc", "REDIS_PASSWORD": "p w", "REDIS_TLS": "on", "REDIS_TLS_CA": path,
		"REDIS_TLS_CERT": path, "REDIS_TLS_KEY": path, "REDIS_SENTINELS": "a:1, b:2", "REDIS_MASTER_NAME": "m",
		"REDIS_SENTINEL_USERNAME": "watch", "REDIS_SENTINEL_PASSWORD": "s w", "REDIS_SENTINEL_TLS": "yes",
		"REDIS_KEY_PREFIX": "locks", "REDIS_PARTITIONS": "1024", "REDIS_WAIT_REPLICAS": "1",
		"FAILOVER_QUARANTINE": "yes", "DEFAULT_TIMEOUT": "0.5", "MAX_TIMEOUT": "86400", "MAX_WAIT_TIMEOUT": "0",
		"MAX_HOLD": "60", "RENEWAL_INTERVAL": "0.1", "DEADLOCK_DETECTION": "0", "MAX_QUEUE": "1",
		"SESSION_GRACE": "2.25", "CLIENT_TOKEN": "c", "ADMIN_TOKEN": "a", "AUTH_TOKENS_FILE": path,
		"ALLOWED_ORIGINS": "https://a.example,http://localhost:3000", "TLS_CERT": path, "TLS_KEY": path,
		"SHUTDOWN_TIMEOUT": "0", "STARTUP_TIMEOUT": "1", "LOG_LEVEL": "debug", "LOG_FORMAT": "console",
	}
}

func checkGood(t *testing.T, c *config.Config, source config.Source, given map[string]string) {
	t.Helper()
	for name := range given {
		if got := c.Source(name); got != source {
			t.Errorf("%s comes from %q, want %q", name, got, source)
		}
	}
	if c.RedisHost != "10.0.0.7" || c.RedisPort != 7000 || !c.RedisTLS || c.DeadlockDetection ||
		c.DefaultTimeout != 500*time.Millisecond || c.SessionGrace != 2250*time.Millisecond || c.MaxWaitTimeout != 0 ||
		!slices.Equal(c.RedisSentinels, []string{"a:1", "b:2"}) || len(c.AllowedOrigins) != 2 || c.RedisPassword != "p w" {
		t.Errorf("got %+v", c)
	}
}

func TestEnvironment(t *testing.T) {
	vars := good(t)
	c, err := config.Load(nil, env(vars))
	if err != nil {
		t.Fatal(err)
	}
	checkGood(t, c, config.FromEnvironment, vars)
	for name := range documented {
		if _, ok := vars[name]; !ok && name != "REDIS_CLUSTER" {
			t.Errorf("%s is not tried", name)
		}
	}
}

func TestFlagBeatsEnvironment(t *testing.T) {
	vars := good(t)
	var args []string
	for name, value := range vars {
		args = append(args, "-"+strings.ReplaceAll(strings.ToLower(name), "_", "-")+"="+value)
	}
	c, err := config.Load(args, env(map[string]string{"MAX_QUEUE": "bad", "REDIS_HOST": "other"}))
	if err != nil {
		t.Fatal(err)
	}
	checkGood(t, c, config.FromFlag, vars)
}

func TestBooleanFlagNeedsNoValue(t *testing.T) {
	c, err := config.Load([]string{"-redis-tls", "-deadlock-detection=off", "-print-config"}, env(nil))
	if err != nil || !c.RedisTLS || c.DeadlockDetection || !c.PrintConfig {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestCluster(t *testing.T) {
	c, err := config.Load([]string{"-redis-cluster", "a:1,b:2,[::1]:3"}, env(nil))
	if err != nil || !slices.Equal(c.RedisCluster, []string{"a:1", "b:2", "[::1]:3"}) {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestEmptyEnvironmentIsNotSet(t *testing.T) {
	c, err := config.Load(nil, env(map[string]string{"REDIS_PORT": "", "ADMIN_TOKEN": "", "ADMIN_TOKEN_FILE": ""}))
	if err != nil || c.RedisPort != 6379 || c.Source("REDIS_PORT") != config.FromDefault {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestSecretsFromFiles(t *testing.T) {
	for _, name := range []string{"REDIS_PASSWORD", "CLIENT_TOKEN", "ADMIN_TOKEN"} {
		path := write(t, " s3cret \n")
		flagName := "-" + strings.ReplaceAll(strings.ToLower(name), "_", "-") + "-file"
		for way, load := range map[string]func() (*config.Config, error){
			"environment": func() (*config.Config, error) {
				return config.Load(nil, env(map[string]string{name + "_FILE": path}))
			},
			"flag": func() (*config.Config, error) { return config.Load([]string{flagName, path}, env(nil)) },
		} {
			c, err := load()
			if err != nil {
				t.Fatalf("%s by %s: %v", name, way, err)
			}
			if got := c.RedisPassword + c.ClientToken + c.AdminToken; got != "s3cret" {
				t.Errorf("%s by %s: got %q", name, way, got)
			}
			if got := printed(t, c)[name]; got != "******** file" {
				t.Errorf("%s by %s is printed %q", name, way, got)
			}
		}
	}
}

func TestDev(t *testing.T) {
	c, err := config.Load([]string{"-dev"}, env(nil))
	if err != nil {
		t.Fatal(err)
	}
	if !c.Dev || c.ListenAddr != "127.0.0.1:5000" || len(c.AdminToken) < 22 || c.ClientToken != "" ||
		c.Source("ADMIN_TOKEN") != config.Generated || c.Source("LISTEN_ADDR") != config.FromDev {
		t.Errorf("got %+v", c)
	}
	if again, err := config.Load([]string{"-dev"}, env(nil)); err != nil || again.AdminToken == c.AdminToken {
		t.Errorf("the same token twice, or %v", err)
	}
	c, err = config.Load([]string{"-dev", "-listen-addr", ":7"}, env(map[string]string{"ADMIN_TOKEN": "mine"}))
	if err != nil || c.ListenAddr != ":7" || c.AdminToken != "mine" {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestOtherModes(t *testing.T) {
	if c, err := config.Load([]string{"-version", "-redis-port", "x"}, env(nil)); err != nil || !c.Version {
		t.Errorf("-version: %+v, %v", c, err)
	}
	if c, err := config.Load([]string{"-healthcheck"}, env(nil)); err != nil || !c.Healthcheck {
		t.Errorf("-healthcheck: %+v, %v", c, err)
	}
	if _, err := config.Load([]string{"-h"}, env(nil)); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}

func TestUsageNamesEverything(t *testing.T) {
	var b bytes.Buffer
	config.Usage(&b)
	for name := range documented {
		if want := "-" + strings.ReplaceAll(strings.ToLower(name), "_", "-") + " "; !strings.Contains(b.String(), want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, want := range []string{"-dev ", "-print-config ", "-version ", "-healthcheck ", "-admin-token-file "} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s is missing", want)
		}
	}
}
