package tab_test

import (
	"context"
	"errors"
	"image"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// probed is a pretrainer of two epochs of four steps that is measured after each.
func probed(t *testing.T, probe tab.Probe, opts ...tab.Option) *tab.Pretrainer {
	t.Helper()
	c := config()
	c.ProbeEvery = 1
	p, err := tab.New(tab.Parts{Visual: newTiny(t), Anchors: bank(t, 16), Synth: generator(), Probe: probe}, c, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// A probe that fails takes nothing away: the step that it followed is told, and the
// next call goes on with the next epoch.
func TestAProbeThatFailsEndsTheEpoch(t *testing.T) {
	testutil.NoLeak(t)
	ds := material(t, 8)
	want := run(t, pretrainer(t, newTiny(t), config()), ds, 0)
	boom := errors.New("boom")
	fail := true
	p := probed(t, tab.ProbeFunc(func(context.Context, tab.VisualEncoder) ([]tab.Measure, error) {
		if fail {
			return nil, boom
		}
		return []tab.Measure{{Name: "figure", Value: 1}}, nil
	}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []float64
	var last tab.Step
	var failed error
	for st, err := range p.Steps(ctx, ds) {
		if st.Number > 0 {
			got = append(got, st.Loss)
		}
		if last, failed = st, err; len(got) > len(want) {
			cancel()
		}
	}
	require.ErrorIs(t, failed, boom)
	require.EqualValues(t, 4, last.Number, "the step that was taken comes with the error")
	require.Equal(t, [3]int{0, 3, 4}, [3]int{last.Epoch, last.Batch, last.Batches})
	require.Equal(t, want[:4], got)

	// Fit tells of the last step too, where the probe fails again.
	r, err := p.Fit(ctx, ds)
	require.ErrorIs(t, err, boom)
	require.Len(t, r.Epochs, 1)
	require.Equal(t, 1, r.Epochs[0].Epoch)
	require.Equal(t, 4, r.Epochs[0].Steps)
	require.EqualValues(t, 8, r.Steps)

	fail = false
	r, err = p.Fit(ctx, ds)
	require.NoError(t, err)
	require.Empty(t, r.Epochs, "all epochs are trained")
}

// A run that is cancelled while its probe measures goes on with the next epoch, from
// its checkpoint too.
func TestCancelledDuringAProbe(t *testing.T) {
	testutil.NoLeak(t)
	ds := material(t, 8)
	whole := newTiny(t)
	want := run(t, pretrainer(t, whole, config()), ds, 0)
	ctx, cancel := context.WithCancel(t.Context())
	path := filepath.Join(t.TempDir(), "run.ckpt")
	p := probed(t, tab.ProbeFunc(func(ctx context.Context, _ tab.VisualEncoder) ([]tab.Measure, error) {
		cancel()
		return nil, ctx.Err()
	}), tab.WithCheckpoint(path))
	r, err := p.Fit(ctx, ds)
	require.ErrorIs(t, err, context.Canceled)
	require.EqualValues(t, 4, r.Steps)

	net := newTiny(t)
	q, err := tab.Resume(path, tab.Parts{Visual: net, Synth: generator()})
	require.NoError(t, err)
	defer func() { require.NoError(t, q.Close()) }()
	require.Equal(t, want[4:], run(t, q, ds, len(want))) // no more than a whole run has
	require.Equal(t, arrays(t, whole), arrays(t, net))
}

// A checkpoint that stands where no run stands is refused, and does not loop.
func TestImpossiblePlaces(t *testing.T) {
	testutil.NoLeak(t)
	ds := material(t, 8)
	path := filepath.Join(t.TempDir(), "run.ckpt")
	p := pretrainer(t, newTiny(t), config())
	run(t, p, ds, 3)
	require.NoError(t, p.SaveCheckpoint(path))
	w, err := tensor.OpenWeights(path)
	require.NoError(t, err)
	for _, change := range [][2]string{
		{`"batch":3`, `"batch":4`}, {`"batch":3`, `"batch":400`}, {`"batch":3`, `"batch":-1`},
		{`"epoch":0`, `"epoch":3`}, {`"epoch":0`, `"epoch":2`}, {`"epoch":0`, `"epoch":-1`}, {`"step":3`, `"step":-3`},
		{`"width":16`, `"width":1000000000000`}, {`"width":16`, `"width":8`},
	} {
		st := strings.Replace(w.Metadata["state"], change[0], change[1], 1)
		require.NotEqual(t, w.Metadata["state"], st, "%v", change)
		bad := filepath.Join(t.TempDir(), "bad.ckpt")
		require.NoError(t, tensor.SaveWeights(bad, map[string]string{"version": w.Metadata["version"], "state": st}, w.Arrays))
		q, err := tab.Resume(bad, tab.Parts{Visual: newTiny(t), Synth: generator()})
		if err == nil {
			ctx, cancel := context.WithTimeout(t.Context(), 30e9) // ends a loop, which is the fault
			_, err = q.Fit(ctx, ds)
			cancel()
			require.NoError(t, q.Close())
		}
		require.ErrorIs(t, err, tab.ErrCheckpoint, "%v", change)
	}
}

// ownBatch is a batch of a caller.
func ownBatch() tab.Batch {
	n := 2 * side * side * 3
	b := tab.Batch{H: side, W: side, Normal: make([]float32, n), Abnormal: make([]float32, n), Class: []int{0, 1}}
	for i := range b.Normal {
		b.Normal[i], b.Abnormal[i] = float32(i%7)/7, float32(i%5)/5
	}
	return b
}

// A batch of the caller's own takes the rate of the epoch and no place in it.
func TestStepAmongSteps(t *testing.T) {
	testutil.NoLeak(t)
	ds := material(t, 8)
	c := config()
	c.Epochs = 8
	c.Schedule = tab.Schedule{Cosine: true, Warmup: 2, PerStep: true}
	p := pretrainer(t, newTiny(t), c)
	places := func(n int) (out [][3]int) {
		for st, err := range p.Steps(t.Context(), ds) {
			require.NoError(t, err)
			if out = append(out, [3]int{st.Epoch, st.Batch, st.Batches}); len(out) == n {
				break
			}
		}
		return out
	}
	own := func() tab.Step {
		st, err := p.Step(t.Context(), ownBatch())
		require.NoError(t, err)
		return st
	}
	require.Equal(t, [][3]int{{0, 0, 4}, {0, 1, 4}, {0, 2, 4}}, places(3))
	for i := range 3 {
		st := own()
		require.Equal(t, [3]int{0, i, 0}, [3]int{st.Epoch, st.Batch, st.Batches})
		require.EqualValues(t, 4+i, st.Number)
		require.InDelta(t, c.LR/2, st.LR, 1e-12, "the warm-up that the first of two epochs ends with")
	}
	require.Equal(t, [][3]int{{0, 3, 4}, {1, 0, 4}, {1, 1, 4}}, places(3), "no batch is left out or seen twice")
	st := own()
	require.Equal(t, [3]int{1, 0, 0}, [3]int{st.Epoch, st.Batch, st.Batches})
	require.InDelta(t, c.LR, st.LR, 1e-12)
	require.EqualValues(t, 10, st.Number)
	_, err := p.EndEpoch(t.Context())
	require.NoError(t, err)
	require.Equal(t, 0, own().Batch)
	require.Equal(t, [][3]int{{2, 0, 4}}, places(1), "EndEpoch ends the epoch for both")
	for range 6 {
		_, err = p.EndEpoch(t.Context())
		require.NoError(t, err)
	}
	_, err = p.EndEpoch(t.Context())
	require.ErrorIs(t, err, tab.ErrConfig, "there are eight epochs")
}

// spoiled is a generator whose pairs are changed.
type spoiled struct {
	synth.Generator
	spoil func(p *synth.Pair)
}

func (g spoiled) Generate(dst, src image.Image, rng *rand.Rand) (synth.Pair, error) {
	p, err := g.Generator.Generate(dst, src, rng)
	if err == nil {
		g.spoil(&p)
	}
	return p, err
}

func TestGeneratorsOfStrangers(t *testing.T) {
	testutil.NoLeak(t)
	for name, spoil := range map[string]func(p *synth.Pair){
		"no image":        func(p *synth.Pair) { p.Image = nil },
		"small image":     func(p *synth.Pair) { p.Image = image.NewRGBA(image.Rect(0, 0, side, side-1)) },
		"image cut off":   func(p *synth.Pair) { p.Image.Pix = p.Image.Pix[:len(p.Image.Pix)-1] },
		"image's stride":  func(p *synth.Pair) { p.Image.Stride = 4*side - 4 },
		"no mask":         func(p *synth.Pair) { p.Mask = nil },
		"zero mask":       func(p *synth.Pair) { p.Mask = &image.Gray{} },
		"small mask":      func(p *synth.Pair) { p.Mask = image.NewGray(image.Rect(0, 0, side/2, side/2)) },
		"large mask":      func(p *synth.Pair) { p.Mask = image.NewGray(image.Rect(0, 0, side+1, side)) },
		"mask cut off":    func(p *synth.Pair) { p.Mask.Pix = p.Mask.Pix[:side] },
		"mask's stride":   func(p *synth.Pair) { p.Mask.Stride = side - 1 },
		"stride 0":        func(p *synth.Pair) { p.Mask.Stride = 0 },
		"stride below 0":  func(p *synth.Pair) { p.Mask.Stride = -side },
		"stride too wide": func(p *synth.Pair) { p.Mask.Stride = side + 1 },
		"empty mask":      func(p *synth.Pair) { p.Mask = image.NewGray(p.Mask.Rect) },
	} {
		t.Run(name, func(t *testing.T) {
			c := config()
			c.Objective, c.Epochs = spot{}, 1
			p, err := tab.New(tab.Parts{Visual: newTiny(t), Synth: spoiled{generator(), spoil}}, c)
			require.NoError(t, err)
			defer func() { require.NoError(t, p.Close()) }()
			_, err = p.Fit(t.Context(), material(t, 4))
			require.ErrorIs(t, err, tab.ErrConfig)
			require.Regexp(t, `twin of (cloth|steel)/00\d`, err.Error())
		})
	}
	// A raster that is part of a larger one is read where it lies.
	wide := func(p *synth.Pair) {
		m := image.NewGray(image.Rect(-3, -5, side+9, side+2))
		for y := range side {
			copy(m.Pix[m.PixOffset(0, y):][:side], p.Mask.Pix[y*p.Mask.Stride:])
		}
		p.Mask = m.SubImage(image.Rect(0, 0, side, side)).(*image.Gray)
	}
	losses := func(spoil func(p *synth.Pair)) []float64 {
		c := config()
		c.Objective, c.Epochs = spot{}, 1
		p, err := tab.New(tab.Parts{Visual: newTiny(t), Synth: spoiled{generator(), spoil}}, c)
		require.NoError(t, err)
		defer func() { require.NoError(t, p.Close()) }()
		return run(t, p, material(t, 4), 0)
	}
	require.Equal(t, losses(func(*synth.Pair) {}), losses(wide))
}
