package inspect_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

const (
	soakers = 64
	// soakTolerance is how far scores may be, relatively, from those of pictures that are
	// scored one after another: what other batches and threads round.
	soakTolerance = 1e-5
)

// soak is a run of TestSoak.
type soak struct {
	i      *inspect.Inspector
	imgs   []image.Image
	want   []float64
	mu     sync.Mutex
	took   []time.Duration
	worst  float64
	counts map[string]int
	faults []error
}

// TestSoak lets 64 clients ask an Inspector for pictures of several sizes while its
// bundle is replaced; a tenth of them are broken, cancelled or huge. No score is
// wrong and nothing is left.
func TestSoak(t *testing.T) {
	d := testutil.SoakFor(t)
	noLeak(t)
	path, _ := realBundle(t)
	open := func() *inspect.Bundle {
		b, err := inspect.Open(t.Context(), path)
		require.NoError(t, err)
		return b
	}
	s := &soak{counts: make(map[string]int)}
	rng := rand.New(rand.NewPCG(1, 1))
	for _, size := range []image.Point{{32, 32}, {48, 40}, {64, 64}, {33, 57}, {96, 48}, {640, 480}} {
		img := plate(rng, size.X, size.Y)
		s.imgs = append(s.imgs, img, scratched(img))
	}
	s.imgs = append(s.imgs, plate(rng, 1600, 1200)) // the huge one
	b := open()
	for _, img := range s.imgs {
		v, err := b.Decide(tensor.WithThreads(t.Context(), 1), img)
		require.NoError(t, err)
		s.want = append(s.want, v[0].Score)
	}
	before := runtime.NumGoroutine()
	cfg := inspect.DefaultConfig()
	cfg.Queue = 48 // fewer than clients: some are refused
	i, err := inspect.New(b, cfg)
	require.NoError(t, err)
	s.i = i
	start := time.Now()
	var wg sync.WaitGroup
	for c := range uint64(soakers) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rng := rand.New(rand.NewPCG(7, c))
			for k := 0; k < 4 || time.Since(start) < d; k++ {
				s.ask(t, rng)
			}
		}()
	}
	for k := 0; k < 2 || time.Since(start) < d; k++ {
		require.NoError(t, i.Replace(t.Context(), open()))
	}
	wg.Wait()
	stats := i.Stats()
	require.NoError(t, i.Close())
	until(t, func() bool { return runtime.NumGoroutine() <= before })
	require.NoError(t, errors.Join(s.faults...))
	require.Zero(t, inspect.SharedNets())
	slices.Sort(s.took)
	at := func(q float64) time.Duration { return s.took[int(q*float64(len(s.took)-1))].Round(time.Microsecond) }
	t.Logf("%v; %+v", s.counts, stats)
	t.Logf("%d verdicts, the worst differs by %.1e; p50 %s, p95 %s, p99 %s", len(s.took), s.worst, at(0.5), at(0.95), at(0.99))
	require.NotEmpty(t, s.took)
	require.Equal(t, uint64(s.counts["busy"]), stats.Busy)
}

// ask is what a client does once.
func (s *soak) ask(t *testing.T, rng *rand.Rand) {
	at := rng.IntN(len(s.imgs) - 1)
	kind, ctx, img := "verdict", t.Context(), s.imgs[at]
	switch rng.IntN(30) {
	case 0:
		kind = "cancelled"
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		go cancel()
	case 1:
		kind = "broken"
		var file bytes.Buffer
		err := jpeg.Encode(&file, img, nil)
		cut, derr := dataset.Decode(bytes.NewReader(file.Bytes()[:file.Len()/8]))
		if err != nil || derr == nil {
			s.fault(fmt.Errorf("a broken file is read: %v, %v", err, derr))
		}
		img = cut // a nil pointer, as a careless client passes it on
	case 2:
		kind, at = "huge", len(s.imgs)-1
		img = s.imgs[at]
	}
	start := time.Now()
	v, err := s.i.Inspect(ctx, img)
	took := time.Since(start)
	switch {
	case errors.Is(err, inspect.ErrBusy):
		s.count("busy", 0, 0)
		runtime.Gosched()
	case kind == "cancelled" && errors.Is(err, context.Canceled), kind == "broken" && errors.Is(err, downstream.ErrImage):
		s.count(kind, 0, 0)
	case err != nil || kind == "broken":
		s.fault(fmt.Errorf("%s: %v", kind, err))
	default:
		diff := math.Abs(v.Score-s.want[at]) / s.want[at]
		if !(diff <= soakTolerance) || v.Map.W != img.Bounds().Dx() || v.Reject != (s.want[at] >= v.Threshold) {
			s.fault(fmt.Errorf("picture %d: score %v, want %v; map %dx%d", at, v.Score, s.want[at], v.Map.W, v.Map.H))
		}
		s.count(kind, took, diff)
	}
}

func (s *soak) count(kind string, took time.Duration, diff float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[kind]++
	s.worst = max(s.worst, diff)
	if took > 0 {
		s.took = append(s.took, took)
	}
}

func (s *soak) fault(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) < 10 {
		s.faults = append(s.faults, err)
	}
}

// Ten bundles of one backbone, as a service opens them when it starts: of a small
// detector, and of a PaDiM as it is by default, whose file has 67 MB.
func BenchmarkOpenTen(b *testing.B) {
	for name, change := range map[string]func(c *downstream.PaDiMConfig){
		"small":   func(c *downstream.PaDiMConfig) {},
		"default": func(c *downstream.PaDiMConfig) { *c = downstream.DefaultPaDiM() },
	} {
		b.Run(name, func(b *testing.B) {
			net := network(b)
			cfg := tinyConfig()
			change(&cfg)
			p, err := downstream.NewPaDiM(net, cfg, rand.New(rand.NewPCG(1, 1)))
			require.NoError(b, err)
			require.NoError(b, p.Fit(b.Context(), set(b, plates(20, 1))))
			_, err = p.Calibrate(b.Context(), set(b, plates(20, 2)), metrics.Overkill(0.1))
			require.NoError(b, err)
			var paths []string
			for i := range 10 {
				spec := realSpec(net)
				spec.Product = fmt.Sprint("plate ", i)
				path := filepath.Join(b.TempDir(), spec.Product)
				require.NoError(b, inspect.Create(b.Context(), path, p, spec))
				paths = append(paths, path)
			}
			require.NoError(b, p.Close())
			for b.Loop() {
				all := make([]*inspect.Bundle, len(paths))
				var wg sync.WaitGroup
				for i, path := range paths {
					wg.Add(1)
					go func() {
						defer wg.Done()
						var err error
						if all[i], err = inspect.Open(b.Context(), path); err != nil {
							b.Error(err)
						}
					}()
				}
				wg.Wait()
				for _, o := range all {
					if o == nil {
						b.Fatal("not open")
					}
					if err := o.Close(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
