package service

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Handler answers inspections. It is safe for concurrent use. It owns nothing: who made
// the Inspectors closes them, after the server has stopped.
type Handler struct {
	cfg      Config
	products map[string]Inspector
	names    []string // rising
	tokens   [][sha256.Size]byte
	log      *slog.Logger
	memory   budget
	openapi  []byte
	draining atomic.Bool
}

// New returns a Handler for some products. Each has the name that its Info gives now; a
// bundle that replaces another later changes no route.
//
// It returns ErrConfig for settings that make no sense, no Inspector, two of one product,
// and names that are no segment of a path.
func New(cfg Config, inspectors ...Inspector) (*Handler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(inspectors) == 0 {
		return nil, fmt.Errorf("service: %w: there is no Inspector", ErrConfig)
	}
	h := &Handler{cfg: cfg, products: map[string]Inspector{}, log: cfg.Logger, memory: budget{most: cfg.Memory}}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	for i, in := range inspectors {
		if in == nil {
			return nil, fmt.Errorf("service: %w: Inspector %d of %d is nil", ErrConfig, i+1, len(inspectors))
		}
		name := in.Info().Product
		if err := checkProduct(name); err != nil {
			return nil, err
		}
		if h.products[name] != nil {
			return nil, fmt.Errorf("service: %w: two Inspectors are of product %q", ErrConfig, name)
		}
		h.products[name] = in
		h.names = append(h.names, name)
	}
	slices.Sort(h.names)
	for name := range cfg.Journals {
		if h.products[name] == nil {
			return nil, fmt.Errorf("service: %w: there is a journal of product %q and no Inspector", ErrConfig, name)
		}
	}
	h.cfg.Journals = maps.Clone(cfg.Journals)
	for _, t := range cfg.Tokens {
		h.tokens = append(h.tokens, sha256.Sum256([]byte(t)))
	}
	var err error
	if h.openapi, err = describe(h); err != nil {
		return nil, err
	}
	return h, nil
}

// Drain makes /readyz answer 503 from now on, so that a balancer sends no more requests.
// What comes all the same is answered as ever. Call it before http.Server.Shutdown.
func (h *Handler) Drain() { h.draining.Store(true) }

// exchange is one request and its answer.
type exchange struct {
	h     *Handler
	w     *recorder
	r     *http.Request
	event Event
	id    string
}

// ServeHTTP answers one request. A panic of an Inspector is logged with its stack and
// answered with 500.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	end := func(Event) {}
	ctx := r.Context()
	if h.cfg.Observer != nil {
		if c, e := h.cfg.Observer.Begin(ctx, r); c != nil {
			ctx = c
			if e != nil {
				end = e
			}
		}
	}
	ctx, cancel := context.WithDeadline(ctx, start.Add(h.cfg.Timeout))
	defer cancel()
	x := &exchange{h: h, w: &recorder{ResponseWriter: w, head: r.Method == http.MethodHead}, r: r.WithContext(ctx), id: requestID(r)}
	x.event = Event{ID: x.id, Method: methodOf(r), Start: start}
	x.w.Header().Set("X-Request-Id", x.id)
	x.w.Header().Set("X-Content-Type-Options", "nosniff")
	x.w.Header().Set("Cache-Control", "no-store")
	defer func() {
		if v := recover(); v != nil {
			h.log.ErrorContext(ctx, "panic", "id", x.id, "value", v, "stack", string(debug.Stack()))
			x.fail(failed(http.StatusInternalServerError, codeInternal, internalSentence).because(fmt.Errorf("panic: %v", v)))
		}
		x.done(end)
	}()
	x.serve()
}

// serve finds the route.
func (x *exchange) serve() {
	if x.r.ContentLength != 0 {
		// An answer that comes before the body is read waits for what net/http still reads of
		// it: a client that sends nothing must not hold the connection for ever.
		x.h.control(x.w).readBy(time.Now().Add(x.h.cfg.ReadTimeout))
	}
	rt, product, f := x.h.route(x.r.URL.EscapedPath())
	if f != nil {
		x.fail(f)
		return
	}
	x.event.Route = rt.pattern
	allowed := rt.method
	if rt.method == http.MethodGet {
		allowed += ", HEAD"
	}
	allowed += ", OPTIONS"
	switch m := x.r.Method; {
	case m == http.MethodOptions:
		x.w.Header().Set("Allow", allowed)
		x.w.WriteHeader(http.StatusNoContent)
		return
	case m != rt.method && !(m == http.MethodHead && rt.method == http.MethodGet):
		f := failed(http.StatusMethodNotAllowed, codeMethod, "%s does not take %s, but %s.", rt.pattern, clip(m), allowed)
		f.header = http.Header{"Allow": {allowed}}
		x.fail(f)
		return
	}
	if !rt.open && !x.h.authorized(x.r) {
		f := failed(http.StatusUnauthorized, codeToken, "This server wants a token: Authorization: Bearer TOKEN.")
		f.header = http.Header{"Www-Authenticate": {`Bearer realm="inspection"`}}
		x.fail(f)
		return
	}
	if f := rt.serve(x, product); f != nil {
		x.fail(f)
	}
}

// route is a path with what answers it.
type route struct {
	pattern string
	method  string
	open    bool // asks for no token
	serve   func(x *exchange, product string) *fault
}

// Patterns of routes, as OpenAPI writes them.
const (
	routePage     = "/"
	routeHealth   = "/healthz"
	routeReady    = "/readyz"
	routeInfo     = "/info"
	routeOpenAPI  = "/openapi.json"
	routeOne      = "/inspect"
	routeInspect  = "/inspect/{product}"
	routeFeedback = "/feedback/{product}"
)

func (h *Handler) routes() []route {
	all := []route{
		{routeHealth, http.MethodGet, true, func(x *exchange, _ string) *fault { return x.json(http.StatusOK, State{"ok"}) }},
		{routeReady, http.MethodGet, true, (*exchange).ready},
		{routeInfo, http.MethodGet, false, (*exchange).info},
		{routeOpenAPI, http.MethodGet, true, (*exchange).describe},
		{routeOne, http.MethodPost, false, (*exchange).inspectOne},
		{routeInspect, http.MethodPost, false, (*exchange).inspect},
	}
	if !h.cfg.NoPage {
		all = append(all, route{routePage, http.MethodGet, true, (*exchange).page})
	}
	if len(h.cfg.Journals) > 0 {
		all = append(all, route{routeFeedback, http.MethodPost, false, (*exchange).feedback})
	}
	return all
}

// route finds the route of a path as it was escaped, and the product in it.
func (h *Handler) route(escaped string) (route, string, *fault) {
	path := "/" + strings.TrimPrefix(escaped, "/") // http.StripPrefix may leave nothing
	for _, rt := range h.routes() {
		if rt.pattern == path {
			return rt, "", nil
		}
		before, ok := strings.CutSuffix(rt.pattern, "{product}")
		if !ok {
			continue
		}
		segment, ok := strings.CutPrefix(path, before)
		if !ok || segment == "" || strings.Contains(segment, "/") {
			continue
		}
		name, err := url.PathUnescape(segment)
		if err != nil {
			return route{}, "", failed(http.StatusBadRequest, codeRequest, "The path cannot be read.").because(err)
		}
		return rt, name, nil
	}
	return route{}, "", failed(http.StatusNotFound, codePath, "There is no such path here. %s describes those that there are.", routeOpenAPI)
}

// authorized compares the token with all of the server's, in a time that depends on
// neither.
func (h *Handler) authorized(r *http.Request) bool {
	if len(h.tokens) == 0 {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	given := sha256.Sum256([]byte(token))
	ok := 0
	for i := range h.tokens {
		ok |= subtle.ConstantTimeCompare(given[:], h.tokens[i][:])
	}
	return strings.EqualFold(scheme, "Bearer") && ok == 1
}

// requestID is that of the caller where it is harmless in headers and logs, else a new
// one.
func requestID(r *http.Request) string {
	const most = 128
	given := r.Header.Get("X-Request-Id")
	ok := given != "" && len(given) <= most
	for _, c := range []byte(given) {
		ok = ok && (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("-_.:+/=@", c) >= 0)
	}
	if ok {
		return given
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program where the system has no randomness
	return hex.EncodeToString(b[:])
}

// methodOf keeps the number of methods small that a log or a metric meets.
func methodOf(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions:
		return r.Method
	}
	return "other"
}

// fail answers with a problem, if nothing was sent yet.
func (x *exchange) fail(f *fault) {
	x.event.Code = f.code
	x.event.Status = f.status
	if f.cause != nil || f.status >= http.StatusInternalServerError {
		level := slog.LevelInfo
		if f.status == http.StatusInternalServerError {
			level = slog.LevelError
		}
		x.h.log.Log(x.r.Context(), level, "not answered as asked", "id", x.id, "code", f.code, "error", f.cause)
	}
	if x.w.status != 0 {
		return
	}
	for k, v := range f.header {
		x.w.Header()[k] = v
	}
	if f := x.json(f.status, Problem{ProblemError{f.code, f.message}, x.id}); f != nil {
		x.h.log.ErrorContext(x.r.Context(), "problem cannot be sent", "id", x.id, "error", f.cause)
	}
}

// json sends a value. It is made whole before anything is sent.
func (x *exchange) json(status int, v any) *fault {
	body, err := json.Marshal(v)
	if err != nil {
		return failed(http.StatusInternalServerError, codeInternal, internalSentence).because(err)
	}
	return x.send(status, "application/json", append(body, '\n'))
}

// send answers. An error of writing is kept for the log: there is nobody to tell. The
// answer is flushed within its deadline, which ends here: the connection may serve other
// handlers next.
func (x *exchange) send(status int, kind string, body []byte) *fault {
	x.w.Header().Set("Content-Type", kind)
	x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c := x.h.control(x.w)
	c.writeBy(time.Now().Add(x.h.cfg.WriteTimeout))
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // kept by the recorder
	if err := c.c.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) && x.w.err == nil {
		x.w.err = err
	}
	c.writeBy(time.Time{})
	return nil
}

// done ends the exchange: one line in the log, and the observers.
func (x *exchange) done(end func(Event)) {
	e := &x.event
	if e.Status == 0 {
		e.Status = x.w.status
	}
	if x.w.err != nil && e.Code == "" {
		e.Status, e.Code = statusGone, codeGone
	}
	e.Took = time.Since(e.Start)
	level := slog.LevelInfo
	switch {
	case e.Status >= http.StatusInternalServerError:
		level = slog.LevelWarn
	case e.Route == routeHealth || e.Route == routeReady:
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{slog.String("id", e.ID), slog.String("method", e.Method), slog.String("route", e.Route), slog.Int("status", e.Status), slog.Duration("took", e.Took)}
	if e.Product != "" {
		attrs = append(attrs, slog.String("product", e.Product))
	}
	if e.Code != "" {
		attrs = append(attrs, slog.String("code", e.Code))
	}
	if e.Bytes > 0 {
		attrs = append(attrs, slog.Int64("bytes", e.Bytes), slog.Int("pixels", e.Pixels))
	}
	for _, s := range e.Stages {
		attrs = append(attrs, slog.Duration(s.Name, s.Took))
	}
	if e.Judged {
		attrs = append(attrs, slog.Bool("reject", e.Reject), slog.Float64("score", e.Score))
	}
	if x.w.err != nil {
		attrs = append(attrs, slog.String("write_error", x.w.err.Error()))
	}
	x.h.log.LogAttrs(x.r.Context(), level, "request", attrs...)
	end(*e)
}

// stage runs a part of the work and keeps its time.
func (x *exchange) stage(name string, work func() *fault) *fault {
	start := time.Now()
	f := work()
	x.event.Stages = append(x.event.Stages, Stage{name, start, time.Since(start)})
	return f
}

func (x *exchange) ready(string) *fault {
	if x.h.draining.Load() {
		return x.json(http.StatusServiceUnavailable, State{"draining"})
	}
	return x.json(http.StatusOK, State{"ok"})
}

func (x *exchange) info(string) *fault {
	all := Information{Products: []Product{}}
	for _, name := range x.h.names {
		in := x.h.products[name]
		p := productOf(name, in.Info(), in.Stats())
		p.Feedback = x.h.cfg.Journals[name] != nil
		all.Products = append(all.Products, p)
	}
	return x.json(http.StatusOK, all)
}

func (x *exchange) describe(string) *fault {
	return x.send(http.StatusOK, "application/json", x.h.openapi)
}
