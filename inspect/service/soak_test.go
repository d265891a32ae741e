package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/inspect/service"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

const (
	soakers = 64
	// soakTolerance is how far scores may be, relatively, from those of pictures that are
	// scored one after another on one thread: what other batches and threads round.
	soakTolerance = 1e-5
)

// plate is a picture whose neighbouring pixels belong together, with a dark bar where it is
// scratched.
func plate(rng *rand.Rand, w, h int, scratched bool) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	phase := rng.Float64()
	for y := range h {
		for x := range w {
			v := 110 + 40*math.Sin(float64(x)/5+phase) + 12*rng.NormFloat64()
			c := func(k float64) uint8 { return uint8(min(max(v*k+6*rng.NormFloat64(), 0), 255)) }
			img.SetRGBA(x, y, color.RGBA{c(1), c(0.8), c(0.6), 255})
			if scratched && x > w*5/8 && x < w*7/8 && y > h/8 && y < h/2 {
				img.SetRGBA(x, y, color.RGBA{10, 10, 10, 255})
			}
		}
	}
	return img
}

// soakBundles writes two bundles of one small detector that differ by their thresholds.
func soakBundles(t *testing.T) (paths [2]string) {
	t.Helper()
	const side = 32
	plates := func(n int, seed uint64) *dataset.Memory {
		rng := rand.New(rand.NewPCG(seed, 7))
		imgs := make([]image.Image, n)
		for i := range imgs {
			imgs[i] = plate(rng, side, side, false)
		}
		ds, err := dataset.NewImages("plate", imgs...)
		require.NoError(t, err)
		return ds
	}
	net, err := backbone.New(backbone.ArchResNet18, tensor.CPU, rand.New(rand.NewPCG(1, 2)))
	require.NoError(t, err)
	cfg := downstream.DefaultPaDiM()
	cfg.Layers = []backbone.Layer{backbone.Layer1, backbone.Layer2}
	cfg.Channels = []int{0, 5, 9, 20, 70, 80, 90, 100}
	cfg.Transform = dataset.Square(side)
	det, err := downstream.NewPaDiM(net, cfg, nil)
	require.NoError(t, err)
	require.NoError(t, det.Fit(t.Context(), plates(20, 1)))
	_, err = det.Calibrate(t.Context(), plates(20, 2), metrics.Overkill(0.1))
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(3, 7))
	for i, rate := range []float64{0.1, 0.4} {
		_, err := det.Recalibrate(t.Context(), metrics.Overkill(rate))
		require.NoError(t, err)
		paths[i] = filepath.Join(t.TempDir(), strconv.Itoa(i)+".gotab")
		require.NoError(t, inspect.Create(t.Context(), paths[i], det, inspect.Spec{Product: "plate", Backbone: net, Golden: []image.Image{plate(rng, side, side, false)}}))
	}
	require.NoError(t, errors.Join(det.Close(), net.Close()))
	return paths
}

// file is a picture as it is sent, with the score that it gets by itself on one thread.
type file struct {
	kind  string
	data  []byte
	score float64
}

// soak is a run of TestSoakHTTP.
type soak struct {
	url        string
	client     *http.Client
	files      []file             // the last one is huge
	thresholds map[string]float64 // of the two bundles, by name

	mu     sync.Mutex
	took   []time.Duration
	worst  float64
	counts map[string]int
	asked  int
	faults []error
	rss    []int64       // bytes, every 2,000 requests
	turn   chan struct{} // time to replace the bundle
}

// TestSoakHTTP has 64 clients send pictures of several sizes over HTTP while the bundle is
// replaced by another one, back and forth; a tenth of the requests are broken, cancelled,
// huge or slow. Every answer is right, and nothing is left. GOTAB_SOAK=10m makes it longer, and then
// memory may not grow either.
func TestSoakHTTP(t *testing.T) {
	d := testutil.SoakFor(t)
	live := tensor.Live()
	paths := soakBundles(t)
	open := func(i int) *inspect.Bundle {
		b, err := inspect.Open(t.Context(), paths[i])
		require.NoError(t, err)
		return b
	}
	s := &soak{counts: map[string]int{}, thresholds: map[string]float64{}, turn: make(chan struct{}, 1)}
	s.prepare(t, open)
	before := runtime.NumGoroutine() // with the threads that tensor keeps
	cfg := inspect.DefaultConfig()
	cfg.Queue = 48 // fewer than clients: some are refused
	in, err := inspect.New(open(0), cfg)
	require.NoError(t, err)
	h := handler(t, func(c *service.Config) {
		c.MaxPixels, c.Timeout = 1600*1200, 10*time.Minute
		if c.ReadTimeout = 2 * time.Second; d > 0 {
			c.ReadTimeout = 5 * time.Second
		}
	}, in)
	srv := httptest.NewServer(h)
	s.url, s.client = srv.URL+"/inspect", &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: soakers}}

	start := time.Now()
	var clients, replacing sync.WaitGroup
	for c := range uint64(soakers) {
		clients.Add(1)
		go func() {
			defer clients.Done()
			rng := rand.New(rand.NewPCG(7, c))
			for k := 0; k < 6 || time.Since(start) < d; k++ {
				s.ask(t.Context(), rng)
			}
		}()
	}
	replacing.Add(1)
	go func() {
		defer replacing.Done()
		for k := 1; ; k++ {
			if _, more := <-s.turn; !more {
				return
			}
			b, err := inspect.Open(t.Context(), paths[k%2])
			if err == nil {
				err = in.Replace(t.Context(), b)
			}
			if err != nil {
				s.fault(err)
			}
		}
	}()
	clients.Wait()
	close(s.turn)
	replacing.Wait()
	stats := in.Stats()
	s.client.CloseIdleConnections()
	srv.Close()
	require.NoError(t, in.Close())
	for runtime.NumGoroutine() > before {
		if t.Context().Err() != nil {
			t.Fatal("goroutines are left")
		}
		runtime.Gosched()
	}
	require.Equal(t, live, tensor.Live(), "native tensors are left")
	require.NoError(t, errors.Join(s.faults...))
	slices.Sort(s.took)
	require.NotEmpty(t, s.took)
	at := func(q float64) time.Duration { return s.took[int(q*float64(len(s.took)-1))].Round(time.Microsecond) }
	t.Logf("%v in %s; %+v", s.counts, time.Since(start).Round(time.Second), stats)
	t.Logf("%d verdicts, the worst differs by %.1e; p50 %s, p95 %s, p99 %s", len(s.took), s.worst, at(0.5), at(0.95), at(0.99))
	require.Positive(t, stats.Replaced)
	for _, kind := range []string{"verdict", "broken"} {
		require.Positive(t, s.counts[kind], kind)
	}
	if n := len(s.rss); n >= 8 {
		// The first quarter warms up. Between the second and the last, memory moves as the
		// collector does and no further.
		middle := func(v []int64) int64 { v = slices.Sorted(slices.Values(v)); return v[len(v)/2] }
		early, late := middle(s.rss[n/4:n/2]), middle(s.rss[3*n/4:])
		t.Logf("resident memory: %d MB in the second quarter, %d MB in the last, of %d looks", early>>20, late>>20, n)
		require.Less(t, late, early+early/10+32<<20, "memory grows: %v", s.rss)
	}
}

// prepare makes the files and their scores.
func (s *soak) prepare(t *testing.T, open func(i int) *inspect.Bundle) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	b := open(0)
	ctx := tensor.WithThreads(t.Context(), 1)
	add := func(kind string, data []byte) {
		img, err := b.Decoder().Image(bytes.NewReader(data))
		require.NoError(t, err)
		v, err := b.Decide(ctx, img)
		require.NoError(t, err)
		s.files = append(s.files, file{kind, data, v[0].Score})
	}
	for _, size := range []image.Point{{32, 32}, {48, 40}, {64, 64}, {33, 57}, {96, 48}, {320, 240}} {
		for _, scratched := range []bool{false, true} {
			img := plate(rng, size.X, size.Y, scratched)
			add("image/png", encoded(t, img))
			var jpg bytes.Buffer
			require.NoError(t, jpeg.Encode(&jpg, img, nil))
			add("image/jpeg", jpg.Bytes())
		}
	}
	var jpg bytes.Buffer
	require.NoError(t, jpeg.Encode(&jpg, plate(rng, 1600, 1200, true), nil))
	add("image/jpeg", jpg.Bytes())
	other := open(1)
	for _, b := range []*inspect.Bundle{b, other} {
		s.thresholds[b.Info().Bundle] = b.Info().Threshold
		require.NoError(t, b.Close())
	}
	require.Len(t, s.thresholds, 2)
}

// stalling gives half of a body and then nothing until its context ends.
type stalling struct {
	ctx context.Context
	r   io.Reader
}

func (s *stalling) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err == io.EOF {
		<-s.ctx.Done()
		err = s.ctx.Err()
	}
	return n, err
}

// ask is what a client does once.
func (s *soak) ask(ctx context.Context, rng *rand.Rand) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := s.files[rng.IntN(len(s.files)-1)]
	kind, body, length := "verdict", io.Reader(bytes.NewReader(f.data)), len(f.data)
	switch rng.IntN(50) {
	case 0:
		kind = "broken"
		length /= 2 + rng.IntN(6)
		body = bytes.NewReader(f.data[:length])
	case 1:
		kind = "cancelled"
		after := time.Duration(rng.IntN(20)) * time.Millisecond
		defer time.AfterFunc(after, cancel).Stop()
	case 2:
		kind, f = "huge", s.files[len(s.files)-1]
		body, length = bytes.NewReader(f.data), len(f.data)
	case 3:
		kind = "too large"
		data := hugePNG(1<<16, 1<<16)
		body, length = bytes.NewReader(data), len(data)
	case 4:
		kind = "slow"
		body = &stalling{ctx, bytes.NewReader(f.data[:length/2])}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, body)
	if err != nil {
		s.fault(err)
		return
	}
	req.ContentLength = int64(length)
	req.Header.Set("Content-Type", f.kind)
	start := time.Now()
	resp, err := s.client.Do(req)
	var answer []byte
	if err == nil {
		answer, err = io.ReadAll(resp.Body)
		err = errors.Join(err, resp.Body.Close())
	}
	took := time.Since(start)
	if err != nil {
		switch {
		case kind == "cancelled" && errors.Is(err, context.Canceled):
			s.count(kind, 0, 0)
		case kind == "slow": // the server has closed the connection before all of its answer was read
			s.count("slow, cut", 0, 0)
		default:
			s.fault(fmt.Errorf("%s: %w", kind, err))
		}
		return
	}
	switch status := resp.StatusCode; {
	case status == http.StatusOK && kind != "broken" && kind != "slow" && kind != "too large":
		s.judge(kind, f, answer, took)
	case status == http.StatusServiceUnavailable:
		s.count("busy", 0, 0)
	case status == http.StatusUnprocessableEntity && kind == "broken",
		status == http.StatusRequestEntityTooLarge && kind == "too large",
		status == http.StatusRequestTimeout && kind == "slow":
		s.count(kind, 0, 0)
	case status == http.StatusRequestTimeout: // a machine so busy that a body takes longer than ReadTimeout
		s.count("late", 0, 0)
	default:
		s.fault(fmt.Errorf("%s: status %d: %.200s", kind, status, answer))
	}
}

// judge holds an answer against what is right.
func (s *soak) judge(kind string, f file, answer []byte, took time.Duration) {
	var a service.Answer
	if err := json.Unmarshal(answer, &a); err != nil {
		s.fault(fmt.Errorf("%s: %w: %.200s", kind, err, answer))
		return
	}
	threshold, known := s.thresholds[a.Bundle]
	diff := math.Abs(a.Score-f.score) / f.score
	if !known || a.Threshold == nil || *a.Threshold != threshold || (a.Decision == service.Reject) != (a.Score >= threshold) || !(diff <= soakTolerance) {
		s.fault(fmt.Errorf("%s: want score %v and threshold %v: %s", kind, f.score, threshold, answer))
	}
	s.count(kind, took, diff)
}

// count counts a request that went as it should. took is 0 where there is no verdict.
func (s *soak) count(kind string, took time.Duration, diff float64) {
	const replaceEvery, lookEvery = 150, 2000
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[kind]++
	s.worst = max(s.worst, diff)
	if took > 0 {
		s.took = append(s.took, took)
	}
	if s.asked++; s.asked%replaceEvery == 0 {
		select {
		case s.turn <- struct{}{}:
		default: // the one before goes on
		}
	}
	if s.asked%lookEvery == 0 {
		if n, ok := resident(); ok {
			s.rss = append(s.rss, n)
		}
	}
}

func (s *soak) fault(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) < 10 {
		s.faults = append(s.faults, err)
	}
}

// resident is the memory that this process has in use, where the system says so.
func resident() (bytes int64, ok bool) { return status("VmRSS:") }

// status is a number of /proc/self/status, in bytes.
func status(name string) (bytes int64, ok bool) {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, name); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")), 10, 64)
			return kb << 10, err == nil
		}
	}
	return 0, false
}
