package guards_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/redis/rueidis"

	"distributedlock/clients/guards"
)

// counter is a number in some resource, which holders of a lock read and write.
type counter interface {
	read(ctx context.Context, token int64) (int, error)
	write(ctx context.Context, token int64, n int) error
	close()
}

// addresses are where the resources are.
type addresses struct{ Postgres, Redis, HTTP string }

// open makes a counter: in which resource, by which name, and whether with the guard.
func open(ctx context.Context, at addresses, kind, name string, guarded bool) (counter, error) {
	switch kind {
	case "postgres":
		conn, err := pgx.Connect(ctx, at.Postgres)
		return &rows{conn, name, guarded}, err
	case "redis":
		client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{at.Redis}, DisableCache: true, ForceSingleClient: true})
		return &values{client, name, guarded}, err
	default:
		path := "/open/"
		if guarded {
			path = "/guarded/"
		}
		return &pages{at.HTTP + path + name, guarded}, nil
	}
}

// schema is the tables of rows.
const schema = guards.PostgresSchema + `; CREATE TABLE counters (name text PRIMARY KEY, n int NOT NULL)`

// rows is a counter in PostgreSQL.
type rows struct {
	conn    *pgx.Conn
	name    string
	guarded bool
}

func (r *rows) fence(ctx context.Context, tx pgx.Tx, token int64) error {
	if !r.guarded {
		return nil
	}
	return guards.FencePostgres(ctx, tx, r.name, token)
}

func (r *rows) read(ctx context.Context, token int64) (n int, err error) {
	err = pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
		if err := r.fence(ctx, tx, token); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, "SELECT n FROM counters WHERE name = $1", r.name).Scan(&n)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return n, err
}

func (r *rows) write(ctx context.Context, token int64, n int) error {
	return pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
		if err := r.fence(ctx, tx, token); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO counters VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET n = EXCLUDED.n", r.name, n)
		return err
	})
}

func (r *rows) close() { _ = r.conn.Close(context.Background()) }

// values is a counter in Redis.
type values struct {
	client  rueidis.Client
	name    string
	guarded bool
}

func (v *values) read(ctx context.Context, token int64) (int, error) {
	var s string
	var err error
	if v.guarded {
		s, err = guards.GetRedis(ctx, v.client, v.name, token)
	} else if s, err = v.client.Do(ctx, v.client.B().Get().Key(v.name).Build()).ToString(); rueidis.IsRedisNil(err) {
		err = nil
	}
	if err != nil || s == "" {
		return 0, err
	}
	return strconv.Atoi(s)
}

func (v *values) write(ctx context.Context, token int64, n int) error {
	if v.guarded {
		return guards.SetRedis(ctx, v.client, v.name, token, strconv.Itoa(n))
	}
	return v.client.Do(ctx, v.client.B().Set().Key(v.name).Value(strconv.Itoa(n)).Build()).Error()
}

func (v *values) close() { v.client.Close() }

// pages is a counter in an HTTP service.
type pages struct {
	url     string
	guarded bool
}

func (p *pages) do(ctx context.Context, method string, token int64, body string) (string, error) {
	q, err := http.NewRequestWithContext(ctx, method, p.url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	if p.guarded {
		q.Header.Set(guards.Header, strconv.FormatInt(token, 10))
	}
	q.Close = true
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return "", err
	case res.StatusCode == http.StatusPreconditionFailed:
		return "", guards.ErrStale
	case res.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%s: %s", res.Status, text)
	}
	return string(text), nil
}

func (p *pages) read(ctx context.Context, token int64) (int, error) {
	s, err := p.do(ctx, http.MethodGet, token, "")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(s)
}

func (p *pages) write(ctx context.Context, token int64, n int) error {
	_, err := p.do(ctx, http.MethodPut, token, strconv.Itoa(n))
	return err
}

func (p *pages) close() {}
