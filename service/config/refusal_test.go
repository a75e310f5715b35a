package config_test

import (
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"distributedlock/service/config"
)

// badValues holds, for each setting, values it must refuse.
var badValues = map[string][]string{
	"LISTEN_ADDR":         {"5000", "localhost", ":65536", ":-1", ":http", "a b:1", "a:b:1", "http://x:1"},
	"REDIS_HOST":          {"a b", "redis:6379", "redis://x", "a,b", "[::1]", "h\nx"},
	"REDIS_PORT":          {"0", "65536", "-1", "x", "6379.0", "1e3", "0x10"},
	"REDIS_DB":            {"-1", "10000", "x", "1.5"},
	"REDIS_TLS":           {"maybe", "2", "truee"},
	"REDIS_TLS_CA":        {"/no/such/file", "."},
	"REDIS_TLS_CERT":      {"/no/such/file", "."},
	"REDIS_TLS_KEY":       {"/no/such/file", "."},
	"REDIS_SENTINELS":     {"a", "a:1,", ",", "a:1,,b:2", "a:0", ":1", "a:1 b:2"},
	"REDIS_MASTER_NAME":   {"my master", "m\t"},
	"REDIS_SENTINEL_TLS":  {"maybe", "2"},
	"REDIS_CLUSTER":       {"a", "a:1,", "a:99999"},
	"REDIS_KEY_PREFIX":    {"a b", "{a}", "a}", strings.Repeat("a", 65), "é", "a*"},
	"REDIS_PARTITIONS":    {"0", "1025", "-8", "x", "8.0"},
	"REDIS_WAIT_REPLICAS": {"-1", "101", "x"},
	"FAILOVER_QUARANTINE": {"30", "x"},
	"DEFAULT_TIMEOUT":     {"0", "0.09", "-1", "86401", "x", "30s", "NaN", "Inf", "-Inf", "1,5"},
	"MAX_TIMEOUT":         {"0", "0.09", "86400.1", "x", "NaN", "1e300"},
	"MAX_WAIT_TIMEOUT":    {"-0.1", "86401", "x", "NaN"},
	"MAX_HOLD":            {"0", "0.09", "31536001", "x", "NaN"},
	"RENEWAL_INTERVAL":    {"0", "0.09", "86401", "x", "NaN"},
	"DEADLOCK_DETECTION":  {"x", "-1"},
	"MAX_QUEUE":           {"0", "-1", "1000001", "x", "1.5", strconv.Itoa(math.MaxInt) + "0"},
	"SESSION_GRACE":       {"-1", "86401", "x", "NaN"},
	"CLIENT_TOKEN":        {"a b", "a\nb", "é", "\x7f"},
	"ADMIN_TOKEN":         {"a b", "a\nb", "é"},
	"AUTH_TOKENS_FILE":    {"/no/such/file", "."},
	"ALLOWED_ORIGINS":     {"*", "example.org", "https://a/", "https://a/b", "ftp://a", "https://", "https://u@a", "null"},
	"TLS_CERT":            {"/no/such/file", "."},
	"TLS_KEY":             {"/no/such/file", "."},
	"SHUTDOWN_TIMEOUT":    {"-1", "86401", "x", "NaN"},
	"STARTUP_TIMEOUT":     {"-1", "86401", "x", "NaN"},
	"LOG_LEVEL":           {"x", "INFO", "trace"},
	"LOG_FORMAT":          {"x", "text"},
}

// anything are the settings that may be any text.
var anything = []string{"REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_SENTINEL_USERNAME", "REDIS_SENTINEL_PASSWORD"}

// refused checks the error's form: one line that says every word wanted.
func refused(t *testing.T, err error, wants ...string) {
	t.Helper()
	if err == nil {
		t.Error("accepted")
		return
	}
	if strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 400 {
		t.Errorf("not one line: %q", err)
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant it to say %q", err, want)
		}
	}
}

func TestBadValues(t *testing.T) {
	for name := range documented {
		if len(badValues[name]) == 0 && !slices.Contains(anything, name) {
			t.Errorf("%s has no bad values", name)
		}
	}
	for name, values := range badValues {
		t.Run(name, func(t *testing.T) {
			for _, value := range values {
				shown := strconv.Quote(value)
				if strings.HasSuffix(name, "_TOKEN") {
					shown = "not shown"
				}
				_, err := config.Load(nil, env(map[string]string{name: value}))
				refused(t, err, name, "(environment)", shown, "want ")
				flagName := "-" + strings.ReplaceAll(strings.ToLower(name), "_", "-")
				_, err = config.Load([]string{flagName + "=" + value}, env(nil))
				refused(t, err, name, "(flag)", shown, "want ")
			}
		})
	}
}

func TestEmptyFlagIsABadValue(t *testing.T) {
	for _, name := range []string{"redis-host", "redis-port", "listen-addr", "log-level", "redis-tls", "max-hold"} {
		_, err := config.Load([]string{"-" + name + "="}, env(nil))
		refused(t, err, strings.ToUpper(strings.ReplaceAll(name, "-", "_")), `""`)
	}
}

func TestConflicts(t *testing.T) {
	path := write(t, "x")
	cases := map[string]struct {
		vars map[string]string
		want []string
	}{
		"lease over maximum": {map[string]string{"MAX_TIMEOUT": "10"}, []string{"DEFAULT_TIMEOUT (default): 30", "10"}},
		"certificate alone":  {map[string]string{"TLS_CERT": path}, []string{"TLS_CERT", "TLS_KEY"}},
		"key alone":          {map[string]string{"TLS_KEY": path}, []string{"TLS_CERT", "TLS_KEY"}},
		"Redis certificate alone": {
			map[string]string{"REDIS_TLS": "true", "REDIS_TLS_CERT": path}, []string{"REDIS_TLS_CERT", "REDIS_TLS_KEY"},
		},
		"CA without TLS":    {map[string]string{"REDIS_TLS_CA": path}, []string{"REDIS_TLS_CA", "REDIS_TLS=true"}},
		"Sentinels alone":   {map[string]string{"REDIS_SENTINELS": "a:1"}, []string{"REDIS_MASTER_NAME"}},
		"master name alone": {map[string]string{"REDIS_MASTER_NAME": "m"}, []string{"REDIS_SENTINELS"}},
		"Sentinels' password without Sentinels": {
			map[string]string{"REDIS_SENTINEL_PASSWORD": "p"}, []string{"REDIS_SENTINEL_PASSWORD", "REDIS_SENTINELS"},
		},
		"Sentinels' TLS without Sentinels": {map[string]string{"REDIS_SENTINEL_TLS": "on"}, []string{"REDIS_SENTINEL_TLS", "REDIS_SENTINELS"}},
		"Sentinels' user without password": {
			map[string]string{"REDIS_SENTINELS": "a:1", "REDIS_MASTER_NAME": "m", "REDIS_SENTINEL_USERNAME": "u"},
			[]string{"REDIS_SENTINEL_USERNAME", "REDIS_SENTINEL_PASSWORD"},
		},
		"database in cluster": {
			map[string]string{"REDIS_CLUSTER": "a:1", "REDIS_DB": "1"}, []string{"REDIS_DB", "REDIS_CLUSTER"},
		},
		"Sentinels and cluster": {
			map[string]string{"REDIS_CLUSTER": "a:1", "REDIS_SENTINELS": "a:1", "REDIS_MASTER_NAME": "m"},
			[]string{"REDIS_SENTINELS", "REDIS_CLUSTER"},
		},
		"user without password": {map[string]string{"REDIS_USERNAME": "u"}, []string{"REDIS_USERNAME", "REDIS_PASSWORD"}},
		"one token for all": {
			map[string]string{"CLIENT_TOKEN": "same", "ADMIN_TOKEN": "same"}, []string{"CLIENT_TOKEN", "ADMIN_TOKEN"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := config.Load(nil, env(c.vars))
			refused(t, err, c.want...)
		})
	}
}

func TestBadSecretFiles(t *testing.T) {
	for name, path := range map[string]string{
		"missing": filepath.Join(t.TempDir(), "none"), "empty": write(t, " \n"), "directory": t.TempDir(),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Load(nil, env(map[string]string{"ADMIN_TOKEN_FILE": path}))
			refused(t, err, "ADMIN_TOKEN_FILE (environment)", path)
			_, err = config.Load([]string{"-admin-token-file", path}, env(nil))
			refused(t, err, "ADMIN_TOKEN_FILE (flag)", path)
		})
	}
}

func TestSecretAndItsFile(t *testing.T) {
	path := write(t, "from-file")
	both := map[string]string{"ADMIN_TOKEN": "direct", "ADMIN_TOKEN_FILE": path}
	_, err := config.Load(nil, env(both))
	refused(t, err, "ADMIN_TOKEN", "ADMIN_TOKEN_FILE")
	_, err = config.Load([]string{"-admin-token=direct"}, env(map[string]string{"ADMIN_TOKEN_FILE": path}))
	refused(t, err, "ADMIN_TOKEN", "ADMIN_TOKEN_FILE")
}

func TestSecretsAreNeverShown(t *testing.T) {
	const hidden = "hush hush"
	for _, name := range []string{"CLIENT_TOKEN", "ADMIN_TOKEN"} {
		for _, vars := range []map[string]string{{name: hidden}, {name + "_FILE": write(t, hidden)}} {
			if _, err := config.Load(nil, env(vars)); err == nil || strings.Contains(err.Error(), "hush") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestBadCommandLines(t *testing.T) {
	for _, args := range [][]string{
		{"serve"}, {"-no-such"}, {"-redis-port"}, {"-dev", "x"}, {"-dev=perhaps"}, {"--", "x"},
	} {
		_, err := config.Load(args, env(nil))
		refused(t, err)
	}
}
