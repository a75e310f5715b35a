package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"distributedlock/queue/embedded"
)

// certify writes a self-signed certificate for 127.0.0.1 and its key.
func certify(t *testing.T, dir, name string, serial int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestTLS serves over TLS on a Redis that speaks only TLS and wants a password, and takes up a new certificate.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	redisCert, redisKey := certify(t, dir, "redis", 1)
	port := freePort(t)
	redis, err := embedded.Start(t.Context(), embedded.RealOnly(), embedded.Args("--tls-port", strconv.Itoa(port),
		"--tls-cert-file", redisCert, "--tls-key-file", redisKey, "--tls-ca-cert-file", redisCert, "--requirepass", "secret word"))
	if err != nil {
		t.Skipf("SKIPPED: this redis-server has no TLS: %v", err)
	}
	t.Cleanup(func() {
		if err := redis.Stop(); err != nil {
			t.Error(err)
		}
	})
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("secret word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := certify(t, dir, "lockd", 2)
	n := launch(t, []string{"REDIS_HOST=127.0.0.1", "REDIS_PORT=" + strconv.Itoa(port), "REDIS_TLS=true", "REDIS_TLS_CA=" + redisCert,
		"REDIS_TLS_CERT=" + redisCert, "REDIS_TLS_KEY=" + redisKey, "REDIS_PASSWORD_FILE=" + password, "TLS_CERT=" + cert, "TLS_KEY=" + key})
	addr := strings.TrimPrefix(n.url, "http://")
	serial := func() int64 {
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // only looks
		if err != nil {
			return 0
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	eventually(t, "serving", 10*time.Second, func() bool { return serial() == 2 })
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // as above
	defer client.CloseIdleConnections()
	res, err := client.Post("https://"+addr+"/locks/x/acquire", "", strings.NewReader(`{"clientId":"c"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("acquire: %s", res.Status)
	}
	certify(t, dir, "lockd", 3)
	eventually(t, "the new certificate", 10*time.Second, func() bool { return serial() == 3 })
	if err := os.WriteFile(cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if serial() != 3 {
		t.Error("a broken certificate is not passed over")
	}
}

// TestSentinelTLS finds its Redis by a Sentinel; both speak TLS and want passwords, each its own.
func TestSentinelTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certify(t, dir, "redis", 1)
	redisPort, sentinelPort := freePort(t), freePort(t)
	args := []string{"--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-replication", "yes"}
	redis, err := embedded.Start(t.Context(), embedded.RealOnly(), embedded.Args(append(args, "--tls-port", strconv.Itoa(redisPort),
		"--requirepass", "redis-word")...))
	if err != nil {
		t.Skipf("SKIPPED: this redis-server has no TLS: %v", err)
	}
	sentinel, err := embedded.Start(t.Context(), embedded.RealOnly(), embedded.TCP(),
		embedded.Config(fmt.Sprintf("sentinel monitor m 127.0.0.1 %d 1\nsentinel auth-pass m redis-word\nrequirepass sentinel-word\n", redisPort)),
		embedded.Args(append(args, "--tls-port", strconv.Itoa(sentinelPort), "--sentinel")...))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*embedded.Server{redis, sentinel} {
		t.Cleanup(func() {
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("sentinel-word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"REDIS_SENTINELS=127.0.0.1:" + strconv.Itoa(sentinelPort), "REDIS_MASTER_NAME=m", "REDIS_SENTINEL_TLS=true",
		"REDIS_SENTINEL_PASSWORD_FILE=" + password, "REDIS_TLS=true", "REDIS_TLS_CA=" + cert, "REDIS_TLS_CERT=" + cert,
		"REDIS_TLS_KEY=" + key, "REDIS_PASSWORD=redis-word", "CLIENT_TOKEN=", "ADMIN_TOKEN="}
	n := start(t, env)
	n.acquire(http.StatusOK, "x", `{"clientId":"c"}`)
	health := n.call(http.StatusOK, http.MethodGet, "/health", "")
	about, _ := health["redis"].(map[string]any)
	warnings, _ := about["warnings"].([]any)
	if about["mode"] != "sentinel" || about["role"] != "master" || len(warnings) != 2 {
		t.Errorf("/health: %v", health)
	}
	for _, w := range warnings {
		if text, _ := w.(string); !strings.Contains(n.said(), text) {
			t.Errorf("the log does not warn: %v", w)
		}
	}
	wrong := launch(t, append(env, "REDIS_MASTER_NAME=other", "STARTUP_TIMEOUT=1"))
	select {
	case <-wrong.ended:
		if said := wrong.said(); !strings.Contains(said, "No such master") {
			t.Errorf("a name that the Sentinel does not know: %s", said)
		}
	case <-time.After(20 * time.Second):
		t.Error("it goes on without a master")
	}
}
