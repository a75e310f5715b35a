package transport

import _ "embed" // for the documents

// document is kept by hand; a test holds it against the live answers and the routes.
//
//go:embed openapi.json
var document []byte

// openapi is GET /openapi.json.
func (c *call) openapi() error {
	c.out = append(c.out, document...)
	return c.ok(typeJSON)
}

// asyncDocument is the WebSocket's, kept by hand too.
//
//go:embed asyncapi.json
var asyncDocument []byte

// asyncapi is GET /asyncapi.json.
func (c *call) asyncapi() error {
	c.out = append(c.out, asyncDocument...)
	return c.ok(typeJSON)
}
