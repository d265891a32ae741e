package service_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
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
	in   *inspect.Inspector
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
	l.in, err = inspect.New(bundle, inspect.DefaultConfig())
	require.NoError(b, err)
	l.srv = httptest.NewServer(handler(b, nil, l.in))
	b.Cleanup(func() {
		l.srv.Close()
		require.NoError(b, l.in.Close())
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

// clients is how many send at the same time.
const clients = 16

// side is one of what is compared. It takes as many pictures in every round.
type side struct {
	name string
	run  func() error
}

// turns runs the sides in turns, a round for each b.Loop, and reports what they took: the
// median of the rounds' milliseconds a picture for each, the same of processor time, and the
// median of the rounds' ratios to the sides that ratios names.
func turns(b *testing.B, pictures int, sides []side, ratios map[string]func(took map[string]float64) float64) {
	b.Helper()
	for _, s := range sides {
		require.NoError(b, s.run()) // what is made at first use
	}
	seen := map[string][]float64{}
	for b.Loop() {
		took := map[string]float64{}
		for _, s := range sides {
			start, used := time.Now(), processorTime(b)
			require.NoError(b, s.run())
			took[s.name] = time.Since(start).Seconds() * 1e3 / float64(pictures)
			seen[s.name+"-ms"] = append(seen[s.name+"-ms"], took[s.name])
			if used > 0 {
				seen[s.name+"-cpu-ms"] = append(seen[s.name+"-cpu-ms"], (processorTime(b)-used)*1e3/float64(pictures))
			}
		}
		for name, of := range ratios {
			seen[name] = append(seen[name], of(took))
		}
	}
	for name, v := range seen {
		slices.Sort(v)
		b.ReportMetric(v[len(v)/2], name)
	}
}

// BenchmarkLatency is one 256 x 256 PNG through HTTP, decoding and queue included, beside
// the bare Score of the decoded picture: rounds of 16 pictures, one after another. ratio is
// the time of the first by that of the second.
func BenchmarkLatency(b *testing.B) {
	l := newLine(b)
	c := &http.Client{}
	b.Cleanup(c.CloseIdleConnections)
	turns(b, len(l.imgs), []side{
		{"score", func() error {
			for _, img := range l.imgs {
				if _, err := l.det.Score(b.Context(), img); err != nil {
					return err
				}
			}
			return nil
		}},
		{"http", func() error {
			for i := range l.pngs {
				if err := l.post(c, i); err != nil {
					return err
				}
			}
			return nil
		}},
	}, map[string]func(map[string]float64) float64{
		"ratio": func(t map[string]float64) float64 { return t["http"] / t["score"] },
	})
}

// BenchmarkThroughput is 16 clients, each asking for one picture after another, beside Score
// in batches of 16, which has all cores to itself. Clients ask an Inspector with decoded
// pictures ("inspector"), and over HTTP with PNG ("http"); "score" has decoded pictures,
// "score-png" decodes its batches before it scores them, one picture after another. Ratios are
// pictures a second of the first by those of the second; what decoding costs over HTTP is
// only in the last two sides.
func BenchmarkThroughput(b *testing.B) {
	const each = 12
	l := newLine(b)
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	b.Cleanup(c.CloseIdleConnections)
	together := func(ask func(k int) error) error {
		errs := make([]error, clients)
		var wg sync.WaitGroup
		for k := range clients {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for n := 0; n < each && errs[k] == nil; n++ {
					errs[k] = ask(k)
				}
			}()
		}
		wg.Wait()
		return errors.Join(errs...)
	}
	by := func(served, bare string) func(map[string]float64) float64 {
		return func(t map[string]float64) float64 { return t[bare] / t[served] }
	}
	turns(b, clients*each, []side{
		{"score", func() error {
			for range each {
				if _, err := l.det.Score(b.Context(), l.imgs...); err != nil {
					return err
				}
			}
			return nil
		}},
		{"inspector", func() error {
			return together(func(k int) error {
				_, err := l.in.Inspect(b.Context(), l.imgs[k])
				return err
			})
		}},
		{"score-png", func() error {
			for range each {
				var imgs []image.Image
				for _, data := range l.pngs {
					img, err := l.in.Decoder().Image(bytes.NewReader(data))
					if err != nil {
						return err
					}
					imgs = append(imgs, img)
				}
				if _, err := l.det.Score(b.Context(), imgs...); err != nil {
					return err
				}
			}
			return nil
		}},
		{"http", func() error { return together(func(k int) error { return l.post(c, k) }) }},
	}, map[string]func(map[string]float64) float64{
		"inspector/score": by("inspector", "score"),
		"http/score":      by("http", "score"),
		"http/score-png":  by("http", "score-png"),
	})
}

var _ service.Inspector = (*inspect.Inspector)(nil)
