package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"distributedlock/queue"
	"distributedlock/queue/embedded"
	"distributedlock/service"
	"distributedlock/service/config"
	"distributedlock/transport"
)

// run is all of lockd: it returns when the context ends, and what went wrong if it ends otherwise.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	cfg, err := config.Load(args, getenv)
	switch {
	case errors.Is(err, flag.ErrHelp):
		config.Usage(stdout)
		return nil
	case err != nil:
		return err
	case cfg.Version:
		_, err := fmt.Fprintln(stdout, "lockd", version)
		return err
	case cfg.PrintConfig:
		cfg.Print(stdout)
		return nil
	case cfg.Healthcheck:
		return healthcheck(ctx, cfg)
	}
	if err := supported(cfg); err != nil {
		return err
	}
	log, err := newLogger(cfg, stderr)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.ListenAddr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer listener.Close() //nolint:errcheck // closed by the server before
	var private *embedded.Server
	if cfg.Dev {
		if private, err = embedded.Start(ctx); err != nil {
			return err
		}
		defer private.Stop() //nolint:errcheck // its state ends with the process
		if err := banner(stdout, cfg, listener.Addr(), private); err != nil {
			return err
		}
		var died context.CancelCauseFunc
		ctx, died = context.WithCancelCause(ctx)
		defer died(nil)
		go func() {
			<-private.Done()
			died(fmt.Errorf("the private redis ended: %w", private.Err()))
		}()
	}
	return serve(ctx, cfg, private, listener, log)
}

// serve wires the parts and runs them until the context ends.
func serve(ctx context.Context, cfg *config.Config, private *embedded.Server, listener net.Listener, log *zap.Logger) error {
	// A floor under the heap, never touched and so never in memory: with a live heap of a few megabytes alone, the
	// collector would run all the time.
	floor := make([]byte, 32<<20)
	defer runtime.KeepAlive(floor)
	metrics.ExposeMetadata(true) // TYPE lines, as Prometheus has them
	set := metrics.NewSet()
	met := service.NewMetrics(set)
	node := newNodeID()
	opts, err := storeOptions(cfg, private, node)
	if err != nil {
		return err
	}
	opts.Observe = met.Command
	opts.Moved = func(from, to string) {
		log.Warn("the Sentinels name another master", zap.String("was", from), zap.String("is", to))
	}
	store, err := openStore(ctx, opts, cfg.StartupTimeout, log)
	if err != nil {
		return err
	}
	defer store.Close()
	if private == nil {
		warn(ctx, store, log)
	}
	manager := service.New(store, managerOptions(cfg, store, listener.Addr(), met, log))
	met.Cluster(manager)
	set.NewGauge(fmt.Sprintf("distributed_locks_build_info{version=%q,goversion=%q}", version, goVersion()), func() float64 { return 1 })
	face := faceOptions(cfg, set, node, log)
	handler := transport.New(locks{manager}, face)
	server := transport.NewServer(handler, face)
	if err := serveTLS(server, cfg); err != nil {
		return err
	}
	log.Info("serving", zap.String("address", listener.Addr().String()), zap.String("node", node), zap.String("version", version))
	return runUntil(ctx, cfg.ShutdownTimeout, manager, handler, server, listener, log)
}

// warn logs what in Redis's set-up may cost locks.
func warn(ctx context.Context, store *queue.Store, log *zap.Logger) {
	advice, err := store.Advice(ctx)
	if err != nil {
		log.Warn("how redis is set up could not be read", zap.Error(err))
	}
	for _, a := range advice {
		log.Warn("redis: " + a)
	}
}

// runUntil serves until the context ends, and then goes in order: readiness turns false and the waiting are sent
// elsewhere, the answers under way are written, the loops end.
func runUntil(ctx context.Context, grace time.Duration, manager *service.Manager, handler *transport.Handler, server *http.Server,
	listener net.Listener, log *zap.Logger,
) error {
	loops, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var g errgroup.Group
	g.Go(func() error { return manager.Run(loops) })
	failed := make(chan error, 1)
	go func() {
		if server.TLSConfig != nil {
			failed <- server.ServeTLS(listener, "", "")
			return
		}
		failed <- server.Serve(listener)
	}()
	var err error
	select {
	case err = <-failed:
		err = fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
		log.Info("draining")
		manager.Drain()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		handler.Drain(end)
		if e := server.Shutdown(end); e != nil {
			log.Warn("connections were cut that did not end in time", zap.Error(e))
			_ = server.Close()
		}
		if e := <-failed; !errors.Is(e, http.ErrServerClosed) {
			err = e
		}
		if why := context.Cause(ctx); !errors.Is(why, context.Canceled) {
			err = errors.Join(err, why)
		}
	}
	handler.Close()
	stop()
	return errors.Join(err, g.Wait())
}

// openStore waits for Redis, for as long as the settings allow.
func openStore(ctx context.Context, opts queue.Options, within time.Duration, log *zap.Logger) (*queue.Store, error) {
	end := time.Now().Add(within)
	for {
		store, err := queue.Open(ctx, opts)
		if err == nil || errors.Is(err, queue.ErrSetup) {
			return store, err
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return nil, fmt.Errorf("redis at %s did not answer within %s (STARTUP_TIMEOUT): %w", opts.Redis.InitAddress, within, err)
		}
		log.Debug("redis does not answer yet", zap.Error(err))
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}
