package distributedlock_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	lock "distributedlock/clients/go"
)

// certificate is a new one for 127.0.0.1, that vouches for itself.
func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	secret := must[[]byte](t)(x509.MarshalECPrivateKey(key))
	certFile, keyFile = filepath.Join(t.TempDir(), "cert"), filepath.Join(t.TempDir(), "key")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := errors.Join(os.WriteFile(certFile, cert, 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600)); err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return certFile, keyFile, pool
}

func TestTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile, pool := certificate(t)
	n := startRedis(t).startTLS(t, "TLS_CERT="+certFile, "TLS_KEY="+keyFile)
	url := strings.Replace(n.url, "http:", "https:", 1)
	for _, opts := range [][]lock.ClientOption{{}, {lock.WithoutWebSocket()}} {
		c := client(t, url, append(opts, lock.WithTLS(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))...)
		l := must[*lock.Lock](t)(c.Acquire("x", 10*time.Second))
		if err := l.Renew(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Health(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c.Connected() != (len(opts) == 0) {
			t.Fatal("connected: ", c.Connected())
		}
		stranger := client(t, url, opts...)
		if _, err := stranger.TryAcquire(within(t, 300*time.Millisecond), "x", time.Second); err == nil {
			t.Fatal("a certificate that nobody vouches for was taken")
		}
	}
}
