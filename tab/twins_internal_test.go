package tab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tensor"
)

const twinSide = 64

// surface is a good part: even grey with a little noise and, where it is
// blotched, eight soft spots, lighter or darker, somewhere else on each part.
func surface(class string, blotched bool, i int) dataset.Sample {
	rng := rand.New(rand.NewPCG(uint64(i), 7))
	m := image.NewRGBA(image.Rect(0, 0, twinSide, twinSide))
	v := make([]float64, twinSide*twinSide)
	for k := range v {
		v[k] = 120 + 2*rng.NormFloat64()
	}
	for range 12 {
		x, y, a := rng.Float64()*twinSide, rng.Float64()*twinSide, 60*rng.NormFloat64()
		for k := range v {
			dx, dy := float64(k%twinSide)-x, float64(k/twinSide)-y
			if blotched {
				v[k] += a * math.Exp(-(dx*dx+dy*dy)/2/16)
			}
		}
	}
	for k, x := range v {
		g := uint8(min(max(x, 0), 255))
		m.Pix[4*k], m.Pix[4*k+1], m.Pix[4*k+2], m.Pix[4*k+3] = g, g, g, 255
	}
	return dataset.Sample{Item: dataset.Item{Name: fmt.Sprintf("%s/%d", class, i), Class: class, Split: dataset.Train, Defect: dataset.Good, Label: dataset.LabelGood}, Image: m}
}

func surfaces(t testing.TB, n int) dataset.Dataset {
	t.Helper()
	var s []dataset.Sample
	for i := range n {
		s = append(s, surface("even", false, i), surface("blotched", true, i))
	}
	ds, err := dataset.NewMemory(s)
	require.NoError(t, err)
	return ds
}

// twinMixture has soft stains, as the blotched surface has, and glaring noise.
func twinMixture() synth.Mixture {
	stain, noise := synth.DefaultStain(), synth.DefaultNoise()
	stain.Outlines.Kinds, stain.Outlines.Side = []synth.Outline{synth.OutlineBlob}, synth.Size{Least: 8, Share: 0.15}
	stain.Soft, stain.Strength, stain.Label = synth.Span{Lo: 2, Hi: 3}, synth.Span{Lo: 10, Hi: 25}, synth.LabelNone
	noise.Outlines = stain.Outlines
	noise.Opacity, noise.Mean, noise.Label = synth.Span{Lo: 1, Hi: 1}, synth.Span{Lo: 250, Hi: 255}, synth.LabelNone
	return synth.Mixture{
		Kinds:    []synth.Ingredient{{Kind: synth.KindStain, Generator: stain, Weight: 1}, {Kind: synth.KindNoise, Generator: noise, Weight: 3}},
		Normal:   []synth.Ingredient{{Kind: synth.KindSeam, Generator: synth.DefaultReseam(), Weight: 1}},
		Share:    0.25,
		Attempts: 5,
	}
}

func twinConfig() TwinConfig {
	c := DefaultTwins()
	c.Transform, c.Layers, c.Draws = dataset.Square(twinSide), []backbone.Layer{backbone.Layer1, backbone.Layer2}, 40
	return c
}

// TestMeasureTwins: the same stains are normal on a surface that has such spots
// and damage on an even one; the weights and verdicts follow.
func TestMeasureTwins(t *testing.T) {
	testutil.NoLeak(t)
	net := pools{tensor.NewParams(tensor.CPU)}
	defer net.params.Close()
	ds, m, cfg := surfaces(t, 24), twinMixture(), twinConfig()
	table, err := MeasureTwins(t.Context(), net, ds, m, cfg)
	require.NoError(t, err)
	require.Equal(t, []string{"layer1", "layer2"}, table.Layers)
	kind := func(class string, i int) KindTwins {
		p, ok := table.Product(class)
		require.True(t, ok)
		require.Equal(t, 24, p.Images)
		require.Len(t, p.Kinds, 3)
		require.Equal(t, m.List()[i], p.Kinds[i].Kind)
		k := p.Kinds[i]
		require.Equal(t, 40, k.All.placed()+k.All.Unplaced)
		if n := (TwinCounts{}); !k.Normal {
			for _, b := range k.Bins {
				n.Within, n.Drawn, n.Beyond = n.Within+b.Within, n.Drawn+b.Drawn, n.Beyond+b.Beyond
			}
			require.Equal(t, k.All.placed(), n.placed(), "bins add up")
		}
		return k
	}
	require.Greater(t, kind("blotched", 0).All.Share(VerdictNormal), 0.8, "stains on spots are normal")
	require.Zero(t, kind("even", 0).All.Share(VerdictNormal), "stains on an even surface are damage")
	require.Greater(t, kind("even", 1).All.Share(VerdictFar), 0.9, "glaring noise on an even surface is plain")
	require.Less(t, kind("blotched", 1).All.Share(VerdictFar), kind("even", 1).All.Share(VerdictFar))
	require.Greater(t, kind("even", 0).Loudness[0], 1.)
	require.Less(t, kind("blotched", 0).Loudness[0], 1.)
	for _, class := range []string{"even", "blotched"} {
		require.Equal(t, 40, kind(class, 2).All.Within, "what is blended back lies within the spread")
		require.Equal(t, 1., kind(class, 2).Weight)
	}
	for class := range map[string]bool{"even": true, "blotched": true} {
		s, n := kind(class, 0), kind(class, 1)
		a, b := s.All.Share(VerdictDrawn), 3*n.All.Share(VerdictDrawn)
		if a < cfg.Least {
			a = 0
		}
		if b < 3*cfg.Least {
			b = 0
		}
		if a+b == 0 {
			require.Zero(t, s.Weight+n.Weight)
			continue
		}
		require.InDelta(t, a/(a+b), s.Weight, 1e-12)
		require.InDelta(t, b/(a+b), n.Weight, 1e-12)
	}
	// The same again; with other batches, which moves the last bits; and with a kind left out: the rest stays.
	again, err := MeasureTwins(t.Context(), net, ds, m, cfg)
	require.NoError(t, err)
	require.Equal(t, table, again)
	cfg.Batch = 1
	again, err = MeasureTwins(t.Context(), net, ds, m, cfg)
	require.NoError(t, err)
	for i, p := range again.Products {
		for j, k := range p.Kinds {
			want := table.Products[i].Kinds[j]
			require.InEpsilonSlice(t, want.Loudness, k.Loudness, 1e-9)
			k.Loudness = want.Loudness
			require.Equal(t, want, k)
		}
	}
	only, err := m.Only(synth.KindNoise)
	require.NoError(t, err)
	less, err := MeasureTwins(t.Context(), net, ds, only, cfg)
	require.NoError(t, err)
	require.Equal(t, table.Products[0].Kinds[1].All, less.Products[0].Kinds[0].All)
	cfg.Seed++
	other, err := MeasureTwins(t.Context(), net, ds, m, cfg)
	require.NoError(t, err)
	require.NotEqual(t, table.Products, other.Products)
}

// TestDisplacement holds the loudness of pairs to loops over pixels.
func TestDisplacement(t *testing.T) {
	net := pools{tensor.NewParams(tensor.CPU)}
	defer net.params.Close()
	cfg := twinConfig()
	white := make([]float64, 9)
	for i := range white {
		white[i] = float64(i*i%7) - 2
	}
	r := &twinRun{visual: net, cfg: cfg, goodImages: goodImages{size: image.Pt(twinSide, twinSide)}, spread: []*spread{{C: 3, H: 16, W: 16, Whiten: white}, {C: 3, H: 8, W: 8, Whiten: white}}}
	dst := surface("x", true, 1).Image
	var pairs []synth.Pair
	rng := rand.New(rand.NewPCG(1, 2))
	m := synth.DefaultMixture()
	m.Share = 0
	for len(pairs) < 6 {
		if p, err := m.Generate(dst, surface("x", true, 2).Image, rng); err == nil {
			pairs = append(pairs, p)
		}
	}
	got, err := r.displace(t.Context(), dst, pairs, nil)
	require.NoError(t, err)
	for i, p := range pairs {
		for l, k := range []int{4, 8} {
			var q []float64
			var share []float64
			for cy := range twinSide / k {
				for cx := range twinSide / k {
					var d [3]float64
					n := 0.
					for y := cy * k; y < cy*k+k; y++ {
						for x := cx * k; x < cx*k+k; x++ {
							for c := range 3 {
								std := []float64{0.229, 0.224, 0.225}[c]
								d[c] += (float64(p.Image.Pix[p.Image.PixOffset(x, y)+c]) - float64(dst.Pix[dst.PixOffset(x, y)+c])) / 255 / std / float64(k*k)
							}
							if p.Mask.GrayAt(x, y).Y > 0 {
								n++
							}
						}
					}
					sum := 0.
					for a := range 3 {
						v := 0.
						for c := range 3 {
							v += d[c] * white[3*c+a]
						}
						sum += v * v
					}
					q, share = append(q, sum/3), append(share, n/float64(k*k))
				}
			}
			limit := min(0.3, slices.Max(share))
			var loud []float64
			for j, s := range share {
				if s >= limit {
					loud = append(loud, q[j])
				}
			}
			slices.Sort(loud)
			slices.Reverse(loud)
			n := int(math.Ceil(float64(len(loud)) / 4))
			want := 0.
			for _, v := range loud[:n] {
				want += v / float64(n)
			}
			require.InEpsilon(t, want, got[i][l], 1e-4, "pair %d (%s), layer %d", i, p.Kind, l+1)
		}
	}
}

func TestDamagedCells(t *testing.T) {
	m := image.NewGray(image.Rect(0, 0, 10, 10)) // a 4x4 grid: cells of three pixels that share their edges
	require.Empty(t, damagedCells(m, 4, 4))
	m.Pix[9*10+9] = 255
	require.Equal(t, []int{15}, damagedCells(m, 4, 4), "a single pixel marks its cell")
	for x := range 10 { // a row of pixels covers a third of the cells that it is in
		m.Pix[4*10+x] = 255
	}
	require.Equal(t, []int{4, 5, 6, 7}, damagedCells(m, 4, 4))
	require.Empty(t, loudest(nil))
	require.Equal(t, []int{2}, loudest([]float64{1, 5, 9, 3}))
	require.Equal(t, []int{1, 2}, loudest([]float64{1, 5, 9, 3, 0}))
}

func TestVerdict(t *testing.T) {
	sp := []*spread{{Normal: [4]float64{1, 2, 3, 4}}, {Normal: [4]float64{1, 2, 3, 4}}}
	for want, loud := range map[Verdict][][]float64{
		VerdictNormal: {{0, 0}, {2, 2}},
		VerdictDrawn:  {{2.1, 0}, {0, 2.1}, {12, 100}, {100, 12}, {100, 0}},
		VerdictFar:    {{12.1, 12.1}, {100, 50}},
	} {
		for _, l := range loud {
			require.Equal(t, want, verdict(l, sp, 4), "%v", l)
		}
	}
}

func TestMeasureTwinsRefuses(t *testing.T) {
	net := pools{tensor.NewParams(tensor.CPU)}
	defer net.params.Close()
	ds, m := surfaces(t, 4), twinMixture()
	for want, spoil := range map[string]func(*TwinConfig){
		"Layers":    func(c *TwinConfig) { c.Layers = nil },
		"Layers[1]": func(c *TwinConfig) { c.Layers = []backbone.Layer{1, 1} },
		"Ridge":     func(c *TwinConfig) { c.Ridge = math.NaN() },
		"Images":    func(c *TwinConfig) { c.Images = 3 },
		"Draws":     func(c *TwinConfig) { c.Draws = 0 },
		"Far":       func(c *TwinConfig) { c.Far = 0.5 },
		"Least":     func(c *TwinConfig) { c.Least = 2 },
		"Batch":     func(c *TwinConfig) { c.Batch = 0 },
		"Transform": func(c *TwinConfig) { c.Transform.Shorter = -1 },
		"Normalize": func(c *TwinConfig) { c.Normalize.Std[0] = 0 },
	} {
		c := twinConfig()
		spoil(&c)
		_, err := MeasureTwins(t.Context(), net, ds, m, c)
		require.Error(t, err)
		require.ErrorContains(t, err, "TwinConfig."+want)
	}
	_, err := MeasureTwins(t.Context(), net, ds, synth.Mixture{}, twinConfig())
	require.ErrorIs(t, err, synth.ErrSettings)
	_, err = MeasureTwins(t.Context(), nil, ds, m, twinConfig())
	require.ErrorIs(t, err, ErrConfig)
	_, err = MeasureTwins(t.Context(), net, surfaces(t, 3), m, twinConfig())
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, `"blotched"`)
	bad := surface("x", false, 1)
	bad.Label, bad.Defect = dataset.LabelDefective, "hole"
	one, err := dataset.NewMemory([]dataset.Sample{bad})
	require.NoError(t, err)
	_, err = MeasureTwins(t.Context(), net, one, m, twinConfig())
	require.ErrorContains(t, err, "hole")
	// Two sizes, and a material on which nothing can be placed.
	large := surface("even", false, 9)
	large.Image = image.NewRGBA(image.Rect(0, 0, 80, 64))
	mixed, err := dataset.NewMemory([]dataset.Sample{surface("even", false, 1), surface("even", false, 2), surface("even", false, 3), large})
	require.NoError(t, err)
	c := twinConfig()
	c.Transform = dataset.Transform{}
	_, err = MeasureTwins(t.Context(), net, mixed, m, c)
	require.ErrorContains(t, err, "one size for all")
	never := synth.Mixture{Kinds: []synth.Ingredient{{Kind: "never", Generator: refuser{synth.ErrNotPlaced}, Weight: 1}}, Attempts: 2}
	_, err = MeasureTwins(t.Context(), net, ds, never, twinConfig())
	require.ErrorIs(t, err, ErrNoTwin)
	broken := errors.New("broken")
	never.Kinds[0].Generator = refuser{broken}
	_, err = MeasureTwins(t.Context(), net, ds, never, twinConfig())
	require.ErrorIs(t, err, broken)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = MeasureTwins(ctx, net, ds, m, twinConfig())
	require.ErrorIs(t, err, context.Canceled)
}

type refuser struct{ err error }

func (r refuser) Generate(image.Image, image.Image, *rand.Rand) (synth.Pair, error) {
	return synth.Pair{}, r.err
}

// table is small and has a kind of every sort.
func table() *TwinTable {
	return &TwinTable{
		Layers: []string{"layer1"}, Ridge: 0.1, Far: 4, Least: 0.1, Seed: 1,
		Products: []ProductTwins{{Class: "a", Images: 9, Spread: [][4]float64{{1, 2, 3, 4}}, Kinds: []KindTwins{
			{Kind: synth.KindStain, All: TwinCounts{Within: 8, Drawn: 2}, Loudness: []float64{0.5}, Weight: 0.25, Bins: []TwinBin{
				{Size: 1, Strength: 0, TwinCounts: TwinCounts{Within: 6}}, {Size: 2, Strength: 0, TwinCounts: TwinCounts{Within: 2, Drawn: 2}}}},
			{Kind: synth.KindNoise, All: TwinCounts{Unplaced: 1, Drawn: 4, Beyond: 5}, Loudness: []float64{30}, Weight: 0.75, Bins: []TwinBin{
				{Size: 1, Strength: 3, TwinCounts: TwinCounts{Beyond: 5}}, {Size: 2, Strength: 3, TwinCounts: TwinCounts{Drawn: 4}}}},
			{Kind: synth.KindSeam, Normal: true, All: TwinCounts{Within: 10}, Loudness: []float64{0}, Weight: 1},
		}}, {Class: "b", Spread: [][4]float64{{1, 2, 3, 4}}, Kinds: []KindTwins{{Kind: synth.KindStain, Loudness: []float64{0}},
			{Kind: synth.KindNoise, Loudness: []float64{0}}, {Kind: synth.KindSeam, Normal: true, Loudness: []float64{0}}}}},
	}
}

func TestTwinTable(t *testing.T) {
	tb := table()
	var b bytes.Buffer
	_, err := tb.WriteTo(&b)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "twins.json")
	require.NoError(t, tb.Save(file))
	saved, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, b.Bytes(), saved)
	back, err := ReadTwinTable(&b)
	require.NoError(t, err)
	require.Equal(t, tb.Products[0].Kinds[1], back.Products[0].Kinds[1])
	require.NoError(t, tb.Text(&b, true))
	text := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{"a: spread of 9 good images", "layer1 1.00 2.00 3.00 4.00", "stain 10 80 % 20 % 0 % 0.25 0.50",
		"8 to 16 px 6 100 % 0 % 0 %", "below 10 levels 10 80 % 20 % 0 %", "40+ levels 9 0 % 44 % 56 %", "seam 10 100 % 0 % 0 % as given 0.00"} {
		require.Contains(t, text, want)
	}
	m := twinMixture()
	w, err := tb.Mixture("a", m)
	require.NoError(t, err)
	require.Equal(t, []float64{0.25, 0.75, 1}, []float64{w.Kinds[0].Weight, w.Kinds[1].Weight, w.Normal[0].Weight})
	without, err := m.Without(synth.KindNoise)
	require.NoError(t, err)
	w, err = tb.Mixture("a", without)
	require.NoError(t, err, "a kind that is kept out may be in the table")
	require.Len(t, w.Kinds, 1)
	_, err = tb.Mixture("c", m)
	require.ErrorIs(t, err, ErrUnknownClass)
	_, err = tb.Mixture("b", m)
	require.ErrorIs(t, err, ErrNoTwin)
	_, err = tb.Mixture("a", synth.DefaultMixture())
	require.ErrorIs(t, err, synth.ErrSettings)
	_, err = tb.Fits(m)
	require.ErrorIs(t, err, ErrNoTwin)
	for name, spoil := range map[string]func(*TwinTable){
		"no layer": func(t *TwinTable) { t.Layers = nil },
		"unknown":  func(t *TwinTable) { t.Layers[0] = "layer9" },
		"setting":  func(t *TwinTable) { t.Far = math.NaN() },
		"rising":   func(t *TwinTable) { t.Products[1].Class = "a" },
		"spreads":  func(t *TwinTable) { t.Products[0].Spread = nil },
		"quantile": func(t *TwinTable) { t.Products[0].Spread[0][0] = 5 },
		"twice":    func(t *TwinTable) { t.Products[0].Kinds[1].Kind = synth.KindStain },
		"loudness": func(t *TwinTable) { t.Products[0].Kinds[1].Loudness = nil },
		"counts":   func(t *TwinTable) { t.Products[0].Kinds[1].All.Drawn = -1 },
		"bin":      func(t *TwinTable) { t.Products[0].Kinds[1].Bins[0].Size = 9 },
	} {
		tb := table()
		spoil(tb)
		err := tb.Validate()
		require.ErrorIs(t, err, ErrConfig, name)
		require.ErrorContains(t, err, name)
	}
	_, err = ReadTwinTable(strings.NewReader("{"))
	require.ErrorIs(t, err, ErrConfig)
	_, err = ReadTwinTable(bytes.NewReader(make([]byte, maxTable+2)))
	require.ErrorContains(t, err, "longer than")
}

func FuzzReadTwinTable(f *testing.F) {
	raw, err := json.Marshal(table())
	require.NoError(f, err)
	f.Add(raw)
	f.Add([]byte(`{"layers":["layer1"],"products":[{"class":"","spread":[[0,0,0,0]]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tb, err := ReadTwinTable(bytes.NewReader(raw))
		if err != nil {
			require.ErrorIs(t, err, ErrConfig)
			return
		}
		require.NoError(t, tb.Text(&bytes.Buffer{}, true))
		var b bytes.Buffer
		_, err = tb.WriteTo(&b)
		require.NoError(t, err)
		_, err = ReadTwinTable(&b)
		require.NoError(t, err)
	})
}

// TestTwinsAndObjectivesShareTheSpread: what a table says of good parts is what the
// objectives measure with.
func TestTwinsAndObjectivesShareTheSpread(t *testing.T) {
	testutil.NoLeak(t)
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 2)))
	require.NoError(t, err)
	defer net.Close()
	ds := surfaces(t, 7)
	tc := twinConfig()
	tc.Images, tc.Draws = 6, 1
	table, err := MeasureTwins(t.Context(), net, ds, twinMixture(), tc)
	require.NoError(t, err)
	cfg := DefaultConfig()
	cfg.Objective = Keep{Layers: tc.Layers}
	cfg.Transform, cfg.Seed, cfg.Batch = tc.Transform, tc.Seed, 2
	cfg.Metric.Images = tc.Images
	p, err := New(Parts{Visual: net, Synth: twinMixture()}, cfg)
	require.NoError(t, err)
	defer p.Close()
	require.NoError(t, p.Prepare(t.Context(), ds.Classes()))
	require.NoError(t, p.MeasureProducts(t.Context(), ds))
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		for k, class := range p.Classes() {
			product, ok := table.Product(class)
			require.True(t, ok)
			for i, l := range tc.Layers {
				q95, q99 := p.metric.Quantiles(s, l, s.FromInts([]int64{int64(k)}, 1))
				for level, q := range map[int]*tensor.Tensor{level95: q95, level99: q99} {
					v, err := s.Float(q)
					require.NoError(t, err)
					require.Equal(t, float32(product.Spread[i][level]), float32(v))
				}
			}
		}
		return nil
	}))
}
