package tab

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// parts are n good images of each class, beginning with number from.
func parts(t testing.TB, from, n int, classes ...string) dataset.Dataset {
	t.Helper()
	var s []dataset.Sample
	for _, c := range classes {
		for i := range n {
			s = append(s, surface(c, c == "blotched", from+i))
		}
	}
	ds, err := dataset.NewMemory(s)
	require.NoError(t, err)
	return ds
}

func watchConfig() WatchConfig {
	c := DefaultWatch()
	c.Transform, c.Layers = dataset.Square(twinSide), []backbone.Layer{backbone.Layer1, backbone.Layer3}
	return c
}

// altered is a network whose features are another's, changed.
type altered struct {
	VisualEncoder
	change func(s *tensor.Scope, x, f *tensor.Tensor) *tensor.Tensor
}

func (a altered) Forward(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) []*tensor.Tensor {
	out := a.VisualEncoder.Forward(s, x, at...)
	for i := range out {
		out[i] = a.change(s, x, out[i])
	}
	return out
}

func watchNet(t testing.TB, seed uint64) *backbone.ResNet18 {
	t.Helper()
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(seed, 4)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, net.Close()) })
	return net
}

func lookAt(t testing.TB, w *Watch, now VisualEncoder) []GoodParts {
	t.Helper()
	got, err := w.Look(t.Context(), now)
	require.NoError(t, err)
	return got
}

func TestWatch(t *testing.T) {
	testutil.NoLeak(t)
	net := watchNet(t, 3)
	known, kept := parts(t, 0, 8, "even", "blotched"), parts(t, 100, 3, "even", "blotched")
	w, err := NewWatch(t.Context(), net, known, kept, watchConfig())
	require.NoError(t, err)

	same := lookAt(t, w, net)
	require.Len(t, same, 4)
	for i, g := range same {
		require.Equal(t, [2]string{[]string{"blotched", "even"}[i/2], []string{"layer1", "layer3"}[i%2]}, [2]string{g.Class, g.Layer})
		require.Equal(t, [2]int{8, 3}, [2]int{g.Known, g.Kept})
		require.Contains(t, g.String(), "; 3 and 8 images)")
		require.Zero(t, g.Moved)
		require.Zero(t, g.MovedFar)
		require.Positive(t, g.Bound)
		require.Positive(t, g.Unseen)
		require.Equal(t, g.UnseenStart, g.Unseen)
		require.InDelta(t, 1, g.Spread, 1e-12)
		require.Equal(t, g.RankStart, g.Rank)
		require.InDelta(t, 1, g.CKA, 1e-12)
		require.Greater(t, g.Rank, 1.0)
		require.Less(t, g.Rank, []float64{64, 256}[i%2])
	}

	// Twice as large features: they have moved, and are told apart as before.
	double := lookAt(t, w, altered{net, func(s *tensor.Scope, _, f *tensor.Tensor) *tensor.Tensor { return s.MulScalar(f, 2) }})
	for i, g := range double {
		require.Positive(t, g.Moved)
		require.Greater(t, g.MovedFar, g.Moved)
		require.InEpsilon(t, 4, g.Spread, 1e-6)
		require.InEpsilon(t, same[i].Rank, g.Rank, 1e-6)
		require.InDelta(t, 1, g.CKA, 1e-9)
		require.InEpsilon(t, same[i].Unseen, g.Unseen, 1e-4)
		require.Equal(t, same[i].UnseenStart, g.UnseenStart)
	}

	// One direction is left: rank 1.
	flat := lookAt(t, w, altered{net, func(s *tensor.Scope, _, f *tensor.Tensor) *tensor.Tensor {
		return s.Expand(s.Mean(f, true, 1), f.Shape()...)
	}})
	for i, g := range flat {
		require.InDelta(t, 1, g.Rank, 1e-6)
		require.Less(t, g.CKA, same[i].CKA)
	}

	measures, err := w.Probe(t.Context(), net)
	require.NoError(t, err)
	require.Len(t, measures, 4*7)
	require.Equal(t, Measure{"good/blotched/layer1/moved", 0}, measures[0])
	require.Equal(t, Measure{"good/even/layer3/rank", same[3].Rank}, measures[26])
}

// A network that knows the parts of its training by heart treats others otherwise: here by a bright corner, which
// only the parts kept apart have.
func TestWatchSeesWhatIsLearntByHeart(t *testing.T) {
	testutil.NoLeak(t)
	net := watchNet(t, 3)
	known, kept := parts(t, 0, 8, "blotched"), parts(t, 100, 4, "blotched")
	var marked []dataset.Sample
	for i := range kept.Len() {
		s, err := kept.Sample(t.Context(), i)
		require.NoError(t, err)
		copy(s.Image.Pix, []uint8{255, 255, 255})
		marked = append(marked, s)
	}
	kept, err := dataset.NewMemory(marked)
	require.NoError(t, err)
	cfg := watchConfig()
	w, err := NewWatch(t.Context(), net, known, kept, cfg)
	require.NoError(t, err)
	for _, g := range lookAt(t, w, altered{net, func(s *tensor.Scope, x, f *tensor.Tensor) *tensor.Tensor {
		corner := s.Narrow(s.Narrow(s.Narrow(x, 1, 0, 1), 2, 0, 1), 3, 0, 1)
		return s.Mul(f, s.AddScalar(reaches(s, corner, s.FromFloats([]float32{2}, 1)), 1)) // twice as large where the corner is white
	}}) {
		require.Greater(t, g.Unseen, 1.2*g.UnseenStart, g.Layer)
		require.Positive(t, g.Moved)
		require.InDelta(t, 1, g.Spread, 1e-9, "the parts in training are as they were")
		require.Equal(t, g.RankStart, g.Rank)
	}
}

// The figures are those of plain loops over the features, the alignment by way of the kernels' products and the
// rank by way of singular values.
func TestWatchAgainstLoops(t *testing.T) {
	testutil.NoLeak(t)
	start, now := watchNet(t, 3), watchNet(t, 5)
	known, kept := parts(t, 0, 6, "blotched"), parts(t, 100, 3, "blotched")
	cfg := watchConfig()
	cfg.Layers = []backbone.Layer{backbone.Layer3}
	var want GoodParts
	for _, batch := range []int{1, 2, 16} { // which changes nothing but rounding
		cfg.Batch = batch
		w, err := NewWatch(t.Context(), start, known, kept, cfg)
		require.NoError(t, err)
		got := lookAt(t, w, now)
		require.Len(t, got, 1)
		g := got[0]
		if batch == 1 {
			want = watchSlowly(t, start, now, w, cfg)
		}
		for name, pair := range map[string][2]float64{"moved": {want.Moved, g.Moved}, "far": {want.MovedFar, g.MovedFar}, "unseen": {want.Unseen, g.Unseen},
			"start": {want.UnseenStart, g.UnseenStart}, "spread": {want.Spread, g.Spread}, "rank": {want.Rank, g.Rank}, "rank start": {want.RankStart, g.RankStart}, "cka": {want.CKA, g.CKA}} {
			require.InEpsilon(t, pair[0], pair[1], 1e-4, "%s, batch %d", name, batch)
		}
	}
	require.Less(t, want.CKA, 0.9, "the networks differ")
}

func watchSlowly(t *testing.T, start, now VisualEncoder, w *Watch, cfg WatchConfig) (g GoodParts) {
	t.Helper()
	p := w.products[0]
	before := p.before[0]
	all, err := w.spreads(t.Context(), now, p)
	require.NoError(t, err)
	after := all[0]
	c, n, positionsOf := before.C, len(p.kept.order), before.H*before.W
	features := func(net VisualEncoder, i int) []float64 { // [position][channel]
		pix := make([]float32, 3*twinSide*twinSide)
		require.NoError(t, p.kept.pack(t.Context(), i, pix))
		var v []float64
		require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			var err error
			v, err = s.Float64s(s.Permute(net.Forward(s, s.FromNHWC(pix, 1, twinSide, twinSide, 3), cfg.Layers[0])[0], 0, 2, 3, 1))
			return err
		}))
		return v
	}
	q := func(whiten, v []float64) float64 {
		sum := 0.0
		for j := range c {
			x := 0.0
			for i := range c {
				x += v[i] * whiten[i*c+j]
			}
			sum += x * x
		}
		return sum / float64(c)
	}
	var moved, unseen, unseenStart []float64
	a, b := mat.NewDense(n*positionsOf, c, nil), mat.NewDense(n*positionsOf, c, nil)
	for i := range n {
		was, is := features(start, i), features(now, i)
		for r := range positionsOf {
			d, x, y := make([]float64, c), make([]float64, c), make([]float64, c)
			for k := range c {
				d[k] = is[r*c+k] - was[r*c+k]
				x[k] = was[r*c+k] - before.Mean[r*c+k]
				y[k] = is[r*c+k] - after.Mean[r*c+k]
			}
			moved, unseenStart, unseen = append(moved, q(before.Whiten, d)), append(unseenStart, q(before.Whiten, x)), append(unseen, q(after.Whiten, y))
			a.SetRow(i*positionsOf+r, x)
			b.SetRow(i*positionsOf+r, y)
		}
	}
	far := func(v []float64) float64 {
		slices.Sort(v)
		at := 0.99 * float64(len(v)-1)
		lo := int(at)
		return v[lo] + (at-float64(lo))*(v[min(lo+1, len(v)-1)]-v[lo])
	}
	for _, v := range moved {
		g.Moved += v / float64(len(moved))
	}
	g.Moved = math.Sqrt(g.Moved)
	g.MovedFar, g.UnseenStart, g.Unseen = math.Sqrt(far(moved)), math.Sqrt(far(unseenStart)/before.Normal[level99]), math.Sqrt(far(unseen)/after.Normal[level99])
	rank := func(cov []float64) (float64, float64) {
		var svd mat.SVD
		require.True(t, svd.Factorize(mat.NewDense(c, c, slices.Clone(cov)), mat.SVDNone))
		sum, entropy := 0.0, 0.0
		for _, v := range svd.Values(nil) {
			sum += v
		}
		for _, v := range svd.Values(nil) {
			if v > 0 {
				entropy -= v / sum * math.Log(v/sum)
			}
		}
		return math.Exp(entropy), sum // the trace, as the matrix has no negative eigenvalue
	}
	var tr [2]float64
	g.RankStart, tr[0] = rank(before.Covariance)
	g.Rank, tr[1] = rank(after.Covariance)
	g.Spread = tr[1] / tr[0]
	// Centred kernels K and L: sum of K L over the root of the sums of K K and L L.
	kernel := func(m *mat.Dense) *mat.Dense {
		rows, _ := m.Dims()
		for j := range c {
			mean := mat.Sum(m.ColView(j)) / float64(rows)
			for i := range rows {
				m.Set(i, j, m.At(i, j)-mean)
			}
		}
		var k mat.Dense
		k.Mul(m, m.T())
		return &k
	}
	k, l := kernel(a), kernel(b)
	inner := func(x, y *mat.Dense) float64 {
		var e mat.Dense
		e.MulElem(x, y)
		return mat.Sum(&e)
	}
	g.CKA = inner(k, l) / math.Sqrt(inner(k, k)*inner(l, l))
	return g
}

func TestEffectiveRank(t *testing.T) {
	for want, m := range map[float64][]float64{2: {3, 0, 0, 3}, 1: {4, 2, 2, 1}} {
		got, err := effectiveRank(m, 2)
		require.NoError(t, err)
		require.InDelta(t, want, got, 1e-6)
	}
	got, err := effectiveRank([]float64{3, 0, 0, 1}, 2) // 3/4 and 1/4
	require.NoError(t, err)
	require.InDelta(t, math.Exp(-0.75*math.Log(0.75)-0.25*math.Log(0.25)), got, 1e-12)
}

func TestWatchRefuses(t *testing.T) {
	testutil.NoLeak(t)
	net := watchNet(t, 3)
	known, kept := parts(t, 0, 4, "even"), parts(t, 100, 1, "even")
	make1 := func(known, kept dataset.Dataset, change func(*WatchConfig)) error {
		cfg := watchConfig()
		if change != nil {
			change(&cfg)
		}
		_, err := NewWatch(t.Context(), net, known, kept, cfg)
		return err
	}
	require.NoError(t, make1(known, kept, nil))
	for says, err := range map[string]error{
		"is nil":                  make1(nil, kept, nil),
		"there are 3, at least 4": make1(parts(t, 0, 3, "even"), kept, nil),
		"Images is 3":             make1(known, kept, func(c *WatchConfig) { c.Images = 3 }),
		"Batch is 0":              make1(known, kept, func(c *WatchConfig) { c.Batch = 0 }),
		"Ridge is 0":              make1(known, kept, func(c *WatchConfig) { c.Ridge = 0 }),
		"Layers is empty":         make1(known, kept, func(c *WatchConfig) { c.Layers = nil }),
		"none twice":              make1(known, kept, func(c *WatchConfig) { c.Layers = []backbone.Layer{1, 1} }),
		"no image is kept":        make1(known, dataset.Filter(kept, func(dataset.Item) bool { return false }), nil),
	} {
		require.ErrorIs(t, err, ErrConfig, says)
		require.ErrorContains(t, err, says)
	}
	require.ErrorIs(t, make1(known, parts(t, 0, 1, "blotched"), nil), ErrUnknownClass)

	w, err := NewWatch(t.Context(), net, known, kept, watchConfig())
	require.NoError(t, err)
	small := pools{tensor.NewParams(tensor.CPU)}
	defer small.params.Close()
	_, err = w.Look(t.Context(), small)
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, "layer1 has 3 channels, and had 64")
	_, err = w.Look(t.Context(), nil)
	require.ErrorIs(t, err, ErrConfig)
	_, err = new(Watch).Look(t.Context(), net)
	require.ErrorIs(t, err, ErrConfig)
	_, err = w.Look(t.Context(), altered{net, func(s *tensor.Scope, _, f *tensor.Tensor) *tensor.Tensor { return s.MulScalar(f, 0) }})
	require.ErrorIs(t, err, ErrConfig, "all images have become the same")
	require.ErrorContains(t, err, fmt.Sprintf("%q", "even"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = w.Look(ctx, net)
	require.ErrorIs(t, err, context.Canceled)
	_, err = w.Probe(ctx, net)
	require.ErrorIs(t, err, context.Canceled)
}
