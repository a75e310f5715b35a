package transport

import (
	"encoding/base64"
	"net/url"
	"strconv"
)

const (
	listDefault = 100
	listMost    = 1000
)

// list is GET /locks.
func (c *call) list() error {
	prefix, after, limit, err := c.listQuery()
	if err != nil {
		return err
	}
	locks, next, err := c.s.locks.List(c.r.Context(), prefix, after, limit)
	if err != nil {
		return err
	}
	w := &c.out
	w.open('{')
	w.key("locks")
	w.open('[')
	for i := range locks {
		w.open('{')
		w.status(&locks[i])
		w.close('}')
	}
	w.close(']')
	if next != "" {
		w.text("nextCursor", base64.RawURLEncoding.EncodeToString([]byte(next)))
	}
	w.close('}')
	return c.ok(typeJSON)
}

func (c *call) listQuery() (prefix, after string, limit int, err error) {
	query := c.query()
	prefix, limit = query.Get("prefix"), listDefault
	if prefix != "" {
		if fault := textFault(prefix, maxName); fault != "" {
			c.faults.add("prefix", fault)
		}
	}
	if query.Has("limit") {
		limit, err = strconv.Atoi(query.Get("limit"))
		if err != nil || limit < 1 || limit > listMost {
			c.faults.add("limit", "must be a whole number from 1 to "+strconv.Itoa(listMost))
		}
	}
	if cursor := query.Get("cursor"); cursor != "" {
		name, err := base64.RawURLEncoding.DecodeString(cursor)
		after = string(name)
		if err != nil || nameFault(after) != "" {
			c.faults.add("cursor", "is not a nextCursor of this call")
		}
	}
	return prefix, after, limit, c.faults.err()
}

// query reads the query. What is not there and what is not known counts for nothing.
func (c *call) query() url.Values {
	if c.r.URL.RawQuery == "" {
		return nil
	}
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		c.faults.add("query", "is not percent-encoded as it should be")
	}
	return values
}
