package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/inspect/server"
	"github.com/gotab/gotab/inspect/service"
)

// child is the environment's name that makes this program the server of fakes.
const child = "INSPECTD_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(child) == "" {
		os.Exit(m.Run())
	}
	open := make(chan struct{})
	go func() { // the parent's word
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(open)
	}()
	os.Exit(server.Main(os.Args[1:], server.Extra{Open: func(_ context.Context, path string, _ server.Settings) (server.Product, error) {
		return openFake(path, func(context.Context) error {
			fmt.Println("came")
			<-open
			return nil
		})
	}}))
}

// fake is a product whose bundle is a file that says "PRODUCT BUNDLE".
type fake struct {
	path   string
	wait   func(context.Context) error // before a verdict; nil: not
	mu     sync.Mutex
	name   string
	bundle string
	closed bool
}

var errBroken = errors.New("the file is broken")

func readFake(path string) (name, bundle string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	name, bundle, ok := strings.Cut(string(data), " ")
	if !ok {
		return "", "", errBroken
	}
	return name, bundle, nil
}

func openFake(path string, wait func(context.Context) error) (*fake, error) {
	name, bundle, err := readFake(path)
	return &fake{path: path, wait: wait, name: name, bundle: bundle}, err
}

func (f *fake) Inspect(ctx context.Context, img image.Image) (inspect.Verdict, error) {
	if f.wait != nil {
		if err := f.wait(ctx); err != nil {
			return inspect.Verdict{}, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return inspect.Verdict{}, inspect.ErrClosed
	}
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	v := inspect.Verdict{Product: f.name, Bundle: f.bundle, Scale: heatmap.Scale{High: 1},
		Map: downstream.Map{W: w, H: h, Data: make([]float32, w*h), Rect: dataset.Rect{MaxX: float64(w), MaxY: float64(h)}}}
	v.Score, v.Threshold = 1, 2
	return v, nil
}

func (f *fake) Info() inspect.Info {
	f.mu.Lock()
	defer f.mu.Unlock()
	return inspect.Info{Product: f.name, Bundle: f.bundle, Threshold: 2}
}

func (f *fake) Stats() inspect.Stats { return inspect.Stats{} }

func (f *fake) Reload(context.Context) (bool, error) {
	_, bundle, err := readFake(f.path)
	if err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := bundle != f.bundle
	f.bundle = bundle
	return changed, nil
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

// write puts a bundle's text in place.
func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func picture(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 20, 10))))
	return b.Bytes()
}

// post sends a picture and returns the answer.
func post(url string, pic []byte) (status int, a service.Answer, err error) {
	resp, err := http.Post(url+"inspect", "image/png", bytes.NewReader(pic))
	if err != nil {
		return 0, a, err
	}
	err = json.NewDecoder(resp.Body).Decode(&a)
	return resp.StatusCode, a, errors.Join(err, resp.Body.Close())
}

// lines reads a log and hands out what the lines say.
type lines struct {
	t   *testing.T
	all chan map[string]any
}

func newLines(t *testing.T, r io.Reader) *lines {
	l := &lines{t, make(chan map[string]any, 1000)}
	go func() {
		defer close(l.all)
		for s := bufio.NewScanner(r); s.Scan(); {
			m := map[string]any{}
			if json.Unmarshal(s.Bytes(), &m) != nil {
				m["msg"] = s.Text()
			}
			l.all <- m
		}
	}()
	return l
}

// until returns the first line with such a message.
func (l *lines) until(msg string) map[string]any {
	l.t.Helper()
	var seen []any
	for m := range l.all {
		if strings.Contains(fmt.Sprint(m["msg"]), msg) {
			return m
		}
		seen = append(seen, m)
	}
	l.t.Fatalf("the log ended without %q: %v", msg, seen)
	return nil
}

// process is a server in a child.
type process struct {
	cmd  *exec.Cmd
	in   io.Closer
	came *lines
	log  *lines
	url  string
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0], append([]string{"-listen", "127.0.0.1:0", "-log", "json"}, args...)...)}
	p.cmd.Env = append(os.Environ(), child+"=1")
	in, err := p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	log, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	p.in, p.came, p.log = in, newLines(t, out), newLines(t, log)
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill() // it has ended already, where this fails
			_ = p.cmd.Wait()
		}
	})
	p.url = fmt.Sprint(p.log.until("listening")["url"])
	return p
}

// SIGTERM under load: all that the server has taken is answered, and it ends without an
// error.
func TestTermAnswersWhatGoesOn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gear")
	write(t, file, "gear 1")
	p := start(t, "-stop-delay", "1ms", "-bundle", file)
	const many = 20
	pic := picture(t)
	answers := make(chan error, many)
	for range many {
		go func() {
			status, a, err := post(p.url, pic)
			if err == nil && (status != 200 || a.Product != "gear" || a.Score != 1) {
				err = fmt.Errorf("status %d, %+v", status, a)
			}
			answers <- err
		}()
	}
	for range many {
		p.came.until("came")
	}
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.log.until("stopping")
	require.NoError(t, p.in.Close()) // the pictures may be judged
	for range many {
		require.NoError(t, <-answers)
	}
	p.log.until("stopped: all is answered")
	require.NoError(t, p.cmd.Wait())
}

// What cannot be answered in time ends with an error, not with a server that hangs.
func TestTermDoesNotWaitForEver(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gear")
	write(t, file, "gear 1")
	p := start(t, "-bundle", file, "-stop-timeout", "10ms")
	failed := make(chan error, 1)
	pic := picture(t)
	go func() {
		_, _, err := post(p.url, pic)
		failed <- err
	}()
	p.came.until("came")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	m := p.log.until("stopped")
	require.Contains(t, m["error"], "not all was answered within 10ms")
	require.Error(t, <-failed)
	var exit *exec.ExitError
	require.ErrorAs(t, p.cmd.Wait(), &exit)
	require.Equal(t, 1, exit.ExitCode())
}

func TestHangupReadsTheBundlesAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gear")
	write(t, file, "gear 1")
	p := start(t, file)
	require.NoError(t, p.in.Close())
	bundle := func() string {
		_, a, err := post(p.url, picture(t))
		require.NoError(t, err)
		return a.Bundle
	}
	require.Equal(t, "1", bundle())
	hangup := func(text, says string) map[string]any {
		write(t, file, text)
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
		return p.log.until(says)
	}
	require.Equal(t, "2", hangup("gear 2", "bundle in force")["bundle"])
	require.Equal(t, "2", bundle())
	m := hangup("rubbish", "the one before stays in force")
	require.Equal(t, "ERROR", m["level"])
	require.Equal(t, "gear", m["product"])
	require.Contains(t, m["error"], "broken")
	require.Equal(t, "2", bundle(), "the old one goes on")
	hangup("gear 2", "the file holds the bundle that is in force")
	require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
	p.log.until("stopped: all is answered")
	require.NoError(t, p.cmd.Wait())
}

func TestServersThatDoNotStart(t *testing.T) {
	dir := t.TempDir()
	file, broken, token, short := filepath.Join(dir, "gear"), filepath.Join(dir, "broken"), filepath.Join(dir, "token"), filepath.Join(dir, "short")
	write(t, file, "gear 1")
	write(t, broken, "rubbish")
	write(t, token, "# nobody\n\n")
	write(t, short, "abc\n")
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "-bundle FILE"},
		{[]string{file, file}, "two Inspectors are of product"},
		{[]string{broken}, "the file is broken"},
		{[]string{filepath.Join(dir, "nothing")}, "no such file"},
		{[]string{"-listen", "nowhere:here", file}, "-listen nowhere:here"},
		{[]string{"-token-file", token, file}, "no token"},
		{[]string{"-token-file", short, file}, "shorter than 16"},
		{[]string{"-token-file", dir, file}, "-token-file"},
		{[]string{"-cert", "x", file}, "belong together"},
		{[]string{"-cert", "x", "-key", "y", file}, "-cert, -key"},
		{[]string{"-log", "xml", file}, "want text or json"},
		{[]string{"-max-bytes", "0", file}, "MaxBytes"},
		{[]string{"-queue", "0", file}, "Queue"},
		{[]string{"-stop-timeout", "0s", file}, "-stop-timeout"},
		{[]string{"-threads", "-1", file}, "-threads"},
	} {
		s, err := server.Parse(c.args, func(string) string { return "" }, io.Discard)
		if err == nil {
			err = server.Run(t.Context(), s, slog.New(slog.DiscardHandler), server.Extra{Open: func(_ context.Context, path string, _ server.Settings) (server.Product, error) {
				return openFake(path, nil)
			}}, nil)
		}
		require.ErrorContains(t, err, c.says, "%v", c.args)
	}
	require.Equal(t, 2, server.Main(nil, server.Extra{}))
	require.Equal(t, 1, server.Main([]string{broken}, server.Extra{}))
	require.Equal(t, 0, server.Main([]string{"-help"}, server.Extra{}))
}

// Settings that are made in Go are checked as flags are, and errors speak of fields.
func TestSettingsThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	empty, short := filepath.Join(dir, "empty"), filepath.Join(dir, "short")
	write(t, empty, "# nobody\n")
	write(t, short, "abc\n")
	good := server.Default()
	good.Bundles = []string{"gear"}
	require.NoError(t, good.Validate())
	for says, set := range map[string]func(*server.Settings){
		"Bundles is empty":             func(s *server.Settings) { s.Bundles = nil },
		"Listen is empty":              func(s *server.Settings) { s.Listen = "" },
		"Cert and Key belong together": func(s *server.Settings) { s.Key = "k" },
		"LogFormat is \"\"":            func(s *server.Settings) { s.LogFormat = "" },
		"StopTimeout is 0s":            func(s *server.Settings) { s.StopTimeout = 0 },
		"Delay -1ns":                   func(s *server.Settings) { s.Delay = -1 },
		"Threads is -1":                func(s *server.Settings) { s.Threads = -1 },
		"TokenFile: open ":             func(s *server.Settings) { s.TokenFile = filepath.Join(dir, "none") },
		"has no token":                 func(s *server.Settings) { s.TokenFile = empty },
		"shorter than 16":              func(s *server.Settings) { s.TokenFile = short },
		"MaxBytes":                     func(s *server.Settings) { s.Service.MaxBytes = 0 },
		"Queue":                        func(s *server.Settings) { s.Inspect.Queue = 0 },
		"both have an Observer":        func(s *server.Settings) { s.Service.Observer = &counter{} },
	} {
		s := good
		set(&s)
		err := server.Run(t.Context(), s, nil, server.Extra{Observer: &counter{}, Open: func(context.Context, string, server.Settings) (server.Product, error) {
			t.Error("opened with settings that make no sense: " + says)
			return nil, errBroken
		}}, nil)
		require.ErrorIs(t, err, server.ErrConfig, says)
		require.ErrorContains(t, err, says)
		require.NotRegexp(t, " -[a-z]", err.Error(), "no flags")
	}
	s := good
	s.Listen = "nowhere:here"
	require.ErrorContains(t, server.Run(t.Context(), s, nil, server.Extra{Open: func(_ context.Context, path string, _ server.Settings) (server.Product, error) {
		return &fake{name: path}, nil
	}}, nil), "server: Listen nowhere:here: ")
}

// A file of tokens counts for settings that are made in Go, too, and so does the observer of the service.
func TestTokensAndObserverOfSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	write(t, file, "0123456789abcdef\n")
	c := &counter{}
	s := server.Default()
	s.Listen, s.TokenFile, s.Bundles, s.Service.Observer = "127.0.0.1:0", file, []string{"gear"}, c
	r, w := io.Pipe()
	s.Service.Logger = slog.New(slog.DiscardHandler)
	log := newLines(t, r)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- server.Run(ctx, s, slog.New(slog.NewJSONHandler(w, nil)), server.Extra{Open: func(_ context.Context, path string, _ server.Settings) (server.Product, error) {
			return &fake{name: path}, nil
		}}, nil)
		_ = w.Close() // never fails
	}()
	url := fmt.Sprint(log.until("listening")["url"])
	ask := func(token string) int {
		req, err := http.NewRequest("POST", url+"inspect", bytes.NewReader(picture(t)))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "image/png")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	require.Equal(t, 401, ask(""))
	require.Equal(t, 200, ask("0123456789abcdef"))
	cancel()
	log.until("stopped: all is answered")
	require.NoError(t, <-done)
	require.Equal(t, 2, c.n)
}

func TestTheEnvironmentSetsFlags(t *testing.T) {
	env := map[string]string{
		"INSPECTD_BUNDLE": "a" + string(filepath.ListSeparator) + "b", "INSPECTD_MAX_BYTES": "1000", "INSPECTD_LISTEN": ":1", "INSPECTD_READ_TIMEOUT": "2s", "INSPECTD_NO_PAGE": "true",
	}
	s, err := server.Parse([]string{"-listen", ":2"}, func(k string) string { return env[k] }, io.Discard)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, s.Bundles)
	require.Equal(t, int64(1000), s.Service.MaxBytes)
	require.Equal(t, ":2", s.Listen, "what is typed counts")
	require.Equal(t, 2*time.Second, s.Service.ReadTimeout)
	require.True(t, s.Service.NoPage)

	s, err = server.Parse([]string{"-bundle", "c", "d"}, func(k string) string { return env[k] }, io.Discard)
	require.NoError(t, err)
	require.Equal(t, []string{"c", "d"}, s.Bundles)
	env["INSPECTD_QUEUE"] = "many"
	_, err = server.Parse([]string{"c"}, func(k string) string { return env[k] }, io.Discard)
	require.ErrorContains(t, err, `INSPECTD_QUEUE is "many"`)

	file := filepath.Join(t.TempDir(), "tokens")
	write(t, file, "# line 1 until spring\n0123456789abcdef\r\n\n  fedcba9876543210\n")
	s, err = server.Parse([]string{"-token-file", file, "c"}, func(string) string { return "" }, io.Discard)
	require.NoError(t, err)
	require.Equal(t, []string{"0123456789abcdef", "fedcba9876543210"}, s.Service.Tokens)
}

// counter is an observer.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) Begin(ctx context.Context, _ *http.Request) (context.Context, func(service.Event)) {
	return ctx, func(service.Event) {
		c.mu.Lock()
		c.n++
		c.mu.Unlock()
	}
}

// A program of one's own adds routes and observers, and stops the server by a context.
func TestExtra(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gear")
	write(t, file, "gear 1")
	s, err := server.Parse([]string{"-listen", "127.0.0.1:0", "-journal", file}, func(string) string { return "" }, io.Discard)
	require.NoError(t, err)
	r, w := io.Pipe()
	log := newLines(t, r)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := &counter{}
	var f *fake
	done := make(chan error, 1)
	go func() {
		done <- server.Run(ctx, s, slog.New(slog.NewJSONHandler(w, nil)), server.Extra{
			Observer: c,
			Mount: func(mux *http.ServeMux, products []service.Inspector) error {
				mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, len(products)) })
				return nil
			},
			Open: func(_ context.Context, path string, _ server.Settings) (server.Product, error) {
				var err error
				f, err = openFake(path, nil)
				return f, err
			},
		}, nil)
		_ = w.Close() // never fails
	}()
	url := fmt.Sprint(log.until("listening")["url"])
	status, _, err := post(url, picture(t))
	require.NoError(t, err)
	require.Equal(t, 200, status)
	resp, err := http.Get(url + "metrics")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "1", string(body))
	resp, err = http.Post(url+"feedback/gear", "application/json", strings.NewReader(`{"label":"good","request_id":"r1","bundle":"1","scorer":"s","decision":"reject","score":3,"threshold":2}`))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 200, resp.StatusCode)
	cancel()
	log.until("stopped: all is answered")
	require.NoError(t, <-done)
	entries, torn, err := inspect.OpenEntries(t.Context(), inspect.JournalOf(file))
	require.NoError(t, err)
	require.Zero(t, torn)
	require.Len(t, entries, 1)
	require.Equal(t, "r1", entries[0].Picture)
	require.True(t, entries[0].Reject)
	require.True(t, f.closed)
	require.Equal(t, 2, c.n)
}
