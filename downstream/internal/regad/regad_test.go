package regad

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/tensor"
)

// slowDistances is the definition: at each position of the first layer's grid a
// covariance of all channels by its formula, and a dense solve, in double
// precision. samples and queries are images as lists of the layers' maps
// [c][h][w], flat.
func slowDistances(t *testing.T, maps []network.MapShape, samples, queries [][][]float32, epsilon float64) (out [][]float64) {
	t.Helper()
	grid := maps[0]
	at := func(image [][]float32, y, x int) (v []float64) {
		for i, m := range maps {
			for c := range m.C {
				v = append(v, float64(image[i][(c*m.H+y*m.H/grid.H)*m.W+x*m.W/grid.W]))
			}
		}
		return v
	}
	for y := range grid.H {
		for x := range grid.W {
			var rows [][]float64
			for _, img := range samples {
				rows = append(rows, at(img, y, x))
			}
			n, c := len(rows), len(rows[0])
			mean := make([]float64, c)
			for _, r := range rows {
				for k, v := range r {
					mean[k] += v / float64(n)
				}
			}
			cov := mat.NewSymDense(c, nil)
			for a := range c {
				for b := a; b < c; b++ {
					sum := 0.0
					for _, r := range rows {
						sum += (r[a] - mean[a]) * (r[b] - mean[b])
					}
					if sum /= float64(n - 1); a == b {
						sum += epsilon
					}
					cov.SetSym(a, b, sum)
				}
			}
			var chol mat.Cholesky
			require.True(t, chol.Factorize(cov))
			var of []float64
			for _, q := range queries {
				d := mat.NewVecDense(c, nil)
				for k, v := range at(q, y, x) {
					d.SetVec(k, v-mean[k])
				}
				var solved mat.VecDense
				require.NoError(t, chol.SolveVecTo(&solved, d))
				of = append(of, math.Sqrt(mat.Dot(d, &solved)))
			}
			out = append(out, of)
		}
	}
	return out
}

// randomImages have channels that hang together, some of much larger spread than
// the rest, and are far from zero: what lets digits cancel.
func randomImages(rng *rand.Rand, n int, maps []network.MapShape) (out [][][]float32) {
	for range n {
		var img [][]float32
		for _, m := range maps {
			v := make([]float32, m.Len())
			common := make([]float64, m.H*m.W)
			for i := range common {
				common[i] = 3 * rng.NormFloat64()
			}
			for i := range v {
				c := i / (m.H * m.W)
				v[i] = float32(5 + common[i%(m.H*m.W)]/float64(1+c%5) + 0.4*rng.NormFloat64())
			}
			img = append(img, v)
		}
		out = append(out, img)
	}
	return out
}

// TestRegADDistancesEqualADenseSolve holds both forms of the statistics against
// the definition: fewer samples than channels, and more.
func TestRegADDistancesEqualADenseSolve(t *testing.T) {
	// tolerance is in units of the largest distance. In the low rank form a squared
	// distance is a difference of numbers of the size |d|^2/epsilon, which float32
	// leaves with an error of some 3e-7 of that. It is largest for the sample's own
	// distance, the third query: its square is about the number of samples, a
	// thousandth of what it is the difference of.
	const tolerance = 1e-4
	const epsilon = 0.01
	for name, c := range map[string]struct {
		maps    []network.MapShape
		samples int
		low     bool
	}{
		"low rank":           {[]network.MapShape{{H: 8, W: 8, C: 16}, {H: 4, W: 4, C: 24}, {H: 2, W: 2, C: 30}}, 22, true},
		"low rank, odd grid": {[]network.MapShape{{H: 7, W: 5, C: 16}, {H: 4, W: 3, C: 24}}, 14, true},
		"low rank, coarse":   {[]network.MapShape{{H: 4, W: 4, C: 12}, {H: 4, W: 4, C: 10}}, 9, true},
		"triangles":          {[]network.MapShape{{H: 7, W: 5, C: 9}, {H: 4, W: 3, C: 8}}, 150, false},
		"one layer":          {[]network.MapShape{{H: 3, W: 4, C: 7}}, 30, false},
	} {
		t.Run(name, func(t *testing.T) {
			live := tensor.Live()
			z := Sizes{Count: c.samples, Maps: c.maps}
			require.Equal(t, c.low, z.LowRank())
			rng := rand.New(rand.NewPCG(5, uint64(c.samples)))
			samples := randomImages(rng, c.samples, c.maps)
			queries := append(randomImages(rng, 2, c.maps), samples[0])
			raw, keep := tensor.NewParams(tensor.CPU), tensor.NewParams(tensor.CPU)
			if c.low {
				keep = raw
			}
			require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
				for i, m := range c.maps {
					v := make([]float32, 0, m.Len()*c.samples)
					for p := range m.H * m.W {
						for _, img := range samples {
							for k := range m.C {
								v = append(v, img[i][k*m.H*m.W+p])
							}
						}
					}
					if err := raw.PutBuffer(s, SamplesName(i), s.FromFloats(v, int64(m.H*m.W), int64(c.samples), int64(m.C))); err != nil {
						return err
					}
				}
				return nil
			}))
			f := NewFactors(z, epsilon)
			require.NoError(t, f.Finish(t.Context(), raw, keep, 2))

			var got []float32
			require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) (err error) {
				var in []*tensor.Tensor
				for i, m := range c.maps {
					var v []float32
					for _, q := range queries {
						v = append(v, q[i]...)
					}
					in = append(in, s.ChannelsLast(s.FromFloats(v, int64(len(queries)), int64(m.C), int64(m.H), int64(m.W))))
				}
				got, err = s.Floats(f.Distances(s, in))
				return err
			}))
			compare := func(epsilon float64) (worst float64) {
				top := 0.0
				for p, ds := range slowDistances(t, c.maps, samples, queries, epsilon) {
					for q, d := range ds {
						top = max(top, d)
						worst = max(worst, math.Abs(d-float64(got[p*len(queries)+q])))
					}
				}
				return worst / top
			}
			worst := compare(epsilon)
			t.Logf("distances differ by %.1e", worst)
			require.LessOrEqual(t, worst, tolerance)
			require.Greater(t, compare(1.1*epsilon), 10*tolerance, "another epsilon must show")

			// The estimate is what is there.
			fitted, fitting := z.Bytes(8, 2)
			require.Equal(t, fitted, 4*keep.Len())
			require.Greater(t, fitting, fitted)
			require.NoError(t, raw.Close())
			require.NoError(t, keep.Close())
			require.Equal(t, live, tensor.Live())
		})
	}
}

// A covariance that rounding leaves without a factor names the setting that is to
// blame; a negative one stands for it.
func TestRegADEpsilonTooSmall(t *testing.T) {
	live := tensor.Live()
	p := tensor.NewParams(tensor.CPU)
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		return p.PutBuffer(s, SamplesName(0), s.Zeros(4, 3, 5))
	}))
	err := NewFactors(Sizes{Count: 3, Maps: []network.MapShape{{H: 2, W: 2, C: 5}}}, -1).Finish(t.Context(), p, p, 1)
	require.ErrorIs(t, err, sentinel.ErrConfig)
	require.ErrorContains(t, err, "Epsilon is -1, too little")
	require.NoError(t, p.Close())
	require.Equal(t, live, tensor.Live())
}

// What the transformers predict means what the names of the warps say, and the
// inverse of a matrix undoes it.
func TestWarpMatrices(t *testing.T) {
	const tolerance = 1e-6 // a few float32 roundings of numbers up to 2
	sin, cos := math.Sincos(0.3)
	for name, c := range map[string]struct{ in, want []float64 }{
		"rotation_scale":             {[]float64{0.3, 1.2, 0.7}, []float64{cos * 1.2, -sin, 0, sin, cos * 0.7, 0}},
		"affine":                     {[]float64{1.1, 0.2, 0.3, -0.4, 0.9, -0.6}, []float64{1.1, 0.2, 0.3, -0.4, 0.9, -0.6}},
		"translation":                {[]float64{0.1, -0.2}, []float64{1, 0, 0.1, 0, 1, -0.2}},
		"rotation":                   {[]float64{0.3}, []float64{cos, -sin, 0, sin, cos, 0}},
		"scale":                      {[]float64{1.2, 0.7}, []float64{1.2, 0, 0, 0, 0.7, 0}},
		"shear":                      {[]float64{0.2, -0.1}, []float64{1, 0.2, 0, -0.1, 1, 0}},
		"translation_scale":          {[]float64{0.1, -0.2, 1.2, 0.7}, []float64{1.2, 0, 0.1, 0, 0.7, -0.2}},
		"rotation_translation":       {[]float64{0.3, 0.1, -0.2}, []float64{cos, -sin, 0.1, sin, cos, -0.2}},
		"rotation_translation_scale": {[]float64{0.3, 0.1, -0.2, 1.2, 0.7}, []float64{cos * 1.2, -sin, 0.1, sin, cos * 0.7, -0.2}},
	} {
		w, ok := WarpNamed(name)
		require.True(t, ok, name)
		require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			// The second of the batch predicts the identity.
			var v []float32
			for _, x := range c.in {
				v = append(v, float32(x))
			}
			for _, p := range warps[w].parts {
				v = append(v, p.identity())
			}
			m := w.matrix(s, s.FromFloats(v, 2, int64(len(c.in))))
			got, err := s.Floats(m)
			require.NoError(t, err)
			require.InDeltaSlice(t, append(slices.Clone(c.want), 1, 0, 0, 0, 1, 0), got, tolerance, name)

			back, err := s.Floats(invert(s, m))
			require.NoError(t, err)
			a, b := mat.NewDense(3, 3, append(slices.Clone(c.want), 0, 0, 1)), mat.NewDense(3, 3, nil)
			for i, x := range back[:6] {
				b.Set(i/3, i%3, float64(x))
			}
			b.Set(2, 2, 1)
			var product mat.Dense
			product.Mul(a, b)
			require.InDeltaSlice(t, []float64{1, 0, 0, 0, 1, 0, 0, 0, 1}, product.RawMatrix().Data, 2*tolerance, name)
			return nil
		}))
	}
	require.Len(t, warps, 9)
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		v, err := s.Floats(invert(s, s.FromFloats([]float32{1, 2, 0, 2, 4, 0}, 1, 2, 3)))
		_, bad := network.NotFinite(v)
		require.True(t, bad, "no inverse")
		return err
	}))
}

// The 22 variations of an image, also made in parts.
func TestRegADVariations(t *testing.T) {
	const side = 16
	const tolerance = 1e-4 // a position of the grid is exact to 1e-5 pixels
	rng := rand.New(rand.NewPCG(8, 9))
	pixels := make([]float32, side*side*3)
	for i := range pixels {
		pixels[i] = rng.Float32()
	}
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		x := s.FromNHWC(pixels, 1, side, side, 3)
		all := VariationsOf(s, x, 0, Variations)
		require.Equal(t, []int64{Variations, 3, side, side}, all.Shape())
		values := func(y *tensor.Tensor) []float32 {
			v, err := s.Floats(y)
			require.NoError(t, err)
			return v
		}
		of := func(i int) []float32 { return values(s.Narrow(all, 0, int64(i), 1)) }
		require.Equal(t, values(x), of(0))
		grey := of(1)
		require.InDelta(t, 0.299*pixels[0]+0.587*pixels[1]+0.114*pixels[2], grey[0], 1e-6)
		require.Equal(t, grey[:side*side], grey[2*side*side:])
		require.InDeltaSlice(t, values(s.Flip(x, 3)), of(18), tolerance)
		for k := range 3 { // turns of the grid one way turn the picture the other
			require.InDeltaSlice(t, values(s.Rot90(x, int64(k+1), 2, 3)), of(19+k), tolerance)
		}
		// A shift of 0.1 is a twentieth of the side, 0.8 pixels here.
		shifted, plain := of(14), of(0)
		require.InDelta(t, 0.2*(0.2*plain[0]+0.8*plain[1])+0.8*(0.2*plain[side]+0.8*plain[side+1]), shifted[0], tolerance)
		for i := range Variations {
			for j := range i {
				require.NotEqual(t, of(i), of(j), "variations %d and %d", i, j)
			}
		}
		for _, size := range []int{1, 8, 21} {
			var parts []*tensor.Tensor
			for _, p := range feed.Spans(Variations, size, 1) {
				parts = append(parts, VariationsOf(s, x, p[0], p[1]))
			}
			require.InDeltaSlice(t, values(all), values(s.Cat(0, parts...)), 1e-6, "parts of %d", size)
		}
		return s.Err()
	}))
}

// Every image is a query once an epoch; its support images are others of its
// class, each once.
func TestRegADPairs(t *testing.T) {
	var samples []dataset.Sample
	for i := range 37 {
		class := "b"
		if i%3 == 0 {
			class = "a"
		}
		samples = append(samples, dataset.Sample{Item: dataset.Item{Name: fmt.Sprint(i), Class: class, Label: dataset.LabelGood}, Image: grey(i)})
	}
	ds, err := dataset.NewMemory(samples)
	require.NoError(t, err)
	cs, err := Categories(ds)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, []string{cs[0].Class, cs[1].Class})
	const queries, shots = 8, 3
	from := [2]uint64{3, 4}
	first := Pairs(cs, queries, shots, from, 0)
	require.Len(t, first, 2+3, "13 and 24 images in steps of eight")
	var seen []int
	met := map[int]bool{}
	repeats := 0
	for _, b := range first {
		require.Zero(t, len(b)%(1+shots))
		q := len(b) / (1 + shots)
		require.LessOrEqual(t, q, queries)
		seen = append(seen, b[:q]...)
		for i, query := range b[:q] {
			support := b[q+i*shots:][:shots]
			require.NotContains(t, support, query)
			repeats += shots - len(slices.Compact(slices.Sorted(slices.Values(support))))
			for _, v := range support {
				require.Equal(t, query%3 == 0, v%3 == 0, "one class")
				met[v] = true
			}
		}
	}
	slices.Sort(seen)
	for i, v := range seen {
		require.Equal(t, i, v)
	}
	require.Len(t, seen, 37)
	require.Greater(t, len(met), 30, "support images are drawn from all")
	require.Greater(t, repeats, 0, "and put back")
	require.Equal(t, first, Pairs(cs, queries, shots, from, 0))
	require.NotEqual(t, first, Pairs(cs, queries, shots, from, 1))
	require.NotEqual(t, first, Pairs(cs, queries, shots, [2]uint64{3, 5}, 0))
	// The order of the steps is drawn, too.
	orders := map[string]bool{}
	for e := range 8 {
		order := ""
		for _, b := range Pairs(cs, queries, shots, from, e) {
			order += map[bool]string{true: "a", false: "b"}[b[0]%3 == 0]
		}
		orders[order] = true
	}
	require.Greater(t, len(orders), 2)
	// Of two images each meets the other, as often as there are shots.
	for _, b := range Pairs([]Category{{"c", []int{4, 9}}}, 1, 3, from, 0) {
		other := 13 - b[0]
		require.Equal(t, []int{b[0], other, other, other}, b)
	}
}

// grey is a picture of one pixel.
func grey(v int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, 1, 1))
	img.Pix = []uint8{uint8(v), uint8(v), uint8(v), 255}
	return img
}
