package controls

import (
	"context"
	"errors"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }

func network(t *testing.T, seed uint64) *backbone.ResNet {
	t.Helper()
	m, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(seed, 1)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

const side = 64

func pixels(name string, n int) []float32 { return testutil.Draw(name, int64(n*3*side*side)) }

func features(t *testing.T, m *backbone.ResNet, mode tensor.Mode, px []float32, at ...backbone.Layer) [][]float32 {
	t.Helper()
	var out [][]float32
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, mode, func(s *tensor.Scope) error {
		for _, f := range m.Forward(s, s.FromNHWC(px, len(px)/3/side/side, side, side, 3), at...) {
			v, err := s.Floats(f)
			if err != nil {
				return err
			}
			out = append(out, v)
		}
		return nil
	}))
	return out
}

func arrays(t *testing.T, p *tensor.Params) map[string][]float32 {
	t.Helper()
	all, err := p.Arrays(t.Context())
	require.NoError(t, err)
	out := map[string][]float32{}
	for _, a := range all {
		if a.DType != tensor.Float32 {
			continue
		}
		v, err := a.Floats()
		require.NoError(t, err)
		out[a.Name] = v
	}
	return out
}

func TestUniform(t *testing.T) {
	testutil.NoLeak(t)
	m, px := network(t, 1), pixels("uniform", 2)
	layers := []backbone.Layer{backbone.Layer1, backbone.Layer2, backbone.Layer3, backbone.Layer4}
	before := features(t, m, tensor.Evaluation, px, layers...)
	for _, f := range Factors() {
		scaled, err := m.Clone(t.Context())
		require.NoError(t, err)
		require.NoError(t, Uniform(t.Context(), scaled, f))
		for l, after := range features(t, scaled, tensor.Evaluation, px, layers...) {
			for i, v := range before[l] {
				if l < 3 {
					v *= float32(f) // powers of two: exact
				}
				require.Equal(t, v, after[i])
			}
		}
		require.NoError(t, scaled.Close())
	}
	for _, f := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		require.ErrorIs(t, Uniform(t.Context(), m, f), ErrControl)
	}
}

// Noise is as long as the way of the training, tensor by tensor, and goes elsewhere.
func TestNoise(t *testing.T) {
	testutil.NoLeak(t)
	start, trained, dst := network(t, 1), network(t, 2), network(t, 3)
	// A training that left a tensor alone, and moved statistics.
	from := arrays(t, start.Params())
	const kept = "layer2.0.conv1.weight"
	for _, a := range []tensor.Array{
		tensor.FloatArray(kept, from[kept], 128, 64, 3, 3),
		tensor.FloatArray("bn1.running_var", pixels("variance", 1)[:64], 64),
	} {
		require.NoError(t, trained.Params().SetArrays(t.Context(), []tensor.Array{a}, func(string) bool { return true }))
	}
	to := arrays(t, trained.Params())
	require.NoError(t, Noise(t.Context(), dst.Params(), start.Params(), trained.Params(), rand.New(rand.NewPCG(8, 9))))
	got := arrays(t, dst.Params())
	moved := 0
	for name, a := range from {
		way, length, along := 0.0, 0.0, 0.0
		for i := range a {
			x, y := float64(to[name][i])-float64(a[i]), float64(got[name][i])-float64(a[i])
			way, length, along = way+x*x, length+y*y, along+x*y
		}
		if name == kept || start.Params().IsBuffer(name) || way == 0 {
			require.Equal(t, a, got[name], name)
			continue
		}
		moved++
		require.InEpsilon(t, way, length, 1e-4, name)
		require.Less(t, math.Abs(along), 0.5*way, name)
	}
	require.Greater(t, moved, 15)

	again := network(t, 3)
	require.NoError(t, Noise(t.Context(), again.Params(), start.Params(), trained.Params(), rand.New(rand.NewPCG(8, 9))))
	require.Equal(t, got, arrays(t, again.Params()))
	other, err := backbone.New(backbone.ArchResNet34, tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	defer other.Close()
	require.ErrorIs(t, Noise(t.Context(), again.Params(), start.Params(), other.Params(), rand.New(rand.NewPCG(1, 1))), ErrControl)
	require.Equal(t, got, arrays(t, again.Params()))
}

// With the statistics of a batch, evaluation gives what training gives on it, but for
// the n/(n-1) of the variance, which is small where a channel has many values.
func TestRemeasure(t *testing.T) {
	testutil.NoLeak(t)
	a, b := pixels("batch a", 4), pixels("batch b", 4)
	of := func(batches ...[]float32) func(func([]float32, int, int, int) error) error {
		return func(yield func([]float32, int, int, int) error) error {
			for _, px := range batches {
				if err := yield(px, len(px)/3/side/side, side, side); err != nil {
					return err
				}
			}
			return nil
		}
	}
	m := network(t, 4)
	before := arrays(t, m.Params())
	plain, err := m.Clone(t.Context())
	require.NoError(t, err)
	defer plain.Close()
	want := features(t, plain, tensor.Training, a, backbone.Stem, backbone.Layer1)
	require.NoError(t, Remeasure(t.Context(), m, of(a)))
	for l, f := range features(t, m, tensor.Evaluation, a, backbone.Stem, backbone.Layer1) {
		for i := range f { // 4096 values of a channel in the stem, 1024 in each of layer 1's four norms
			require.InDelta(t, want[l][i], f[i], []float64{1e-3, 2e-2}[l])
		}
	}
	onA := arrays(t, m.Params())
	for name, v := range before {
		if !statistic(name) {
			require.Equal(t, v, onA[name], name)
		} else {
			require.NotEqual(t, v, onA[name], name)
		}
	}

	// What was there before says nothing, frozen statistics or not, and batches are averaged.
	m.FreezeStatistics(func(backbone.Layer) bool { return true })
	require.NoError(t, Remeasure(t.Context(), m, of(b)))
	require.True(t, m.StatisticsFrozen(backbone.Layer3))
	onB := arrays(t, m.Params())
	require.NoError(t, Remeasure(t.Context(), m, of(a, b)))
	for name, v := range arrays(t, m.Params()) {
		if statistic(name) {
			for i := range v {
				require.InDelta(t, (onA[name][i]+onB[name][i])/2, v[i], 1e-6*math.Max(1, math.Abs(float64(v[i]))), name)
			}
		}
	}
}

func TestRemeasureRefuses(t *testing.T) {
	testutil.NoLeak(t)
	m := network(t, 5)
	before := arrays(t, m.Params())
	stop := errors.New("stop")
	for name, c := range map[string]struct {
		batches func(func([]float32, int, int, int) error) error
		want    error
	}{
		"none":      {func(func([]float32, int, int, int) error) error { return nil }, ErrControl},
		"one image": {func(y func([]float32, int, int, int) error) error { return y(pixels("x", 1), 1, side, side) }, ErrControl},
		"short":     {func(y func([]float32, int, int, int) error) error { return y(pixels("x", 1), 2, side, side) }, ErrControl},
		"broken off": {func(y func([]float32, int, int, int) error) error {
			return errors.Join(y(pixels("x", 2), 2, side, side), stop)
		}, stop},
	} {
		require.ErrorIs(t, Remeasure(t.Context(), m, c.batches), c.want, name)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, Remeasure(ended, m, func(y func([]float32, int, int, int) error) error { return y(pixels("x", 2), 2, side, side) }), context.Canceled)
	require.Equal(t, before, arrays(t, m.Params()))
}

// drawing ends a context when it is drawn from.
type drawing struct{ end func() }

func (d drawing) Uint64() uint64 { d.end(); return 1 }

// A context that ends between reading and writing says nothing of the networks.
func TestEndedIsNoFaultOfContent(t *testing.T) {
	testutil.NoLeak(t)
	start, trained := network(t, 1), network(t, 2)
	before := arrays(t, start.Params())
	ctx, cancel := context.WithCancel(t.Context())
	err := Noise(ctx, start.Params(), start.Params(), trained.Params(), rand.New(drawing{cancel}))
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ErrControl)
	ctx, cancel = context.WithCancel(t.Context())
	err = Remeasure(ctx, start, func(y func([]float32, int, int, int) error) error {
		defer cancel()
		return y(pixels("x", 2), 2, side, side)
	})
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ErrControl)
	require.Equal(t, before, arrays(t, start.Params()))

	// Numbers that are not finite are.
	huge := pixels("x", 2)
	huge[0] = float32(math.Inf(1))
	require.ErrorIs(t, Remeasure(t.Context(), start, func(y func([]float32, int, int, int) error) error { return y(huge, 2, side, side) }), ErrControl)
	require.Equal(t, before, arrays(t, start.Params()))
}

func TestBatches(t *testing.T) {
	var samples []dataset.Sample
	for i := range 7 {
		img := image.NewRGBA(image.Rect(0, 0, 4, 3))
		for k := range img.Pix {
			img.Pix[k] = uint8(10 * i)
		}
		samples = append(samples, dataset.Sample{Item: dataset.Item{Name: strings.Repeat("i", i+1), Class: "c", Label: dataset.LabelGood}, Image: img})
	}
	ds, err := dataset.NewMemory(samples)
	require.NoError(t, err)
	identity := dataset.Normalize{Std: [3]float32{1, 1, 1}}
	for most, want := range map[int][]int{2: {2, 2, 3}, 3: {2, 2, 3}, 4: {3, 4}, 7: {7}, 100: {7}} {
		var sizes []int
		var seen []float32
		require.NoError(t, Batches(t.Context(), ds, dataset.Transform{}, identity, most)(func(px []float32, n, h, w int) error {
			require.Equal(t, []int{3, 4, 3 * n * 4 * 3}, []int{h, w, len(px)})
			sizes = append(sizes, n)
			for i := range n {
				seen = append(seen, px[i*36])
			}
			return nil
		}))
		require.Equal(t, want, sizes, most)
		for i, v := range seen {
			require.InDelta(t, float64(10*i)/255, v, 1e-6)
		}
	}
	nothing := func([]float32, int, int, int) error { return nil }
	require.ErrorIs(t, Batches(t.Context(), ds, dataset.Transform{}, identity, 1)(nothing), ErrControl)
	samples[5].Image = image.NewRGBA(image.Rect(0, 0, 5, 3))
	mixed, err := dataset.NewMemory(samples)
	require.NoError(t, err)
	require.ErrorIs(t, Batches(t.Context(), mixed, dataset.Transform{}, identity, 4)(nothing), ErrControl)
}
