package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"distributedlock/service/config"
)

// serveTLS has the server speak TLS where the settings name a certificate.
func serveTLS(server *http.Server, cfg *config.Config) error {
	if cfg.TLSCert == "" {
		return nil
	}
	c := &certificate{cert: cfg.TLSCert, key: cfg.TLSKey}
	if _, err := c.get(nil); err != nil {
		return fmt.Errorf("TLS_CERT and TLS_KEY: %w", err)
	}
	server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
	return nil
}

// certificate reads its files again when they change. A broken new version leaves the last good one in force.
type certificate struct {
	cert, key string

	mu      sync.Mutex
	checked time.Time
	changed time.Time
	pair    *tls.Certificate
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pair != nil && time.Since(c.checked) < time.Second {
		return c.pair, nil
	}
	c.checked = time.Now()
	at, err := newest(c.cert, c.key)
	if err == nil && (c.pair == nil || !at.Equal(c.changed)) {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(c.cert, c.key); err == nil {
			c.pair, c.changed = &pair, at
		}
	}
	if c.pair == nil {
		return nil, err
	}
	return c.pair, nil
}

// newest is when the last of the files was written.
func newest(paths ...string) (at time.Time, err error) {
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return at, err
		}
		if info.ModTime().After(at) {
			at = info.ModTime()
		}
	}
	return at, nil
}
