package transport

import _ "embed" // for the document

// document is kept by hand; a test holds it against the live answers and the routes.
//
//go:embed openapi.json
var document []byte

// openapi is GET /openapi.json.
func (c *call) openapi() error {
	c.out = append(c.out, document...)
	return c.ok(typeJSON)
}
