package guards

import (
	"context"
	"strconv"

	"github.com/redis/rueidis"
)

// A guarded value is a hash of two fields, token and value. The script compares and acts in one step. Tokens are below
// 2^53, so that Lua compares them exactly; they are stored as they came, never as Lua would print them.
//
// KEYS  1 the hash
// ARGV  1 token, 2 "get" or "set", 3 the new value
// Answers with 1 and the value, or with 0 for a stale token.
var fenced = rueidis.NewLuaScript(`
local mark = redis.call('HGET', KEYS[1], 'token')
if mark and tonumber(mark) > tonumber(ARGV[1]) then return {0, ''} end
redis.call('HSET', KEYS[1], 'token', ARGV[1])
if ARGV[2] == 'set' then redis.call('HSET', KEYS[1], 'value', ARGV[3]) end
return {1, redis.call('HGET', KEYS[1], 'value') or ''}
`)

// GetRedis reads a guarded value, "" where there is none yet, and raises its mark to the token. It returns [ErrStale]
// where a higher token has been here.
func GetRedis(ctx context.Context, client rueidis.Client, key string, token int64) (string, error) {
	return runFenced(ctx, client, key, token, "get", "")
}

// SetRedis writes a guarded value and raises its mark to the token, or returns [ErrStale] and changes nothing. The
// key must not expire or be evicted while anybody may still hold an old token: with it goes the mark.
func SetRedis(ctx context.Context, client rueidis.Client, key string, token int64, value string) error {
	_, err := runFenced(ctx, client, key, token, "set", value)
	return err
}

func runFenced(ctx context.Context, client rueidis.Client, key string, token int64, what, value string) (string, error) {
	got, err := fenced.Exec(ctx, client, []string{key}, []string{strconv.FormatInt(token, 10), what, value}).ToArray()
	if err != nil {
		return "", err
	}
	fresh, err := got[0].AsInt64()
	if err != nil {
		return "", err
	}
	if fresh == 0 {
		return "", ErrStale
	}
	return got[1].ToString()
}
