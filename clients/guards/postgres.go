package guards

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrStale is returned to a holder whose lock has been granted to another since: the resource has seen a higher token.
// Nothing was read or written for it, and it must not try again with this token.
var ErrStale = errors.New("a higher fencing token has been seen")

// PostgresSchema makes the table in which a database remembers the highest token of each resource. Rows are never
// deleted: a row that is gone lets every token in again.
const PostgresSchema = `CREATE TABLE IF NOT EXISTS fences (
	resource text   PRIMARY KEY,
	token    bigint NOT NULL
)`

// The row stays locked until the transaction ends, so that nobody with a higher token comes in between the check and
// what follows it. Whoever waited for that looks at the token again (in READ COMMITTED, the default; in stricter
// levels the transaction fails, which is as safe).
const raiseFence = `INSERT INTO fences AS f (resource, token) VALUES ($1, $2)
	ON CONFLICT (resource) DO UPDATE SET token = EXCLUDED.token WHERE f.token <= EXCLUDED.token`

// Execer is a transaction of pgx, or what else runs a statement.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// FencePostgres is the first statement of every transaction that reads or writes a resource under its lock. It raises
// the resource's mark to the token, or returns [ErrStale] where the mark is higher: then roll back.
//
// It must be in the same transaction as what it guards: on a connection of its own it would guard nothing. A holder
// that is paused inside its transaction keeps the next one waiting for the row; set
// idle_in_transaction_session_timeout to no more than the lease, and PostgreSQL ends such a transaction.
func FencePostgres(ctx context.Context, tx Execer, resource string, token int64) error {
	done, err := tx.Exec(ctx, raiseFence, resource, token)
	if err != nil {
		return fmt.Errorf("fence %s: %w", resource, err)
	}
	if done.RowsAffected() == 0 {
		return ErrStale
	}
	return nil
}
