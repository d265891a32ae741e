package service_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/inspect/service"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// line is a PaDiM on a ResNet-18 at 256 x 256, and a server of its bundle.
type line struct {
	det  *downstream.PaDiM
	imgs []image.Image
	pngs [][]byte
	srv  *httptest.Server
}

func newLine(b *testing.B) *line {
	b.Helper()
	const side = 256
	rng := rand.New(rand.NewPCG(1, 1))
	imgs := make([]image.Image, 48)
	l := &line{}
	for i := range imgs {
		img := image.NewRGBA(image.Rect(0, 0, side, side))
		for y := range side {
			for x := range side {
				g := uint8(90 + rng.IntN(30) + 40*((x/20+y/20)%2))
				img.SetRGBA(x, y, color.RGBA{g, g, g, 255})
			}
		}
		imgs[i] = img
	}
	for _, img := range imgs[:16] {
		l.imgs = append(l.imgs, img)
		l.pngs = append(l.pngs, encoded(b, img))
	}
	net, err := backbone.New(backbone.ArchResNet18, tensor.CPU, rng)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, net.Close()) })
	cfg := downstream.DefaultPaDiM()
	cfg.Transform = dataset.Square(side)
	l.det, err = downstream.NewPaDiM(net, cfg, nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, l.det.Close()) })
	fit, err := dataset.NewImages("part", imgs[:24]...)
	require.NoError(b, err)
	held, err := dataset.NewImages("part", imgs[24:]...)
	require.NoError(b, err)
	require.NoError(b, l.det.Fit(b.Context(), fit))
	_, err = l.det.Calibrate(b.Context(), held, metrics.Overkill(0.1))
	require.NoError(b, err)
	path := filepath.Join(b.TempDir(), "part.gotab")
	require.NoError(b, inspect.Create(b.Context(), path, l.det, inspect.Spec{Product: "part", Backbone: net, Golden: imgs[24:25]}))
	bundle, err := inspect.Open(b.Context(), path)
	require.NoError(b, err)
	in, err := inspect.New(bundle, inspect.DefaultConfig())
	require.NoError(b, err)
	l.srv = httptest.NewServer(handler(b, nil, in))
	b.Cleanup(func() {
		l.srv.Close()
		require.NoError(b, in.Close())
	})
	return l
}

// post sends picture i to the server.
func (l *line) post(c *http.Client, i int) error {
	resp, err := c.Post(l.srv.URL+"/inspect", "image/png", bytes.NewReader(l.pngs[i]))
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if e := resp.Body.Close(); err == nil {
		err = e
	}
	if err == nil && resp.StatusCode != 200 {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return err
}

// BenchmarkLatency is one 256 x 256 PNG through HTTP, decoding and queue included, beside
// the bare Score of the decoded picture, in turns. ratio is the first by the second.
func BenchmarkLatency(b *testing.B) {
	l := newLine(b)
	c := &http.Client{}
	score := func() {
		_, err := l.det.Score(b.Context(), l.imgs[0])
		require.NoError(b, err)
	}
	score() // what is made at first use
	require.NoError(b, l.post(c, 0))
	var bare, served time.Duration
	n := 0
	for b.Loop() {
		n++
		start := time.Now()
		score()
		half := time.Now()
		require.NoError(b, l.post(c, 0))
		bare, served = bare+half.Sub(start), served+time.Since(half)
	}
	b.ReportMetric(bare.Seconds()*1e3/float64(n), "bare-ms")
	b.ReportMetric(served.Seconds()*1e3/float64(n), "served-ms")
	b.ReportMetric(served.Seconds()/bare.Seconds(), "ratio")
}

// BenchmarkThroughput is 16 clients, each sending one picture after another, beside Score in
// batches of 16, in turns: rounds of 64 pictures. ratio is images a second of the first by
// those of the second.
func BenchmarkThroughput(b *testing.B) {
	const clients, each = 16, 4
	l := newLine(b)
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	b.Cleanup(c.CloseIdleConnections)
	score := func() {
		for range each {
			_, err := l.det.Score(b.Context(), l.imgs...)
			require.NoError(b, err)
		}
	}
	serve := func() {
		errs := make([]error, clients)
		var wg sync.WaitGroup
		for k := range clients {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range each {
					if err := l.post(c, k); err != nil {
						errs[k] = err
					}
				}
			}()
		}
		wg.Wait()
		for _, err := range errs {
			require.NoError(b, err)
		}
	}
	score()
	serve()
	var bare, served time.Duration
	n := 0
	for b.Loop() {
		n++
		start := time.Now()
		score()
		half := time.Now()
		serve()
		bare, served = bare+half.Sub(start), served+time.Since(half)
	}
	images := float64(n * clients * each)
	b.ReportMetric(images/bare.Seconds(), "bare-img/s")
	b.ReportMetric(images/served.Seconds(), "served-img/s")
	b.ReportMetric(bare.Seconds()/served.Seconds(), "ratio")
}

var _ service.Inspector = (*inspect.Inspector)(nil)
