package config

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// setting is the declaration of one setting: what Load, Print and Usage know about it.
type setting struct {
	name    string // the environment variable
	def     string // the default, as one would write it
	usage   string
	secret  bool
	boolean bool // the flag needs no value
	set     func(raw string) error
	show    func() string
}

const (
	shortestLease = 100 * time.Millisecond
	day           = 24 * time.Hour
	year          = 365 * day
)

// settings declares every setting, in the order in which they are printed.
func (c *Config) settings() []*setting {
	all := c.redisSettings()
	all = append(all, c.lockSettings()...)
	all = append(all, c.serverSettings()...)
	return all
}

func (c *Config) redisSettings() []*setting {
	return []*setting{
		text("REDIS_HOST", "localhost", "host of Redis", &c.RedisHost, host),
		integer("REDIS_PORT", "6379", "port of Redis", &c.RedisPort, 1, 65535),
		integer("REDIS_DB", "0", "number of the database", &c.RedisDB, 0, 9999),
		text("REDIS_USERNAME", "", "user to log in as", &c.RedisUsername, anything),
		secret("REDIS_PASSWORD", "password of Redis", &c.RedisPassword, anything),
		boolean("REDIS_TLS", "false", "speak TLS to Redis", &c.RedisTLS),
		text("REDIS_TLS_CA", "", "file of the certificates to trust, in place of the system's", &c.RedisTLSCA, file),
		text("REDIS_TLS_CERT", "", "file of our certificate", &c.RedisTLSCert, file),
		text("REDIS_TLS_KEY", "", "file of our key", &c.RedisTLSKey, file),
		list("REDIS_SENTINELS", "host:port of the Sentinels, commas between", &c.RedisSentinels, address),
		text("REDIS_MASTER_NAME", "", "the master's name that the Sentinels know", &c.RedisMasterName, word),
		text("REDIS_SENTINEL_USERNAME", "", "user to log in to the Sentinels as", &c.RedisSentinelUsername, anything),
		secret("REDIS_SENTINEL_PASSWORD", "password of the Sentinels", &c.RedisSentinelPassword, anything),
		boolean("REDIS_SENTINEL_TLS", "false", "speak TLS to the Sentinels", &c.RedisSentinelTLS),
		list("REDIS_CLUSTER", "host:port of some nodes of the cluster, commas between", &c.RedisCluster, address),
		text("REDIS_KEY_PREFIX", "dl", "what every key begins with", &c.RedisKeyPrefix, keyPrefix),
		integer("REDIS_PARTITIONS", "8", "number of partitions, fixed when the store is first used",
			&c.RedisPartitions, 1, 1024),
		integer("REDIS_WAIT_REPLICAS", "0", "how many replicas must have a change before it is answered",
			&c.RedisWaitReplicas, 0, 100),
		boolean("FAILOVER_QUARANTINE", "off",
			"after a change of Redis or loss of data, grant nothing for MAX_TIMEOUT", &c.FailoverQuarantine),
	}
}

func (c *Config) lockSettings() []*setting {
	return []*setting{
		duration("DEFAULT_TIMEOUT", "30", "lease of a request that names none", &c.DefaultTimeout, shortestLease, day),
		duration("MAX_TIMEOUT", "300", "longest lease a request may name", &c.MaxTimeout, shortestLease, day),
		duration("MAX_WAIT_TIMEOUT", "300", "longest that a request may wait", &c.MaxWaitTimeout, 0, day),
		duration("MAX_HOLD", "3600", "where autoRenew ends without a session", &c.MaxHold, shortestLease, year),
		duration("RENEWAL_INTERVAL", "5", "longest time between two renewals", &c.RenewalInterval, shortestLease, day),
		boolean("DEADLOCK_DETECTION", "true", "find and break waits that can never end", &c.DeadlockDetection),
		integer("MAX_QUEUE", "10000", "most requests that may wait for one lock", &c.MaxQueue, 1, 1_000_000),
		duration("SESSION_GRACE", "10", "how long a session without connection keeps its places and locks",
			&c.SessionGrace, 0, day),
	}
}

func (c *Config) serverSettings() []*setting {
	return []*setting{
		text("LISTEN_ADDR", ":5000", "host:port to serve on", &c.ListenAddr, listenAddress),
		secret("CLIENT_TOKEN", "bearer token that lock calls need; none: they need none", &c.ClientToken, token),
		secret("ADMIN_TOKEN", "bearer token of admin calls; none: these are off", &c.AdminToken, token),
		text("AUTH_TOKENS_FILE", "", "JSON file of tokens with roles", &c.AuthTokensFile, file),
		list("ALLOWED_ORIGINS", "origins whose pages may call, commas between", &c.AllowedOrigins, origin),
		text("TLS_CERT", "", "file of the certificate to serve TLS with", &c.TLSCert, file),
		text("TLS_KEY", "", "file of its key", &c.TLSKey, file),
		duration("SHUTDOWN_TIMEOUT", "15", "how long requests under way may take to end", &c.ShutdownTimeout, 0, day),
		duration("STARTUP_TIMEOUT", "10", "how long Redis may take to answer at the start", &c.StartupTimeout, 0, day),
		text("LOG_LEVEL", "info", "least level to log", &c.LogLevel, oneOf("debug", "info", "warn", "error")),
		text("LOG_FORMAT", "json", "form of the log", &c.LogFormat, oneOf("json", "console")),
	}
}

// flag is the setting's flag, without the dash.
func (s *setting) flag() string { return strings.ReplaceAll(strings.ToLower(s.name), "_", "-") }

// fromFile reads a secret from the file that NAME_FILE names, if it does.
func (s *setting) fromFile(given map[string]string, getenv func(string) string) (content string, found bool, err error) {
	source := FromFlag
	path, ok := given[s.flag()+"-file"]
	if !ok {
		path, source = getenv(s.name+"_FILE"), FromEnvironment
		if path == "" {
			return "", false, nil
		}
	}
	raw, err := os.ReadFile(path)
	content = strings.TrimSpace(string(raw))
	if err == nil && content == "" {
		err = fmt.Errorf("the file is empty")
	}
	if err != nil {
		return "", false, fmt.Errorf("%s_FILE (%s): %.100q: want a file that holds the secret: %s",
			s.name, source, path, oneLine(err))
	}
	return content, true, nil
}
