package transport

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"
)

// role is what a caller may do; each may do what those before it may.
type role int

const (
	anyone role = iota
	reader
	client
	admin
)

func (r role) String() string { return [...]string{"none", "read", "client", "admin"}[r] }

// principal is who calls.
type principal struct {
	name string
	role role
	// prefixes are what the names of its locks must begin with; none for all.
	prefixes []string
}

// mayUse reports whether the principal's prefixes allow a lock.
func (p principal) mayUse(lock string) bool {
	for _, prefix := range p.prefixes {
		if strings.HasPrefix(lock, prefix) {
			return true
		}
	}
	return len(p.prefixes) == 0
}

// authenticator knows the tokens. It keeps and compares their hashes, in constant time.
type authenticator struct {
	known []credential
	// open is whether lock calls need no token; hasAdmin whether any token is an admin's.
	open, hasAdmin bool
}

type credential struct {
	hash [sha256.Size]byte
	who  principal
}

func newAuthenticator(clientToken, adminToken string) authenticator {
	a := authenticator{open: clientToken == "", hasAdmin: adminToken != ""}
	if a.hasAdmin {
		a.known = append(a.known, credential{sha256.Sum256([]byte(adminToken)), principal{name: "admin", role: admin}})
	}
	if !a.open {
		a.known = append(a.known, credential{sha256.Sum256([]byte(clientToken)), principal{name: "client", role: client}})
	}
	return a
}

// identify finds the principal of an Authorization header. A stranger is a client where lock calls are open, and
// otherwise nobody.
func (a *authenticator) identify(header []string) principal {
	stranger := principal{name: "anonymous"}
	if a.open {
		stranger.role = client
	}
	if len(a.known) == 0 || len(header) == 0 {
		return stranger
	}
	scheme, token, _ := strings.Cut(header[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return stranger
	}
	hash := sha256.Sum256([]byte(strings.TrimSpace(token)))
	for i := range a.known {
		if subtle.ConstantTimeCompare(hash[:], a.known[i].hash[:]) == 1 {
			return a.known[i].who
		}
	}
	return stranger
}

// authorize finds out who calls and whether they may.
func (c *call) authorize() error {
	need := c.route.role
	if need == anyone {
		return nil
	}
	if need == admin && !c.s.auth.hasAdmin {
		return errAdminDisabled
	}
	c.who = c.s.auth.identify(c.credentials())
	switch {
	case c.who.role >= need:
		return nil
	case c.who.role == anyone || c.who.name == "anonymous":
		return errUnauthorized
	}
	return errForbidden
}

// credentials are an Authorization header or, where a WebSocket's handshake has none, its token in the shape of one:
// browsers can send a token as a subprotocol only.
func (c *call) credentials() []string {
	given := c.r.Header["Authorization"]
	if len(given) > 0 || !c.route.upgrades {
		return given
	}
	if token := subprotocolToken(c.r.Header); token != "" {
		return []string{"Bearer " + token}
	}
	return nil
}

// tokenPlace is where the token came in.
func (c *call) tokenPlace() string {
	if len(c.r.Header["Authorization"]) > 0 {
		return "Authorization"
	}
	return subprotocolHeader
}
