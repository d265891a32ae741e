package tab

import (
	"bytes"
	"image"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tensor"
)

// plainSquare is a generator that sets a square of a side to white by so many levels.
type plainSquare struct {
	kind  synth.Kind
	side  int
	level uint8
}

func (q plainSquare) Generate(dst, _ image.Image, rng *rand.Rand) (synth.Pair, error) {
	d := dst.(*image.RGBA)
	p := synth.Pair{Image: image.NewRGBA(d.Rect), Mask: image.NewGray(d.Rect), Kind: q.kind, Placed: 1, Change: float64(q.level)}
	copy(p.Image.Pix, d.Pix)
	x0, y0 := rng.IntN(d.Rect.Dx()-q.side), rng.IntN(d.Rect.Dy()-q.side)
	for y := y0; y < y0+q.side; y++ {
		for x := x0; x < x0+q.side; x++ {
			for c := range 3 {
				p.Image.Pix[p.Image.PixOffset(x, y)+c] += q.level
			}
			p.Mask.Pix[y*p.Mask.Stride+x] = 255
		}
	}
	p.Support = p.Mask
	return p, nil
}

// TestFitted: a twin whose bin lies within the spread becomes normal, one whose
// bin is far is drawn again, the rest stays.
func TestFitted(t *testing.T) {
	tb := table()
	dst := surface("a", false, 1).Image
	fit := func(kind synth.Kind, side int, level uint8) (synth.Pair, error) {
		m := synth.Mixture{Kinds: []synth.Ingredient{{Kind: kind, Generator: plainSquare{kind, side, level}, Weight: 1}}, Attempts: 1}
		f, err := tb.Fit("a", m)
		require.NoError(t, err)
		return f.Generate(dst, dst, rand.New(rand.NewPCG(1, 1)))
	}
	for _, c := range []struct {
		kind  synth.Kind
		side  int
		level uint8
		want  Verdict
	}{
		{synth.KindStain, 10, 5, VerdictNormal}, {synth.KindStain, 10, 12, VerdictDrawn}, {synth.KindStain, 20, 5, VerdictDrawn},
		{synth.KindNoise, 8, 40, VerdictFar}, {synth.KindNoise, 15, 90, VerdictFar}, {synth.KindNoise, 16, 90, VerdictDrawn}, {synth.KindNoise, 7, 90, VerdictDrawn},
	} {
		p, err := fit(c.kind, c.side, c.level)
		if c.want == VerdictFar {
			require.ErrorIs(t, err, synth.ErrNotPlaced)
			require.ErrorContains(t, err, `"a"`)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.want == VerdictNormal, p.Normal)
		require.NotEqual(t, dst.Pix, p.Image.Pix, "the picture stays as it was drawn")
		set := 0
		for _, v := range p.Mask.Pix {
			set += int(v >> 7)
		}
		if c.want == VerdictNormal {
			require.Zero(t, set)
			require.Zero(t, p.Change)
		} else {
			require.Equal(t, c.side*c.side, set)
		}
	}
	p, _ := tb.Product("a")
	require.Equal(t, VerdictNormal, p.Verdict(synth.Pair{Normal: true}))
	require.Equal(t, VerdictDrawn, p.Verdict(synth.Pair{Kind: "unknown"}))
	require.ErrorIs(t, Fitted{}.Validate(), ErrConfig)
	_, err := Fitted{Attempts: 1}.Generate(dst, dst, nil)
	require.ErrorIs(t, err, synth.ErrSettings)
	tb.Products = tb.Products[:1]
	by, err := tb.Fits(twinMixture())
	require.NoError(t, err)
	g, err := by.ForClass("a")
	require.NoError(t, err)
	require.NotNil(t, g)
	_, err = by.ForClass("z")
	require.ErrorIs(t, err, ErrUnknownClass)
	_, err = by.Generate(dst, dst, nil)
	require.ErrorIs(t, err, ErrConfig)
}

// blind sees twins and, if told to, masks.
type blind struct{ masks bool }

func (b blind) Name() string { return "blind" }
func (b blind) Needs() Needs { return Needs{Twin: true, Masks: b.masks} }
func (b blind) Setup(*tensor.Scope, *tensor.Params, Dims, *rand.Rand) error {
	return nil
}
func (b blind) Loss(s *tensor.Scope, v View) (loss, accuracy *tensor.Tensor) {
	return s.Mean(v.Normal.Pooled, false), s.Zeros()
}

// TestNormalTwinsInTheFeed: normal twins reach objectives that see masks, with an
// empty mask, and no others, for which every twin is damaged; each class gets the
// twins that are its own.
func TestNormalTwinsInTheFeed(t *testing.T) {
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 2)))
	require.NoError(t, err)
	defer net.Close()
	mix := func(level uint8) synth.Generator {
		m := synth.Mixture{Kinds: []synth.Ingredient{{Kind: synth.KindStain, Generator: plainSquare{synth.KindStain, 9, level}, Weight: 1}}, Attempts: 1}
		m.Normal, m.Share = []synth.Ingredient{{Kind: synth.KindUnchanged, Generator: synth.Unchanged{}, Weight: 1}}, 0.5
		return m
	}
	m := TwinsByClass{"even": mix(40), "blotched": mix(80)}
	for _, masks := range []bool{false, true} {
		cfg := DefaultConfig()
		cfg.Objective, cfg.Batch, cfg.Repeat, cfg.Transform = blind{masks}, 8, 4, dataset.Square(twinSide)
		p, err := New(Parts{Visual: net, Synth: m}, cfg)
		require.NoError(t, err)
		ds := surfaces(t, 8)
		require.NoError(t, p.Prepare(t.Context(), ds.Classes()))
		f, err := p.newFeed(ds, 0)
		require.NoError(t, err)
		same, damaged := 0, 0
		for b, err := range f.run(t.Context(), 0) {
			require.NoError(t, err)
			per := len(b.Normal) / len(b.Class)
			for i, class := range b.Class {
				most := float32(0)
				for k, v := range b.Normal[i*per : (i+1)*per] {
					most = max(most, b.Abnormal[i*per+k]-v)
				}
				set := 0
				if masks {
					for _, v := range b.Masks[i*per/3 : (i+1)*per/3] {
						set += int(v >> 7)
					}
				}
				if most == 0 {
					same++
					require.Zero(t, set)
					continue
				}
				damaged++
				if masks {
					require.Equal(t, 81, set)
				}
				want := []float32{80, 40}[class] // blotched, even
				require.InEpsilon(t, want/255/0.224, most, 0.01, "class %d", class)
			}
		}
		if masks {
			require.InDelta(t, 32, same, 20) // five deviations of 64 at a half
		} else {
			require.Zero(t, same)
		}
		require.Equal(t, 64, same+damaged)
		delete(m, "even")
		_, bad := 0, error(nil)
		for _, err := range f.run(t.Context(), 0) {
			if err != nil {
				bad = err
				break
			}
		}
		require.ErrorIs(t, bad, ErrUnknownClass)
		m["even"] = mix(40)
		require.NoError(t, p.Close())
	}
}

func TestForeignTextures(t *testing.T) {
	ds := surfaces(t, 6)
	got, err := ForeignTextures(t.Context(), ds, "even", dataset.Square(48), 4, 1)
	require.NoError(t, err)
	require.Len(t, got, 4)
	for _, img := range got {
		require.Equal(t, image.Pt(48, 48), img.Bounds().Size())
		lo, hi := 255, 0 // the blotched ones have spots, the even ones have not
		for i := 0; i < len(img.(*image.RGBA).Pix); i += 4 {
			v := int(img.(*image.RGBA).Pix[i])
			lo, hi = min(lo, v), max(hi, v)
		}
		require.Greater(t, hi-lo, 30)
	}
	all, err := ForeignTextures(t.Context(), ds, "", dataset.Square(48), 100, 1)
	require.NoError(t, err)
	require.Len(t, all, 12)
	// A cache of the same transform, which cuts, has done it already.
	tr := dataset.Transform{Shorter: 40, Crop: image.Pt(32, 32)}
	plain, err := ForeignTextures(t.Context(), ds, "even", tr, 4, 1)
	require.NoError(t, err)
	cached, err := dataset.NewCached(ds, tr, 1<<20)
	require.NoError(t, err)
	again, err := ForeignTextures(t.Context(), cached, "even", tr, 4, 1)
	require.NoError(t, err)
	require.Equal(t, plain, again)
	one, err := dataset.NewMemory([]dataset.Sample{surface("even", false, 1)})
	require.NoError(t, err)
	_, err = ForeignTextures(t.Context(), one, "even", dataset.Square(48), 4, 1)
	require.ErrorIs(t, err, ErrConfig)
	_, err = ForeignTextures(t.Context(), ds, "even", dataset.Square(48), 0, 1)
	require.ErrorIs(t, err, ErrConfig)
}

// TestFittedFingerprint: an equal table, written and read again, is told to be
// equal, and any other is not.
func TestFittedFingerprint(t *testing.T) {
	fits := func(tb *TwinTable, m synth.Mixture) TwinsByClass {
		by, err := tb.Fits(m)
		require.NoError(t, err)
		return by
	}
	one := table()
	one.Products = one.Products[:1]
	var file bytes.Buffer
	_, err := one.WriteTo(&file)
	require.NoError(t, err)
	two, err := ReadTwinTable(bytes.NewReader(file.Bytes()))
	require.NoError(t, err)
	want := fits(one, twinMixture())
	require.NotEmpty(t, want.Fingerprint())
	require.Less(t, len(want.Fingerprint()), 400, "for a message")
	require.Equal(t, want.Fingerprint(), fits(two, twinMixture()).Fingerprint())
	f := want["a"].(Fitted)
	require.Equal(t, f.Fingerprint(), fits(two, twinMixture())["a"].(Fitted).Fingerprint())
	seen := map[string]bool{want.Fingerprint(): true}
	for _, change := range []func(tb *TwinTable, m *synth.Mixture){
		func(tb *TwinTable, _ *synth.Mixture) { tb.Products[0].Kinds[0].Weight *= 1.5 },
		func(tb *TwinTable, _ *synth.Mixture) { tb.Products[0].Kinds[0].Bins[0].Within++ },
		func(tb *TwinTable, _ *synth.Mixture) { tb.Products[0].Class = "b" },
		func(_ *TwinTable, m *synth.Mixture) { m.Share = 0.5 },
	} {
		tb, err := ReadTwinTable(bytes.NewReader(file.Bytes()))
		require.NoError(t, err)
		m := twinMixture()
		change(tb, &m)
		got := fits(tb, m).Fingerprint()
		require.False(t, seen[got], got)
		seen[got] = true
	}
}

// TestTwinsByClassOfTheirOwn: each product has its mixture, and one without is
// refused.
func TestTwinsByClassOfTheirOwn(t *testing.T) {
	testutil.NoLeak(t)
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 2)))
	require.NoError(t, err)
	defer net.Close()
	ds := surfaces(t, 4)
	cfg := twinConfig()
	cfg.Draws, cfg.Far = 3, 1e6
	stains, err := twinMixture().Without(synth.KindNoise)
	require.NoError(t, err)
	mixtures := map[string]synth.Mixture{"even": stains, "blotched": twinMixture()}
	own, err := MeasureTwinsByClass(t.Context(), net, ds, mixtures, cfg)
	require.NoError(t, err)
	all, err := MeasureTwins(t.Context(), net, ds, twinMixture(), cfg)
	require.NoError(t, err)
	a, _ := own.Product("blotched")
	b, _ := all.Product("blotched")
	require.Equal(t, b, a)
	even, _ := own.Product("even")
	require.Len(t, even.Kinds, 2)
	delete(mixtures, "even")
	_, err = MeasureTwinsByClass(t.Context(), net, ds, mixtures, cfg)
	require.ErrorIs(t, err, ErrUnknownClass)
	fits, err := own.FitsByClass(mixtures) // of fewer products than the table has
	require.NoError(t, err)
	require.Len(t, fits, 1)
	whole, err := own.FitsByClass(map[string]synth.Mixture{"even": stains, "blotched": twinMixture()})
	require.NoError(t, err)
	require.Equal(t, whole["blotched"].(Fitted).Fingerprint(), fits["blotched"].(Fitted).Fingerprint())
	require.NotEmpty(t, whole["blotched"].(Fitted).Fingerprint())
	mixtures["third"] = twinMixture()
	_, err = own.FitsByClass(mixtures)
	require.ErrorIs(t, err, ErrUnknownClass)
	require.ErrorContains(t, err, `"third"`)
}
