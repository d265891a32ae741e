// Package server is a server that inspects parts, as a function: bundles in, verdicts over HTTP
// out, with reload and a graceful stop. examples/inspectd calls it, and so does a program with metrics or
// routes of its own.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/inspect/service"
	"github.com/gotab/gotab/tensor"
)

// Extra is what a program adds to the server.
type Extra struct {
	// Observer is told of each request; nil for that of Settings.Service. Both are an error.
	Observer service.Observer
	// Mount adds routes beside those of the service; nil for none. It is called once, with all
	// products, before the server listens.
	Mount func(mux *http.ServeMux, products []service.Inspector) error
	// Open opens bundles; nil stands for Open of this package.
	Open Opener
}

// Main runs the server until SIGTERM or SIGINT and returns the exit code. SIGHUP reloads
// the bundles.
func Main(args []string, extra Extra) int {
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(stop, cancel)   // a second signal ends the process
	reload := make(chan os.Signal, 1) // one that waits is enough: it reads the newest files
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	s, err := Parse(args, os.Getenv, os.Stderr)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		fmt.Fprintln(os.Stderr, "inspectd:", err)
		return 2
	}
	log := slog.New(handlerOf(s.LogFormat, os.Stderr))
	if err := Run(stop, s, log, extra, reload); err != nil {
		log.Error("stopped", "error", err)
		return 1
	}
	return 0
}

func handlerOf(format string, w io.Writer) slog.Handler {
	if format == "json" {
		return slog.NewJSONHandler(w, nil)
	}
	return slog.NewTextHandler(w, nil)
}

// Run serves until ctx ends; then it answers what goes on, and returns. It reads a value
// from reload for each time that the bundles are to be read again; nil, or a channel that is closed, for
// never. log gets a line now and then, and one a request unless Settings.Service has another
// Logger for those; nil for nowhere. Settings that make no sense are an error that wraps [ErrConfig].
func Run(ctx context.Context, s Settings, log *slog.Logger, extra Extra, reload <-chan os.Signal) (err error) {
	if s, err = s.withTokens(); err != nil {
		return err
	}
	cfg := s.Service
	if cfg.Observer != nil && extra.Observer != nil {
		return fmt.Errorf("server: %w: Settings.Service and Extra both have an Observer, want one", ErrConfig)
	}
	if extra.Observer != nil {
		cfg.Observer = extra.Observer
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if cfg.Logger == nil {
		cfg.Logger = log
	}
	if err := tensor.UseThreads(s.Threads); err != nil {
		return fmt.Errorf("%s: %w", s.about("Threads"), err)
	}
	if extra.Open == nil {
		extra.Open = Open
	}
	var closers []io.Closer
	defer func() {
		for _, c := range closers {
			err = errors.Join(err, c.Close())
		}
	}()
	var products []Product
	if s.Journal {
		cfg.Journals = map[string]service.Journal{}
		maps.Copy(cfg.Journals, s.Service.Journals)
	}
	var inspectors []service.Inspector
	for _, path := range s.Bundles {
		start := time.Now()
		p, err := extra.Open(ctx, path, s)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		closers = append(closers, p)
		products = append(products, p)
		inspectors = append(inspectors, p)
		i := p.Info()
		if s.Journal && s.Service.Journals[i.Product] == nil {
			j, err := inspect.OpenJournal(inspect.JournalOf(path))
			if err != nil {
				return fmt.Errorf("%s: %w", s.about("Journal"), err)
			}
			closers = append(closers, j)
			cfg.Journals[i.Product] = j
		}
		log.Info("bundle in force", "product", i.Product, "bundle", i.Bundle, "detector", i.Detector, "threshold", i.Threshold, "rule", i.Rule, "file", path, "took", time.Since(start))
	}
	h, err := service.New(cfg, inspectors...)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", h)
	if extra.Mount != nil {
		if err := extra.Mount(mux, inspectors); err != nil {
			return err
		}
	}
	l, err := listen(s)
	if err != nil {
		return err
	}
	if len(cfg.Tokens) == 0 && !loopback(l.Addr()) {
		log.Warn("everybody who reaches this address may send images: "+s.word("TokenFile")+" asks for a token", "address", l.Addr().String())
	}
	log.Info("listening", "url", address(s, l.Addr()))
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: s.Service.ReadTimeout, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	return serve(ctx, s, srv, l, h.Drain, log, reload, func() { reloadAll(ctx, products, log) })
}

// serve answers what comes to l until ctx ends, and then what goes on. When it returns nothing is open.
func serve(ctx context.Context, s Settings, srv *http.Server, l net.Listener, drain func(), log *slog.Logger, reload <-chan os.Signal, again func()) (err error) {
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() { err = errors.Join(err, srv.Close()) }() // connections, where the listener broke
	for {
		select {
		case _, open := <-reload:
			if !open {
				reload = nil
				continue
			}
			again()
			continue
		case err := <-served: // the listener broke
			return fmt.Errorf("serve: %w", err)
		case <-ctx.Done():
		}
		break
	}
	log.Info("stopping: what goes on is answered")
	drain()
	if s.Delay > 0 {
		t := time.NewTimer(s.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case err := <-served:
			return fmt.Errorf("serve: %w", err)
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.StopTimeout)
	defer cancel()
	if err := srv.Shutdown(last); err != nil {
		return fmt.Errorf("not all was answered within %v: %w", s.StopTimeout, err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	log.Info("stopped: all is answered")
	return nil
}

// listen opens the port, with TLS where there is a certificate.
func listen(s Settings) (net.Listener, error) {
	var cert tls.Certificate
	if s.Cert != "" {
		var err error
		if cert, err = tls.LoadX509KeyPair(s.Cert, s.Key); err != nil {
			return nil, fmt.Errorf("%s, %s: %w", s.about("Cert"), s.word("Key"), err)
		}
	}
	l, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", s.about("Listen"), s.Listen, err)
	}
	if s.Cert == "" {
		return l, nil
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}), nil
}

func loopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}

// address is where the page is found.
func address(s Settings, a net.Addr) string {
	scheme := "http"
	if s.Cert != "" {
		scheme = "https"
	}
	host := a.String()
	if t, ok := a.(*net.TCPAddr); ok && t.IP.IsUnspecified() {
		host = net.JoinHostPort("localhost", fmt.Sprint(t.Port))
	}
	return scheme + "://" + host + "/"
}

// reloadAll reads every bundle again. One that is broken changes nothing.
func reloadAll(ctx context.Context, products []Product, log *slog.Logger) {
	for _, p := range products {
		start := time.Now()
		changed, err := p.Reload(ctx)
		i := p.Info()
		switch {
		case err != nil && changed:
			log.Error("the new bundle is in force; the one before could not be closed", "product", i.Product, "bundle", i.Bundle, "error", err)
		case err != nil:
			log.Error("the bundle was not replaced: the one before stays in force", "product", i.Product, "bundle", i.Bundle, "error", err)
		case changed:
			log.Info("bundle in force", "product", i.Product, "bundle", i.Bundle, "threshold", i.Threshold, "rule", i.Rule, "took", time.Since(start))
		default:
			log.Info("the file holds the bundle that is in force", "product", i.Product, "bundle", i.Bundle)
		}
	}
}
