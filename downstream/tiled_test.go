package downstream_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// brightest is a detector whose map has the red of one pixel in step, and whose score is
// its maximum. It keeps what it was given.
type brightest struct {
	step   int
	hidden float64 // part of the tile that it does not show
	given  []int   // tiles a call
	fitted []string
	closed bool
}

func (b *brightest) Fit(ctx context.Context, ds dataset.Dataset) error {
	for i := range ds.Len() {
		s, err := ds.Sample(ctx, i)
		if err != nil {
			return err
		}
		b.fitted = append(b.fitted, s.Name)
	}
	return nil
}

func (b *brightest) Score(_ context.Context, imgs ...image.Image) ([]downstream.Result, error) {
	b.given = append(b.given, len(imgs))
	var out []downstream.Result
	for _, img := range imgs {
		r := img.Bounds()
		m := downstream.Map{W: r.Dx() / b.step, H: r.Dy() / b.step, Rect: dataset.Rect{MinX: b.hidden, MaxX: float64(r.Dx()), MaxY: float64(r.Dy())}}
		for y := range m.H {
			for x := range m.W {
				v, _, _, _ := img.At(r.Min.X+x*b.step, r.Min.Y+y*b.step).RGBA()
				m.Data = append(m.Data, float32(v>>8))
			}
		}
		out = append(out, downstream.Result{Score: m.Max(), Map: m})
	}
	return out, nil
}

func (b *brightest) ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[downstream.Scored, error] {
	return func(yield func(downstream.Scored, error) bool) {
		for i := range ds.Len() {
			s, err := ds.Sample(ctx, i)
			if err != nil {
				yield(downstream.Scored{}, err)
				return
			}
			r, err := b.Score(ctx, s.Image)
			if err != nil || !yield(downstream.Scored{Item: s.Item, Mask: s.Mask, Result: r[0]}, nil) {
				return
			}
		}
	}
}

func (b *brightest) ScoreSeq(ctx context.Context, imgs iter.Seq[image.Image]) iter.Seq2[downstream.Result, error] {
	return func(yield func(downstream.Result, error) bool) {
		for img := range imgs {
			if r, err := b.Score(ctx, img); err != nil || !yield(r[0], nil) {
				return
			}
		}
	}
}

func (b *brightest) Save(string) error { return errors.ErrUnsupported }

func (b *brightest) Calibrate(context.Context, dataset.Dataset, metrics.Rule) (*downstream.Calibration, error) {
	return nil, errors.ErrUnsupported
}

func (b *brightest) Close() error {
	b.closed = true
	return nil
}

func ramp(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, color.RGBA{uint8((x*7 + y*13 + x*y) % 200), 0, 0, 255})
		}
	}
	return m
}

// Where every pixel has a value of its own, the stitched map is the picture, and the
// score its maximum.
func TestTiledMapsAreStitched(t *testing.T) {
	for _, size := range []image.Point{{40, 40}, {331, 40}, {40, 97}, {61, 203}} {
		img := ramp(size.X, size.Y)
		img.SetRGBA(size.X-1, size.Y-1, color.RGBA{250, 0, 0, 255})
		d := &brightest{step: 1}
		cfg := downstream.DefaultTiled()
		cfg.Batch = 3
		tiled, err := downstream.NewTiled(d, cfg)
		require.NoError(t, err)
		got, err := tiled.Score(t.Context(), img, img.SubImage(image.Rect(0, 0, size.X, size.Y)))
		require.NoError(t, err)
		require.Len(t, got, 2)
		require.Equal(t, got[0], got[1])
		require.Equal(t, 250.0, got[0].Score)
		m := got[0].Map
		require.Equal(t, []int{size.X, size.Y}, []int{m.W, m.H})
		require.Equal(t, dataset.Rect{MaxX: float64(size.X), MaxY: float64(size.Y)}, m.Rect)
		for y := range m.H {
			for x := range m.W {
				require.Equal(t, float32(img.RGBAAt(x, y).R), m.At(x, y))
			}
		}
		for _, n := range d.given {
			require.LessOrEqual(t, n, 3)
		}
	}
}

// Whatever the size, the side and the overlap, stitching leaves no seam: with a detector
// whose value of a pixel does not depend on the tile that it is seen in, the map is the
// same as that of one tile which is the whole picture.
func TestTiledMapsHaveNoSeams(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for range 60 {
		size := image.Pt(1+rng.IntN(150), 1+rng.IntN(150))
		img := ramp(size.X, size.Y)
		cfg := downstream.DefaultTiled()
		cfg.Batch, cfg.Tiles.Side, cfg.Tiles.Overlap, cfg.Tiles.Most = 1+rng.IntN(9), rng.IntN(90), 0.9*rng.Float64(), 1<<20
		tiled, err := downstream.NewTiled(&brightest{step: 1}, cfg)
		require.NoError(t, err)
		got, err := tiled.Score(t.Context(), img)
		require.NoError(t, err)
		m := got[0].Map
		require.Equal(t, []int{size.X, size.Y}, []int{m.W, m.H})
		for i, v := range m.Data {
			if want := float32(img.RGBAAt(i%m.W, i/m.W).R); v != want {
				t.Fatalf("%v in %+v: the value at %d,%d is %v, want %v", size, cfg.Tiles, i%m.W, i/m.W, v, want)
			}
		}
		require.Equal(t, m.Max(), got[0].Score)
	}
}

// However coarse a map is, no value of a tile is lost, and it stays within its bound;
// the colours of pictures of other kinds come through, wherever their origin is.
func TestTiledMapsAreBounded(t *testing.T) {
	for _, most := range []int{1, 2, 50, 999, 5000} {
		for _, step := range []int{1, 3, 5} {
			img := image.NewGray(image.Rect(-7, 11, 293, 61))
			img.SetGray(-7+298/step*step, 11, color.Gray{Y: 200})
			cfg := downstream.DefaultTiled()
			cfg.MapPixels, cfg.Tiles.Overlap = most, 0
			tiled, err := downstream.NewTiled(&brightest{step: step}, cfg)
			require.NoError(t, err)
			got, err := tiled.Score(t.Context(), img)
			require.NoError(t, err)
			m := got[0].Map
			require.LessOrEqual(t, len(m.Data), most)
			require.Len(t, m.Data, m.W*m.H)
			require.Equal(t, got[0].Score, m.Max(), "%d values, step %d", most, step)
		}
	}
	// As many tiles as there may be: what is held does not follow the picture.
	cfg := downstream.DefaultTiled()
	cfg.MapPixels, cfg.Batch = 100, 4
	d := &brightest{step: 1}
	tiled, err := downstream.NewTiled(d, cfg)
	require.NoError(t, err)
	got, err := tiled.Score(t.Context(), image.NewGray(image.Rect(0, 0, 7000, 10)))
	require.NoError(t, err)
	require.LessOrEqual(t, len(got[0].Map.Data), 100)
	require.Len(t, d.given, 234) // 933 tiles, four at a time
	_, err = tiled.Score(t.Context(), image.NewGray(image.Rect(0, 0, 9000, 10)))
	require.ErrorIs(t, err, dataset.ErrSize)
}

// A defect at the end of a long part is cut off by a centre, and found in a tile.
func TestTiledSeesTheEnds(t *testing.T) {
	part := func(defect bool, k int) dataset.Sample {
		m := image.NewRGBA(image.Rect(0, 0, 160, 40))
		for y := range 40 {
			for x := range 160 {
				v := uint8(100 + (x*3+y*5+k*11)%17)
				if defect && x > 148 && y > 14 && y < 26 {
					v = 230
				}
				m.SetRGBA(x, y, color.RGBA{v, v, v, 255})
			}
		}
		it := dataset.Item{Name: fmt.Sprintf("%d", k), Label: dataset.LabelGood, Defect: dataset.Good}
		if defect {
			it.Label, it.Defect = dataset.LabelDefective, "dent"
		}
		return dataset.Sample{Item: it, Image: m}
	}
	var good []dataset.Sample
	for k := range 12 {
		good = append(good, part(false, k))
	}
	train, err := dataset.NewMemory(good)
	require.NoError(t, err)
	test, err := dataset.NewMemory([]dataset.Sample{part(false, 20), part(true, 20), part(false, 21), part(true, 21)})
	require.NoError(t, err)
	cfg := fakeConfig()
	cfg.Transform = dataset.Transform{Shorter: 40, Crop: image.Pt(fakeSide, fakeSide)}
	centre, err := downstream.NewPaDiM(&fake{scale: 1}, cfg, nil)
	require.NoError(t, err)
	defer centre.Close()
	require.NoError(t, centre.Fit(t.Context(), train))
	cfg.Transform = dataset.Square(fakeSide)
	inner, err := downstream.NewPaDiM(&fake{scale: 1}, cfg, nil)
	require.NoError(t, err)
	tiled, err := downstream.NewTiled(inner, downstream.DefaultTiled())
	require.NoError(t, err)
	defer tiled.Close()
	require.NoError(t, tiled.Fit(t.Context(), train))

	scores := func(set func(yield func(downstream.Scored, error) bool)) (out []downstream.Scored) {
		for s, err := range set {
			require.NoError(t, err)
			out = append(out, s)
		}
		return out
	}
	c := scores(centre.ScoreSet(t.Context(), test))
	require.Equal(t, c[0].Score, c[1].Score, "the centre shows no defect")
	s := scores(tiled.ScoreSet(t.Context(), test))
	require.Greater(t, min(s[1].Score, s[3].Score), 2*max(s[0].Score, s[2].Score))
	for i, r := range s {
		require.Equal(t, test.Item(i), r.Item)
		require.InDelta(t, r.Score, r.Map.Max(), 1e-6*r.Score)
		require.Equal(t, []int{128, 32}, []int{r.Map.W, r.Map.H})
		one, err := tiled.Score(tensor.WithThreads(t.Context(), 1), part(i%2 == 1, 20+i/2).Image)
		require.NoError(t, err)
		require.InEpsilon(t, r.Score, one[0].Score, 1e-5)
	}
	at := 0
	for i, v := range s[1].Map.Data {
		if v > s[1].Map.Data[at] {
			at = i
		}
	}
	require.Greater(t, at%s[1].Map.W, 110, "the worst place is at the end")
}

func TestTiledRefuses(t *testing.T) {
	_, err := downstream.NewTiled(nil, downstream.DefaultTiled())
	require.ErrorIs(t, err, downstream.ErrConfig)
	for _, change := range []func(*downstream.TiledConfig){
		func(c *downstream.TiledConfig) { c.Batch = 0 }, func(c *downstream.TiledConfig) { c.MapPixels = 0 },
		func(c *downstream.TiledConfig) { c.MapPixels = math.MaxInt }, func(c *downstream.TiledConfig) { c.Tiles.Most = 0 },
	} {
		cfg := downstream.DefaultTiled()
		change(&cfg)
		_, err := downstream.NewTiled(&brightest{step: 1}, cfg)
		require.ErrorIs(t, err, downstream.ErrConfig)
	}
	d := &brightest{step: 1, hidden: 2}
	tiled, err := downstream.NewTiled(d, downstream.DefaultTiled())
	require.NoError(t, err)
	_, err = tiled.Score(t.Context(), ramp(20, 10))
	require.ErrorIs(t, err, downstream.ErrConfig)
	require.ErrorContains(t, err, "dataset.Square")
	var none *image.RGBA
	for _, img := range []image.Image{nil, none} {
		_, err = tiled.Score(t.Context(), img)
		require.ErrorIs(t, err, downstream.ErrImage)
	}
	bad, err := dataset.NewMemory([]dataset.Sample{{Item: dataset.Item{Label: dataset.LabelDefective, Defect: "dent"}, Image: ramp(20, 10)}})
	require.NoError(t, err)
	require.ErrorIs(t, tiled.Fit(t.Context(), bad), downstream.ErrNotNormal)
	require.Empty(t, d.fitted)
	for _, err := range tiled.ScoreSet(t.Context(), nil) {
		require.ErrorIs(t, err, downstream.ErrImage)
	}
	over, stop := context.WithCancel(t.Context())
	stop()
	for _, err := range tiled.ScoreSet(over, bad) {
		require.True(t, errors.Is(err, context.Canceled))
	}
	require.Equal(t, downstream.DefaultTiled(), tiled.Config())
	require.NoError(t, tiled.Close())
	require.True(t, d.closed)
}

// oblong are pictures of 64x32: three tiles each.
func oblong(n int, seed uint64) (out []image.Image) {
	for _, img := range textures(n, seed, 64) {
		out = append(out, dataset.ToRGBA(img.(*image.RGBA).SubImage(image.Rect(0, 16, 64, 48))))
	}
	return out
}

// A calibration of whole pictures is of their worst tiles, and decides about pictures in
// the same tiles alone. It is in the detector's file and ends with the fit.
func TestTiledIsCalibrated(t *testing.T) {
	noLeak(t)
	inner, err := downstream.NewPaDiM(&fake{scale: 1}, fakeConfig(), nil)
	require.NoError(t, err)
	tiled, err := downstream.NewTiled(inner, downstream.DefaultTiled())
	require.NoError(t, err)
	defer tiled.Close()
	good, held, img := oblong(6, 501), oblong(12, 502), oblong(1, 503)[0]
	_, err = tiled.Calibrate(t.Context(), memory(t, held), metrics.Conformal(0.2))
	require.ErrorIs(t, err, downstream.ErrNotFitted)
	require.NoError(t, tiled.Fit(t.Context(), memory(t, good)))
	_, err = tiled.Calibrate(t.Context(), memory(t, append(held[:11:11], good[2])), metrics.Conformal(0.2))
	require.ErrorIs(t, err, downstream.ErrSeen)
	c, err := tiled.Calibrate(t.Context(), memory(t, held), metrics.Conformal(0.2))
	require.NoError(t, err)
	requireCalibration(t, inner, c)
	results, err := tiled.Score(t.Context(), held...)
	require.NoError(t, err)
	var scores []float64
	for _, r := range results {
		scores = append(scores, r.Score)
		v, err := r.Verdict()
		require.NoError(t, err)
		require.Equal(t, r.Score >= c.Threshold(), v.Reject)
	}
	slices.Sort(scores)
	require.InEpsilonSlice(t, scores, c.Good(), batchTolerance)

	for name, of := range map[string]func() (downstream.Result, error){
		"the detector alone": func() (downstream.Result, error) {
			r, err := inner.Score(t.Context(), img)
			return r[0], err
		},
		"other tiles": func() (downstream.Result, error) {
			cfg := downstream.DefaultTiled()
			cfg.Tiles.Overlap = 0.5
			other, err := downstream.NewTiled(inner, cfg)
			require.NoError(t, err)
			r, err := other.Score(t.Context(), img)
			return r[0], err
		},
	} {
		r, err := of()
		require.NoError(t, err)
		_, err = r.Verdict()
		require.ErrorIs(t, err, downstream.ErrNotCalibrated, name)
		require.ErrorContains(t, err, "seen as tiles of side 0 that overlap by 0.25", name)
	}
	q := openedAs(t, inner)
	requireCalibration(t, q, c)
	again, err := downstream.NewTiled(q, downstream.DefaultTiled())
	require.NoError(t, err)
	r, err := again.Score(t.Context(), img)
	require.NoError(t, err)
	_, err = r[0].Verdict()
	require.NoError(t, err)
	other, err := inner.Recalibrate(t.Context(), metrics.Conformal(0.5))
	require.NoError(t, err)
	r, err = tiled.Score(t.Context(), img)
	require.NoError(t, err)
	v, err := r[0].Verdict()
	require.NoError(t, err)
	require.Equal(t, other.Threshold(), v.Threshold)

	// One of single images does not decide about tiles.
	_, err = inner.Calibrate(t.Context(), memory(t, textures(12, 504, fakeSide)), metrics.Conformal(0.2))
	require.NoError(t, err)
	r, err = tiled.Score(t.Context(), img)
	require.NoError(t, err)
	_, err = r[0].Verdict()
	require.ErrorIs(t, err, downstream.ErrNotCalibrated)
	require.NoError(t, tiled.Fit(t.Context(), memory(t, good)))
	requireCalibration(t, inner, nil)

	foreign, err := downstream.NewTiled(&brightest{step: 1}, downstream.DefaultTiled())
	require.NoError(t, err)
	_, err = foreign.Calibrate(t.Context(), memory(t, held), metrics.Conformal(0.2))
	require.ErrorIs(t, err, errors.ErrUnsupported)
}
