package service_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/inspect/service"
)

// ends sends the event of each request on.
type ends chan service.Event

func (o ends) Begin(ctx context.Context, _ *http.Request) (context.Context, func(service.Event)) {
	return ctx, func(e service.Event) { o <- e }
}

// gate is an Inspector that says when a picture has come and waits until it may go on, or
// until the request ends.
type gate struct {
	fake
	came, goOn chan struct{}
}

func newGate() *gate {
	g := &gate{fake: fake{name: "gear"}, came: make(chan struct{}, 100), goOn: make(chan struct{})}
	g.first = func(ctx context.Context) error {
		g.came <- struct{}{}
		select {
		case <-g.goOn:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return g
}

// pipes is a listener whose connections have no buffer, so that who does not read stops
// who writes.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// dial starts a server and returns a connection to it.
func dial(t *testing.T, h http.Handler) net.Conn {
	t.Helper()
	return dialThrough(t, h, func(c net.Conn) net.Conn { return c })
}

// dialThrough is dial with something around the server's end.
func dialThrough(t *testing.T, h http.Handler, around func(net.Conn) net.Conn) net.Conn {
	t.Helper()
	l := &pipes{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	srv := &http.Server{Handler: h}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	client, server := net.Pipe()
	l.conns <- around(server)
	t.Cleanup(func() {
		require.NoError(t, client.Close())
		require.NoError(t, srv.Close())
		require.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	return client
}

func TestASlowClientIsToldSo(t *testing.T) {
	ended := make(ends, 1)
	c := dial(t, handler(t, func(c *service.Config) { c.ReadTimeout, c.Observer = 20*time.Millisecond, ended }))
	_, err := io.WriteString(c, "POST /inspect HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nonly this")
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestTimeout, resp.StatusCode)
	require.True(t, resp.Close, "the rest of the body would be taken for the next request")
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), `"slow_client"`)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "slow_client", (<-ended).Code)
}

// Answers that come before the body is read do not wait for it beyond ReadTimeout.
func TestABodyThatNeverComesHoldsNothing(t *testing.T) {
	for _, request := range []string{"POST /inspect", "GET /healthz", "POST /nowhere", "PUT /inspect"} {
		c := dial(t, handler(t, func(c *service.Config) { c.ReadTimeout, c.Tokens = 20*time.Millisecond, []string{"0123456789abcdef"} }))
		_, err := io.WriteString(c, request+" HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n")
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err, request)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err, request)
		require.NoError(t, resp.Body.Close())
	}
}

func TestAClientThatDoesNotReadIsGivenUp(t *testing.T) {
	ended := make(ends, 1)
	c := dial(t, handler(t, func(c *service.Config) { c.WriteTimeout, c.Observer = 20*time.Millisecond, ended }))
	noise := image.NewRGBA(image.Rect(0, 0, 100, 100)) // so that its map is larger than the server's buffers
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range noise.Pix {
		noise.Pix[i] = uint8(rng.Uint32())
	}
	pic := encoded(t, noise)
	_, err := fmt.Fprintf(c, "POST /inspect?map=png HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(pic), pic)
	require.NoError(t, err)
	e := <-ended
	require.Equal(t, "client_gone", e.Code)
	require.Equal(t, 499, e.Status)
	require.True(t, e.Judged)
}

// deadlines keeps what was set on a connection for writing.
type deadlines struct {
	net.Conn
	mu  sync.Mutex
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.set = append(d.set, t)
	return d.Conn.SetWriteDeadline(t)
}

// The deadline of one answer must not end the next request on the connection, which may be
// another handler's.
func TestDeadlinesEndWithTheirRequest(t *testing.T) {
	var d *deadlines
	c := dialThrough(t, handler(t, nil), func(c net.Conn) net.Conn {
		d = &deadlines{Conn: c}
		return d
	})
	in := bufio.NewReader(c)
	start := time.Now()
	for range 3 {
		_, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		resp, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	answers := 0
	for i, at := range d.set {
		if at.IsZero() {
			continue // net/http ends deadlines of its own accord, too
		}
		answers++
		require.True(t, at.After(start))
		if answers < 3 { // the last may not be ended yet
			require.True(t, d.set[i+1].IsZero(), "the answer ends its deadline")
		}
	}
	require.Equal(t, 3, answers)
}

func TestAClientThatGoesEndsItsRequest(t *testing.T) {
	ended, g := make(ends, 1), newGate()
	srv := httptest.NewServer(handler(t, func(c *service.Config) { c.Observer = ended }, g))
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", srv.URL+"/inspect", bytes.NewReader(encoded(t, part(40, 30, false))))
	require.NoError(t, err)
	failed := make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			err = errors.Join(errors.New("it was answered"), resp.Body.Close())
		}
		failed <- err
	}()
	<-g.came
	cancel()
	require.ErrorIs(t, <-failed, context.Canceled)
	e := <-ended
	require.Equal(t, 499, e.Status)
	require.Equal(t, "client_gone", e.Code)
	require.False(t, e.Judged)
}

// A body that ends early because the client went.
func TestAClientThatGoesWhileItSends(t *testing.T) {
	ended := make(ends, 1)
	h := handler(t, func(c *service.Config) { c.Observer = ended })
	l := httptest.NewServer(h)
	defer l.Close()
	c, err := net.Dial("tcp", l.Listener.Addr().String())
	require.NoError(t, err)
	_, err = io.WriteString(c, "POST /inspect HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this")
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.Contains(t, []string{"bad_request", "client_gone"}, (<-ended).Code)
}

func TestTheDeadlineIsTold(t *testing.T) {
	h := handler(t, func(c *service.Config) { c.Timeout, c.ReadTimeout = 10*time.Millisecond, 10*time.Millisecond }, newGate())
	requireProblem(t, call(h, "POST", "/inspect", bytes.NewReader(encoded(t, part(40, 30, false)))), 504, "deadline")
}

// A caller's middleware may end a request as well.
func TestTheDeadlineOfTheCallerIsTold(t *testing.T) {
	g := newGate()
	h := handler(t, nil, g)
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequest("POST", "/inspect", bytes.NewReader(encoded(t, part(40, 30, false)))).WithContext(ctx)
	go func() {
		<-g.came
		cancel()
	}()
	requireProblem(t, serve(h, r), 499, "client_gone")
}

// slow is a body whose connection has no deadlines: it goes on when it is told, and ends
// the context in between.
type slow struct {
	cancel context.CancelFunc
	reads  int
}

func (s *slow) Read(p []byte) (int, error) {
	if s.reads++; s.reads == 2 {
		s.cancel()
	}
	p[0] = 'x'
	return 1, nil
}

func TestReadingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &slow{cancel: cancel}
	r := httptest.NewRequest("POST", "/inspect", s).WithContext(ctx)
	requireProblem(t, serve(handler(t, nil), r), 499, "client_gone")
	require.Equal(t, 2, s.reads)
}

func TestMemoryIsBounded(t *testing.T) {
	g := newGate()
	pic := encoded(t, part(40, 30, false))
	h := handler(t, func(c *service.Config) {
		c.MaxBytes, c.MaxPixels = 1<<20, 1300
		c.Memory = 4<<20 + 32*1300 // one of unknown length, or many small ones
	}, g)
	const many = 40
	codes := make(chan int, many)
	post := func(body io.Reader) *httptest.ResponseRecorder {
		return call(h, "POST", "/inspect", body)
	}
	for range many {
		go func() { codes <- post(bytes.NewReader(pic)).Code }()
	}
	for range many {
		<-g.came
	}
	// All are in work, and a body whose length is not known would need more than is left.
	w := post(io.MultiReader(bytes.NewReader(pic)))
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	requireProblem(t, w, 503, "busy")
	close(g.goOn)
	for range many {
		require.Equal(t, 200, <-codes)
	}
	// All was given back.
	require.Equal(t, 200, post(io.MultiReader(bytes.NewReader(pic))).Code)
	requireProblem(t, post(bytes.NewReader([]byte("no picture"))), 422, "not_a_picture")
	require.Equal(t, 200, post(io.MultiReader(bytes.NewReader(pic))).Code)
}

// late is an Inspector that has a picture until it lets go of it, also where the request has
// ended.
type late struct {
	fake
	has chan struct{}
	got func() // is called once it has the picture
}

func (l *late) InspectHeld(ctx context.Context, img image.Image) (inspect.Verdict, <-chan struct{}, error) {
	if l.has != nil {
		l.got()
		<-ctx.Done()
		return inspect.Verdict{}, l.has, ctx.Err()
	}
	v, err := l.Inspect(ctx, img)
	return v, nil, err
}

// The picture of a request whose time is over counts until nobody has it.
func TestMemoryOfPicturesThatAreStillHeld(t *testing.T) {
	l := &late{fake: fake{name: "gear"}, has: make(chan struct{})}
	h := handler(t, func(c *service.Config) {
		c.MaxBytes, c.MaxPixels, c.ReadTimeout, c.Timeout = 4096, 1200, time.Minute, time.Minute
		c.Memory = 4*c.MaxBytes + 32*1200
	}, l)
	pic := encoded(t, part(40, 30, false))
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	l.got = func() { cancel(context.DeadlineExceeded) } // its time is over now
	r := httptest.NewRequest("POST", "/inspect", bytes.NewReader(pic)).WithContext(ctx)
	require.NotEqual(t, 200, serve(h, r).Code)
	has := l.has
	l.has = nil
	again := func() *httptest.ResponseRecorder { return call(h, "POST", "/inspect", bytes.NewReader(pic)) }
	requireProblem(t, again(), 503, "busy")
	close(has)
	for again().Code != 200 {
		if t.Context().Err() != nil {
			t.Fatal("the memory is not given back")
		}
		runtime.Gosched()
	}
	require.Equal(t, 200, again().Code)
}

// A picture whose file fits and whose pixels do not, because of others.
func TestMemoryOfPixelsIsBounded(t *testing.T) {
	g := newGate()
	pic := encoded(t, part(40, 30, false))
	h := handler(t, func(c *service.Config) {
		c.MaxBytes, c.MaxPixels = int64(len(pic)), 1200
		c.Memory = 4*c.MaxBytes + 32*1200 + 32*1200 // the second one's bytes fit, its pixels do not
	}, g)
	first := make(chan int, 1)
	go func() { first <- call(h, "POST", "/inspect", bytes.NewReader(pic)).Code }()
	<-g.came
	requireProblem(t, call(h, "POST", "/inspect", bytes.NewReader(pic)), 503, "busy")
	close(g.goOn)
	require.Equal(t, 200, <-first)
	require.Equal(t, 200, call(h, "POST", "/inspect", bytes.NewReader(pic)).Code)
}

// queue is an Inspector that takes some pictures at a time, as inspect.Inspector does.
type queue struct {
	*gate
	room chan struct{}
}

func (q *queue) Inspect(ctx context.Context, img image.Image) (inspect.Verdict, error) {
	select {
	case q.room <- struct{}{}:
		defer func() { <-q.room }()
		return q.gate.Inspect(ctx, img)
	default:
		return inspect.Verdict{}, fmt.Errorf("inspect: %w", inspect.ErrBusy)
	}
}

// Requests beyond the queue are refused, those within it answered, and none is lost.
func TestAFullQueue(t *testing.T) {
	q := &queue{gate: newGate(), room: make(chan struct{}, 3)}
	srv := httptest.NewServer(handler(t, nil, q))
	defer srv.Close()
	pic := encoded(t, part(40, 30, false))
	post := func() int {
		resp, err := http.Post(srv.URL+"/inspect", "image/png", bytes.NewReader(pic))
		if err != nil {
			return 0
		}
		if resp.StatusCode == 503 && resp.Header.Get("Retry-After") != "1" {
			return -1
		}
		if resp.Body.Close() != nil {
			return -2
		}
		return resp.StatusCode
	}
	codes := make(chan int, 3)
	for range 3 {
		go func() { codes <- post() }()
	}
	for range 3 {
		<-q.came
	}
	for range 5 {
		require.Equal(t, 503, post())
	}
	close(q.goOn)
	for range 3 {
		require.Equal(t, 200, <-codes)
	}
}
