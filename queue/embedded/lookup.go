package embedded

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// minMajor is the oldest Redis whose scripts may carry flags, which ours do.
const minMajor = 7

// installed is a redis-server that was found.
type installed struct {
	path    string
	version string // as "7.0.15"
}

// versionPattern reads the first line of `redis-server --version`, Valkey's too, which says "Valkey server v=8.0.1".
var versionPattern = regexp.MustCompile(`\bv=((\d+)\.\d+\.\d+)`)

// lookup finds the redis-server on PATH. Its errors wrap ErrNoServer, whatever is wrong with it, but for the context's.
func lookup(ctx context.Context) (installed, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return installed{}, fmt.Errorf("%w: %w", ErrNoServer, err)
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if ctx.Err() != nil {
		return installed{}, context.Cause(ctx)
	}
	if err != nil {
		return installed{}, fmt.Errorf("%w: %s --version: %w", ErrNoServer, path, err)
	}
	match := versionPattern.FindSubmatch(out)
	if match == nil {
		return installed{}, fmt.Errorf("%w: %s --version says %.80q", ErrNoServer, path, out)
	}
	if major, err := strconv.Atoi(string(match[2])); err != nil || major < minMajor {
		return installed{}, fmt.Errorf("%w: %s is version %s", ErrNoServer, path, match[1])
	}
	return installed{path: path, version: string(match[1])}, nil
}
