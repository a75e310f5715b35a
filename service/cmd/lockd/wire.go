package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/redis/rueidis"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"distributedlock/graph"
	"distributedlock/queue"
	"distributedlock/queue/embedded"
	"distributedlock/service"
	"distributedlock/service/config"
	"distributedlock/transport"
)

// supported refuses the settings of what this version does not have: to ignore them would promise what it cannot keep.
func supported(cfg *config.Config) error {
	for name, set := range map[string]bool{
		"AUTH_TOKENS_FILE": cfg.AuthTokensFile != "",
	} {
		if set {
			return fmt.Errorf("%s is set, and this version does not have it yet", name)
		}
	}
	return nil
}

// storeOptions is the one place that says how Redis is reached.
func storeOptions(cfg *config.Config, private *embedded.Server, node string) (queue.Options, error) {
	o := queue.Options{Node: node, Prefix: cfg.RedisKeyPrefix, Partitions: cfg.RedisPartitions}
	if private != nil {
		o.Redis, o.Embedded = queue.At(private.Network(), private.Addr()), !private.Real()
		return o, nil // it has no replicas, and its data end with this process
	}
	o.Replicas = cfg.RedisWaitReplicas
	if cfg.FailoverQuarantine {
		o.Quarantine = cfg.MaxTimeout
	}
	server := cfg.RedisHost
	switch {
	case len(cfg.RedisCluster) > 0:
		server, o.Cluster = "", true
		o.Redis = rueidis.ClientOption{InitAddress: cfg.RedisCluster}
	case len(cfg.RedisSentinels) > 0:
		server = "" // whichever the Sentinels name
		o.Redis = rueidis.ClientOption{InitAddress: cfg.RedisSentinels, Sentinel: rueidis.SentinelOption{
			MasterSet: cfg.RedisMasterName, Username: cfg.RedisSentinelUsername, Password: cfg.RedisSentinelPassword,
		}}
	default:
		o.Redis = queue.At("tcp", net.JoinHostPort(cfg.RedisHost, strconv.Itoa(cfg.RedisPort)))
	}
	o.Redis.SelectDB, o.Redis.Username, o.Redis.Password = cfg.RedisDB, cfg.RedisUsername, cfg.RedisPassword
	conf, err := redisTLS(cfg, server)
	if err != nil {
		return o, err
	}
	if cfg.RedisTLS {
		o.Redis.TLSConfig = conf
	}
	if cfg.RedisSentinelTLS {
		o.Redis.Sentinel.TLSConfig = conf
	}
	return o, nil
}

// redisTLS is how to speak TLS to a server; with "", to any by the name that it is dialled by.
func redisTLS(cfg *config.Config, server string) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: server}
	if cfg.RedisTLSCA != "" {
		pem, err := os.ReadFile(cfg.RedisTLSCA)
		if err != nil {
			return nil, fmt.Errorf("REDIS_TLS_CA: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("REDIS_TLS_CA: %s holds no certificate", cfg.RedisTLSCA)
		}
	}
	if cfg.RedisTLSCert != "" {
		pair, err := tls.LoadX509KeyPair(cfg.RedisTLSCert, cfg.RedisTLSKey)
		if err != nil {
			return nil, fmt.Errorf("REDIS_TLS_CERT and REDIS_TLS_KEY: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

func managerOptions(cfg *config.Config, store *queue.Store, addr net.Addr, met *service.Metrics, log *zap.Logger) service.Options {
	host, _ := os.Hostname()
	about, err := json.Marshal(map[string]any{"host": host, "address": addr.String(), "version": version,
		"started": time.Now().UTC().Format(time.RFC3339)})
	if err != nil {
		panic(err) // strings always marshal
	}
	return service.Options{
		RenewalInterval: cfg.RenewalInterval, MaxHold: cfg.MaxHold, Grace: cfg.SessionGrace, MaxQueue: cfg.MaxQueue,
		Deadlocks: cfg.DeadlockDetection,
		Database:  cfg.RedisDB, Connect: store.Connect,
		About: string(about), Log: log, Metrics: met,
	}
}

func faceOptions(cfg *config.Config, set *metrics.Set, node string, log *zap.Logger) transport.Options {
	return transport.Options{
		Node: node, AllowedOrigins: cfg.AllowedOrigins,
		Addr: cfg.ListenAddr, DefaultTimeout: cfg.DefaultTimeout, MaxTimeout: cfg.MaxTimeout, MaxWait: cfg.MaxWaitTimeout,
		MaxHold: cfg.MaxHold, ClientToken: cfg.ClientToken, AdminToken: cfg.AdminToken, Version: version,
		Started: time.Now(), Logger: log, Metrics: set,
	}
}

// locks fits the manager to what transport asks for.
type locks struct{ *service.Manager }

// Open makes the session of a new connection.
func (l locks) Open(to transport.Listener) transport.Session { return l.Manager.Open(to) }

// Graph is the wait-for graph in transport's words.
func (l locks) Graph(ctx context.Context, edges int) (transport.Graph, error) {
	state, more, err := l.WaitFor(ctx)
	if err != nil {
		return transport.Graph{}, err
	}
	var out transport.Graph
	seen := map[queue.Owner]bool{}
	owner := func(o graph.Owner) queue.Owner {
		if q := queue.Owner(o); !seen[q] {
			seen[q] = true
			out.Owners = append(out.Owners, q)
		}
		return queue.Owner(o)
	}
	shown, cut := graph.Edges(state, edges)
	for _, e := range shown {
		out.Edges = append(out.Edges, transport.GraphEdge{Waiter: owner(e.Waiter), Holder: owner(e.Holder), Lock: e.Lock, Since: e.Since})
	}
	out.Cut = cut || more
	for _, dead := range graph.Deadlocks(state) {
		out.Cycles = append(out.Cycles, service.Steps(dead.Cycle))
	}
	return out, nil
}

func newLogger(cfg *config.Config, to io.Writer) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(cfg.LogLevel)
	if err != nil {
		return nil, fmt.Errorf("LOG_LEVEL: %w", err)
	}
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoder := zapcore.NewJSONEncoder(enc)
	if cfg.LogFormat == "console" {
		encoder = zapcore.NewConsoleEncoder(enc)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(to)), level)), nil
}

// newNodeID is a name for this run of this process, unique in any fleet.
func newNodeID() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "node"
	}
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f || r == '{' || r == '}' {
			return '-'
		}
		return r
	}, host) + "-" + hex.EncodeToString(b[:])
}

func goVersion() string { return runtime.Version() }

// banner tells a newcomer what runs, and what to do with it.
func banner(w io.Writer, cfg *config.Config, addr net.Addr, private *embedded.Server) error {
	_, err := fmt.Fprintf(w, `lockd %s, development mode
  redis        %s, private to this process: all locks are gone when it ends
  serving      http://%s
  admin token  %s

try it:
  curl -X POST http://%[3]s/locks/hello/acquire -d '{"clientId":"me"}'

`, version, private.Kind(), addr, cfg.AdminToken)
	return err
}

// healthcheck asks the lockd of this machine whether it is ready, so that an image needs no curl.
func healthcheck(ctx context.Context, cfg *config.Config) error {
	host, port, err := net.SplitHostPort(cfg.ListenAddr)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme, client := "http", &http.Client{Timeout: 3 * time.Second}
	if cfg.TLSCert != "" {
		scheme = "https"
		// The certificate is for the world's name of this server, not for 127.0.0.1.
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // as said
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+net.JoinHostPort(host, port)+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // nothing depends on it
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
		return errors.New(strings.TrimSpace(res.Status + " " + string(body)))
	}
	return nil
}
