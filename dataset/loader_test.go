package dataset_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/pipeline"
)

// samples makes n pictures of random sizes, every third with a mask.
func samples(t testing.TB, n int) *dataset.Memory {
	t.Helper()
	rng := rand.New(rand.NewPCG(9, uint64(n)))
	out := make([]dataset.Sample, n)
	for i := range out {
		w, h := 20+rng.IntN(30), 20+rng.IntN(30)
		b := pictureBytes(3*w*h+i, i%5 == 0)
		out[i] = dataset.Sample{
			Item:  dataset.Item{Name: fmt.Sprintf("s%02d", i), Class: []string{"wood", "carpet"}[i%2], Split: "test", Defect: "good", Label: dataset.LabelGood},
			Image: fromRGB(w, h, b[i:]),
		}
		if i%3 == 0 {
			out[i].Label, out[i].Defect, out[i].MaskName = dataset.LabelDefective, "hole", fmt.Sprintf("m%02d", i)
			out[i].Mask = &image.Gray{Pix: pictureBytes(w*h, true), Stride: w, Rect: image.Rect(0, 0, w, h)}
		}
	}
	m, err := dataset.NewMemory(out)
	require.NoError(t, err)
	return m
}

func loaderConfig(batch, workers int, ahead int64) dataset.LoaderConfig {
	cfg := dataset.DefaultLoader()
	cfg.Batch, cfg.Workers, cfg.AheadBytes = batch, workers, ahead
	cfg.Transform = dataset.Transform{Shorter: 24, Crop: image.Pt(18, 16)}
	return cfg
}

// collect copies everything that a loader yields.
func collect(t *testing.T, l *dataset.Loader, order []int) []dataset.Batch {
	t.Helper()
	var out []dataset.Batch
	for b, err := range l.Batches(t.Context(), order) {
		require.NoError(t, err)
		c := *b
		c.Pixels = slices.Clone(b.Pixels)
		out = append(out, c)
	}
	return out
}

// byHand is what a loader must yield, without one.
func byHand(t *testing.T, ds dataset.Dataset, cfg dataset.LoaderConfig, order []int) []dataset.Batch {
	t.Helper()
	var out []dataset.Batch
	for at := 0; at < len(order); at += cfg.Batch {
		var b dataset.Batch
		for _, i := range order[at:min(at+cfg.Batch, len(order))] {
			s, err := ds.Sample(t.Context(), i)
			require.NoError(t, err)
			img, err := cfg.Transform.Image(s.Image)
			require.NoError(t, err)
			mask, err := cfg.Transform.Mask(s.Mask)
			require.NoError(t, err)
			b.N, b.W, b.H = b.N+1, img.Rect.Dx(), img.Rect.Dy()
			p := make([]float32, 3*b.W*b.H)
			require.NoError(t, cfg.Normalize.Pack(p, img))
			b.Pixels = append(b.Pixels, p...)
			b.Index, b.Items, b.Masks = append(b.Index, i), append(b.Items, s.Item), append(b.Masks, mask)
		}
		if b.N == cfg.Batch || !cfg.DropLast {
			out = append(out, b)
		}
	}
	return out
}

func TestLoaderOutputDoesNotDependOnWorkersOrBudget(t *testing.T) {
	ds := samples(t, 23)
	rng := rand.New(rand.NewPCG(1, 1))
	order := append(rng.Perm(23), 3, 3, 0)
	for _, batch := range []int{1, 4, 7, 26, 40} {
		for _, drop := range []bool{false, true} {
			cfg := loaderConfig(batch, 1, 0)
			cfg.DropLast = drop
			want := byHand(t, ds, cfg, order)
			for _, workers := range []int{1, 16} {
				for _, ahead := range []int64{0, 20_000, 1 << 30} {
					cfg.Workers, cfg.AheadBytes = workers, ahead
					l, err := dataset.NewLoader(ds, cfg)
					require.NoError(t, err)
					require.Equal(t, len(want), l.Len(len(order)))
					require.Equal(t, want, collect(t, l, order), "batch %d drop %v workers %d ahead %d", batch, drop, workers, ahead)
				}
			}
		}
	}
}

func TestLoaderNilOrderIsEverything(t *testing.T) {
	ds := samples(t, 10)
	cfg := loaderConfig(4, 2, 1<<20)
	l, err := dataset.NewLoader(ds, cfg)
	require.NoError(t, err)
	require.Equal(t, byHand(t, ds, cfg, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}), collect(t, l, nil))
	require.Empty(t, collect(t, l, []int{}))
}

func TestLoaderUsesBoundedMemory(t *testing.T) {
	ds := samples(t, 23)
	order := make([]int, 400)
	for i := range order {
		order[i] = i % 23
	}
	const per = 18 * 16 * 3 * 4
	for _, ahead := range []int64{0, 4 * per, 3 * 4 * per} {
		l, err := dataset.NewLoader(ds, loaderConfig(4, 8, ahead))
		require.NoError(t, err)
		buffers := map[*float32]bool{}
		for b, err := range l.Batches(t.Context(), order) {
			require.NoError(t, err)
			require.Equal(t, len(b.Pixels), cap(b.Pixels))
			buffers[&b.Pixels[0]] = true
		}
		require.LessOrEqual(t, len(buffers), 1+max(1, int(ahead/(4*per))), "budget %d", ahead)
	}
}

func TestLoaderLeavesTheBatchInHandAlone(t *testing.T) {
	ds := samples(t, 23)
	order := make([]int, 200)
	for i := range order {
		order[i] = i % 23
	}
	l, err := dataset.NewLoader(ds, loaderConfig(3, 8, 0))
	require.NoError(t, err)
	for b, err := range l.Batches(t.Context(), order) {
		require.NoError(t, err)
		before := slices.Clone(b.Pixels)
		for range 200 {
			runtime.Gosched() // the workers prepare the next batches meanwhile
		}
		require.Equal(t, before, b.Pixels)
	}
}

// hooked lets a test see and disturb what is read.
type hooked struct {
	dataset.Dataset
	before func(ctx context.Context, i int) error
}

func (h hooked) Sample(ctx context.Context, i int) (dataset.Sample, error) {
	if err := h.before(ctx, i); err != nil {
		return dataset.Sample{}, err
	}
	return h.Dataset.Sample(ctx, i)
}

func requireGoroutines(t *testing.T, before int) {
	t.Helper()
	// A goroutine past its last statement is counted until its thread runs
	// again; only a leak uses all the time.
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before, "goroutines left behind")
}

func TestLoaderFailures(t *testing.T) {
	boom := errors.New("boom")
	for _, workers := range []int{1, 8} {
		before := runtime.NumGoroutine()
		ds := hooked{samples(t, 20), func(_ context.Context, i int) error {
			if i >= 9 {
				return fmt.Errorf("file %d: %w", i, boom)
			}
			return nil
		}}
		l, err := dataset.NewLoader(ds, loaderConfig(4, workers, 1<<20))
		require.NoError(t, err)
		got := 0
		var last error
		for b, err := range l.Batches(t.Context(), nil) {
			if err != nil {
				require.Nil(t, b)
				require.NoError(t, last, "a second error")
				last = err
				continue
			}
			got += b.N
		}
		require.Equal(t, 8, got)
		require.ErrorIs(t, last, boom)
		require.ErrorContains(t, last, "sample 9: file 9")
		requireGoroutines(t, before)

		// Leaving the loop.
		for range l.Batches(t.Context(), nil) {
			break
		}
		requireGoroutines(t, before)

		// Cancelling.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		last = nil
		for _, err := range l.Batches(ctx, nil) {
			last = err
			cancel()
		}
		require.ErrorIs(t, last, context.Canceled)
		requireGoroutines(t, before)
	}
}

func TestLoaderPassesOnAPanic(t *testing.T) {
	before := runtime.NumGoroutine()
	l, err := dataset.NewLoader(hooked{samples(t, 9), func(context.Context, int) error { panic("broken data set") }}, loaderConfig(4, 4, 0))
	require.NoError(t, err)
	func() {
		defer func() {
			p, ok := recover().(*pipeline.Panic)
			require.True(t, ok)
			require.Equal(t, "broken data set", p.Value)
		}()
		for range l.Batches(t.Context(), nil) {
		}
	}()
	requireGoroutines(t, before)
}

func firstError(t *testing.T, ds dataset.Dataset, cfg dataset.LoaderConfig, order []int) error {
	t.Helper()
	l, err := dataset.NewLoader(ds, cfg)
	require.NoError(t, err)
	for _, err := range l.Batches(t.Context(), order) {
		if err != nil {
			return err
		}
	}
	t.Fatal("no error")
	return nil
}

// lying hands out samples whose mask does not fit.
type lying struct{ dataset.Dataset }

func (l lying) Sample(ctx context.Context, i int) (dataset.Sample, error) {
	s, err := l.Dataset.Sample(ctx, i)
	if i == 3 {
		s.Mask = image.NewGray(image.Rect(0, 0, 2, 2))
	}
	return s, err
}

func TestLoaderBadSamples(t *testing.T) {
	ds := samples(t, 8)
	cfg := loaderConfig(4, 4, 1<<20)
	err := firstError(t, lying{ds}, cfg, nil)
	require.ErrorIs(t, err, dataset.ErrMask)
	for _, s := range []string{"s03", "m03", "2x2"} {
		require.ErrorContains(t, err, s)
	}

	err = firstError(t, ds, cfg, []int{0, 8})
	require.ErrorIs(t, err, dataset.ErrIndex)

	cfg.Transform = dataset.Transform{Shorter: 12}
	err = firstError(t, ds, cfg, nil)
	require.ErrorIs(t, err, dataset.ErrSize)
	require.ErrorContains(t, err, "set Exact or Crop")

	cfg.Transform = dataset.Transform{Crop: image.Pt(500, 1)}
	err = firstError(t, ds, cfg, nil)
	require.ErrorIs(t, err, dataset.ErrSize)
	require.ErrorContains(t, err, "s00")
}

func TestLoaderSizesMayChangeBetweenBatches(t *testing.T) {
	ds := samples(t, 6)
	cfg := loaderConfig(1, 4, 1<<20)
	cfg.Transform = dataset.Transform{}
	l, err := dataset.NewLoader(ds, cfg)
	require.NoError(t, err)
	require.Equal(t, byHand(t, ds, cfg, []int{0, 1, 2, 3, 4, 5}), collect(t, l, nil))
}

func TestLoaderConfig(t *testing.T) {
	ds := samples(t, 1)
	for field, change := range map[string]func(*dataset.LoaderConfig){
		"Batch":      func(c *dataset.LoaderConfig) { c.Batch = 0 },
		"Workers":    func(c *dataset.LoaderConfig) { c.Workers = 0 },
		"AheadBytes": func(c *dataset.LoaderConfig) { c.AheadBytes = -1 },
		"Crop":       func(c *dataset.LoaderConfig) { c.Transform.Crop = image.Pt(-1, 0) },
		"Std":        func(c *dataset.LoaderConfig) { c.Normalize.Std[2] = 0 },
	} {
		cfg := dataset.DefaultLoader()
		change(&cfg)
		_, err := dataset.NewLoader(ds, cfg)
		require.ErrorIs(t, err, dataset.ErrConfig)
		require.ErrorContains(t, err, field)
	}
	_, err := dataset.NewLoader(nil, dataset.DefaultLoader())
	require.ErrorIs(t, err, dataset.ErrConfig)
}

func BenchmarkLoader(b *testing.B) {
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			imgs := make([]image.Image, 64)
			for i := range imgs {
				imgs[i] = smooth(128, 128, false)
			}
			ds, err := dataset.NewImages("x", imgs...)
			if err != nil {
				b.Fatal(err)
			}
			cfg := dataset.DefaultLoader()
			cfg.Workers = workers
			l, err := dataset.NewLoader(ds, cfg)
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				for batch, err := range l.Batches(b.Context(), nil) {
					if err != nil {
						b.Fatal(err)
					}
					n += batch.N
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
