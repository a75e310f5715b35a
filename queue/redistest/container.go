package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/wait"

	"distributedlock/queue/embedded"
)

// ImageVariable names the environment variable with the image to run; the default is redis:7.
const ImageVariable = "TEST_REDIS_IMAGE"

var errNoEngine = errors.New("no Docker engine answers")

// startContainer runs Redis in a container that ends with the test. It returns errNoEngine if there is nothing to run
// it on; the variables of testcontainers-go say where to look.
func startContainer(t testing.TB) (*embedded.Server, error) {
	t.Helper()
	if err := engine(t.Context()); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoEngine, err)
	}
	image := os.Getenv(ImageVariable)
	if image == "" {
		image = "redis:7"
	}
	c, err := testcontainers.Run(t.Context(), image,
		testcontainers.WithLogger(log.TestLogger(t)),
		testcontainers.WithCmd("redis-server", "--bind", "0.0.0.0", "--protected-mode", "no",
			"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"),
		testcontainers.WithExposedPorts("6379/tcp"),
		testcontainers.WithWaitStrategy(wait.ForLog("Ready to accept connections"), wait.ForListeningPort("6379/tcp")),
	)
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		return nil, fmt.Errorf("container of %s: %w", image, err)
	}
	addr, err := c.PortEndpoint(t.Context(), "6379/tcp", "")
	if err != nil {
		return nil, fmt.Errorf("container of %s: %w", image, err)
	}
	return embedded.At("tcp", addr, "container "+image), nil
}

// engine asks the Docker engine whether it is well. testcontainers-go panics where it finds no way to reach one.
func engine(ctx context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, provider.Close()) }()
	return provider.Health(ctx)
}
