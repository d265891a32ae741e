package synth_test

import (
	"context"
	"errors"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/synth"
)

// painted are the generators that paint a form, each over the forms that it is given.
func painted(o synth.Outlines) map[string]synth.Reuser {
	n, s, v, w := synth.DefaultNoise(), synth.DefaultStain(), synth.TextureOverlay(), synth.ShapeOverlay()
	n.Outlines, s.Outlines, v.Outlines, w.Outlines = o, o, o, o
	return map[string]synth.Reuser{"noise": n, "stain": s, "texture": v, "shape": w}
}

func area(m *image.Gray) float64 {
	n := 0
	for _, v := range m.Pix {
		n += int(v >> 7)
	}
	return float64(n)
}

// TestOutlineSizes: a form of a given side covers about the square of it (a line its length times its width), and no form
// is larger than its law.
func TestOutlineSizes(t *testing.T) {
	dst := flatImage(256, 128)
	g := synth.DefaultNoise()
	g.Mean, g.Deviation, g.Opacity, g.Tol, g.Label = synth.Span{Lo: 250, Hi: 250}, synth.Span{}, synth.Span{Lo: 1, Hi: 1}, 60, synth.LabelNone // half covered
	for _, side := range []float64{6, 12, 24, 48} {
		g.Outlines = synth.AllOutlines()
		g.Outlines.Side = synth.Size{Least: side, Share: side / 256}
		for kind, law := range map[synth.Outline][3]float64{ // median area over side^2, at least and at most; longest box over the side
			synth.OutlineBlob:   {0.7, 0.85, 3},   // an ellipse has pi/4
			synth.OutlineBezier: {0.25, 0.7, 2.6}, // inside its corners, whose mean radius is 0.95
			synth.OutlinePerlin: {0.25, 0.75, 2.5},
		} {
			g.Outlines.Kinds = []synth.Outline{kind}
			r := rng(uint64(side))
			var areas []float64
			for range 60 {
				p := drawPair(t, g, dst, dst, r)
				areas = append(areas, area(p.Mask)/side/side)
				b := box(p.Support)
				require.LessOrEqual(t, float64(max(b.Dx(), b.Dy())), law[2]*side+4, "form %d of side %g", kind, side)
			}
			slices.Sort(areas)
			require.True(t, areas[30] > law[0] && areas[30] < law[1], "form %d of side %g: median area %.2f of the square", kind, side, areas[30])
		}
		g.Outlines.Kinds, g.Outlines.Width = []synth.Outline{synth.OutlineLine}, synth.Span{Lo: 3, Hi: 3}
		r := rng(uint64(side))
		for range 30 {
			p := drawPair(t, g, dst, dst, r)
			// Every piece is a band of three pixels with round ends; bends overlap.
			require.InDelta(t, 3*2.5*side+9*math.Pi/4, area(p.Mask), 6+0.2*7.5*side, "line of side %g", side)
		}
	}
}

// TestSideLaw: sides are even on a logarithmic scale, for forms, for CutPaste's box and for NSA's.
func TestSideLaw(t *testing.T) {
	dst, src := material(256, 256, 1), material(256, 256, 2)
	cut := synth.DefaultCutPaste()
	cut.Box = synth.Box{Side: synth.Size{Least: 4, Share: 0.25}, Aspect: synth.Span{Lo: 1, Hi: 1}}
	nsa := synth.DefaultNSA()
	nsa.Box, nsa.Patches, nsa.Mode, nsa.Erode, nsa.MinPixels, nsa.Tol = cut.Box, 1, synth.Swap, 1, 0, 0
	cut.Tol = 0
	for name, g := range map[string]synth.Generator{"cutpaste": cut, "nsa": nsa} {
		r := rng(4)
		var logs []float64
		for range 400 {
			b := box(drawPair(t, g, dst, src, r).Support)
			require.InDelta(t, 34, float64(b.Dx()), 30.6, "%s", name)
			logs = append(logs, math.Log(float64(b.Dx())))
		}
		slices.Sort(logs)
		// A quantile of 400 draws is within five times sqrt(q(1-q)/400) of its rank; rounding to pixels adds a tenth.
		for _, q := range []float64{0.25, 0.5, 0.75} {
			want := math.Log(4) + q*math.Log(16)
			slack := 5*math.Sqrt(q*(1-q)/400)*math.Log(16) + 0.12
			require.InDelta(t, want, logs[int(400*q)], slack, "%s at %g", name, q)
		}
	}
	// An image too small for the law still gets its least side, and no form is larger than the image.
	g := synth.DefaultNoise()
	g.Outlines.Kinds, g.Outlines.Side = []synth.Outline{synth.OutlineBlob}, synth.Size{Least: 40, Share: 0.1}
	p := drawPair(t, g, material(16, 16, 1), src, rng(1))
	require.Greater(t, area(p.Support), 60.)
}

// TestStain: the middle changes by the whole strength, either way about as often, and the edge by less and less.
func TestStain(t *testing.T) {
	g := synth.DefaultStain()
	g.Outlines.Kinds, g.Outlines.Side = []synth.Outline{synth.OutlineBlob, synth.OutlineLine}, synth.Size{Least: 20, Share: 0.1}
	g.Soft, g.Strength, g.Colour = synth.Span{Lo: 3, Hi: 3}, synth.Span{Lo: 40, Hi: 40}, 0
	dst, lighter, middle := flatImage(128, 128), 0, 0
	r := rng(3)
	for range 100 {
		p := drawPair(t, g, dst, dst, r)
		most := 0
		for i, v := range p.Support.Pix {
			d := int(p.Image.Pix[4*i]) - 128
			if v > 0 && max(d, -d) > max(most, -most) {
				most = d
			}
			if v > 0 && max(d, -d) >= 10 && max(d, -d) <= 30 {
				middle++
			}
		}
		require.Equal(t, 40, max(most, -most))
		if most > 0 {
			lighter++
		}
	}
	require.InDelta(t, 50, lighter, 25)
	require.Greater(t, middle, 100*20, "the edge is soft")
	g.Colour = 1
	tinted := 0
	for range 30 {
		p := drawPair(t, g, dst.SubImage(dst.Rect), colourful(128), r)
		for i := range p.Mask.Pix {
			if p.Image.Pix[4*i] != p.Image.Pix[4*i+1] {
				tinted++
				break
			}
		}
	}
	require.Zero(t, tinted, "a grey image stays grey")
	for range 30 {
		m := colourful(128)
		p := drawPair(t, g, m, m, r)
		for i := range p.Mask.Pix {
			if int(p.Image.Pix[4*i])-int(m.Pix[4*i]) != int(p.Image.Pix[4*i+1])-int(m.Pix[4*i+1]) {
				tinted++
				break
			}
		}
	}
	require.Greater(t, tinted, 25)
}

func colourful(side int) *image.RGBA {
	m := flatImage(side, 128)
	for i := 0; i < len(m.Pix); i += 4 {
		m.Pix[i] = 100
	}
	return m
}

// TestNoiseBlocks: the grain has the sides that it is told to have.
func TestNoiseBlocks(t *testing.T) {
	g := synth.DefaultNoise()
	g.Outlines.Kinds, g.Outlines.Side = []synth.Outline{synth.OutlineBlob}, synth.Size{Least: 60, Share: 0.3}
	g.Deviation, g.Opacity, g.Mean = synth.Span{Lo: 30, Hi: 30}, synth.Span{Lo: 1, Hi: 1}, synth.Span{Lo: 128, Hi: 128}
	dst := flatImage(200, 20)
	same := map[int]float64{}
	for _, k := range []int{1, 2, 4} {
		g.Blocks = []int{k}
		equal, all := 0., 0.
		p := drawPair(t, g, dst, dst, rng(5))
		for y := range 200 {
			for x := range 199 {
				// Well inside the form, where the noise is all there is.
				if i := y*200 + x; p.Image.Pix[4*i] > 40 && p.Image.Pix[4*i+4] > 40 {
					all++
					if p.Image.Pix[4*i] == p.Image.Pix[4*i+4] {
						equal++
					}
				}
			}
		}
		same[k] = equal / all
	}
	require.Less(t, same[1], 0.1)
	require.InDelta(t, 0.5, same[2], 0.08)
	require.InDelta(t, 0.75, same[4], 0.08)
}

// TestWarp: no grey level appears that is not near by, a place moves by no more than Shift, and an even image stays even.
func TestWarp(t *testing.T) {
	g := synth.DefaultWarp()
	_, err := g.Generate(flatImage(96, 90), flatImage(96, 20), rng(1))
	require.ErrorIs(t, err, synth.ErrNotPlaced)
	ramp := flatImage(160, 0)
	for i := 0; i < len(ramp.Pix); i += 4 {
		v := uint8(i / 4 % 160)
		ramp.Pix[i], ramp.Pix[i+1], ramp.Pix[i+2] = v, v, v
	}
	g.Side, g.Shift, g.Tol = synth.Size{Least: 60, Share: 0.5}, synth.Span{Lo: 9, Hi: 9}, 1
	most := 0
	r := rng(2)
	for range 40 {
		p := drawPair(t, g, ramp, ramp, r)
		for i := range p.Mask.Pix {
			d := int(p.Image.Pix[4*i]) - int(ramp.Pix[4*i])
			most = max(most, d, -d)
		}
	}
	require.LessOrEqual(t, most, 9)
	require.GreaterOrEqual(t, most, 6)
}

// TestNormalTwins: nothing changes, or light and noise do, or what blending leaves; nothing counts as damage.
func TestNormalTwins(t *testing.T) {
	dst, src := material(120, 100, 1), material(120, 100, 2)
	still := synth.DefaultUnchanged()
	still.Share = 0
	p := drawPair(t, still, dst, src, rng(1))
	require.Equal(t, dst.Pix, p.Image.Pix)
	require.Equal(t, synth.KindUnchanged, p.Kind)
	require.True(t, p.Normal)
	light := synth.DefaultUnchanged()
	light.Share, light.Noise = 1, synth.Span{}
	light.Brightness, light.Contrast = synth.Span{Lo: 7, Hi: 7}, synth.Span{Lo: 0.9, Hi: 0.9}
	p = drawPair(t, light, dst, src, rng(1))
	for i, v := range p.Image.Pix {
		if i%4 < 3 {
			require.Equal(t, uint8((float64(dst.Pix[i])-128)*0.9+128+7+0.5), v)
		}
	}
	shares := 0
	for seed := range uint64(200) {
		if sum(drawPair(t, synth.DefaultUnchanged(), dst, src, rng(seed))) != sum(drawPair(t, still, dst, src, rng(seed))) {
			shares++
		}
	}
	require.InDelta(t, 100, shares, 36) // five deviations
	// Blended back as it was, a patch leaves no trace; resized in between it leaves what resizing does.
	seam := synth.DefaultReseam()
	seam.Resample = synth.Span{Lo: 1, Hi: 1}
	for seed := range uint64(20) {
		p := drawPair(t, seam, dst, src, rng(seed))
		require.Equal(t, dst.Pix, p.Image.Pix)
		require.NotZero(t, area(p.Support))
	}
	seam.Resample = synth.Span{Lo: 1.3, Hi: 1.3}
	seam.Mode = synth.Normal
	worst, changed := 0, 0
	for seed := range uint64(20) {
		p := drawPair(t, seam, dst, src, rng(seed))
		require.True(t, p.Normal)
		require.Equal(t, synth.KindSeam, p.Kind)
		for i, v := range p.Image.Pix {
			d := int(v) - int(dst.Pix[i])
			worst = max(worst, d, -d)
			if d != 0 {
				changed++
			}
		}
	}
	require.Positive(t, changed)
	require.Less(t, worst, 45, "resizing softens the weave's edges of 40 levels")
	// A filter for what can be seen lets them pass, and a survey counts them apart.
	require.True(t, drawPair(t, synth.Visible{Generator: still, Least: 20, Attempts: 1}, dst, src, rng(1)).Normal)
	s := synth.Survey{Least: 5}
	require.NoError(t, s.Run(context.Background(), synth.DefaultReseam(), "x", []image.Image{dst, src}, 9, rng(1)))
	require.Equal(t, synth.Rate{Class: "x", Draws: 9, Normal: 9}, s.Rates()[0])
	require.Zero(t, s.Rates()[0].Share())
}

func TestMixture(t *testing.T) {
	m := synth.DefaultMixture()
	require.NoError(t, m.Validate())
	dst, src := material(96, 96, 1), material(96, 96, 2)
	count := func(m synth.Mixture, draws int) (map[synth.Kind]int, int) {
		n, normal := map[synth.Kind]int{}, 0
		r := rng(1)
		for range draws {
			p := drawPair(t, m, dst, src, r)
			check(t, p, dst, 6)
			n[p.Kind]++
			if p.Normal {
				normal++
				require.Contains(t, []synth.Kind{synth.KindUnchanged, synth.KindSeam}, p.Kind)
			}
		}
		return n, normal
	}
	const draws = 600
	n, normal := count(m, draws)
	within := func(want float64, got int, what synth.Kind) {
		require.InDelta(t, want*draws, float64(got), 5*math.Sqrt(draws*want*(1-want)), "%s", what)
	}
	within(0.2, normal, "normal")
	for _, g := range m.Kinds {
		within(0.8*g.Weight, n[g.Kind], g.Kind)
	}
	for _, g := range m.Normal {
		within(0.2*g.Weight, n[g.Kind], g.Kind)
	}
	// A kind that is kept out is never drawn; alone it is all that is drawn, without normal twins.
	without, err := m.Without(synth.KindStain, synth.KindSeam)
	require.NoError(t, err)
	n, _ = count(without, 200)
	require.Zero(t, n[synth.KindStain]+n[synth.KindSeam])
	require.Len(t, without.List(), 7)
	require.Len(t, m.List(), 9, "the mixture itself stays")
	only, err := m.Only(synth.KindStain)
	require.NoError(t, err)
	n, normal = count(only, 40)
	require.Equal(t, 40, n[synth.KindStain])
	require.Zero(t, normal)
	none, err := m.Without(synth.KindUnchanged, synth.KindSeam)
	require.NoError(t, err)
	require.Zero(t, none.Share)
	weighted, err := m.Weighted(map[synth.Kind]float64{synth.KindNSA: 0, synth.KindWarp: 0.9, synth.KindSeam: 0})
	require.NoError(t, err)
	n, _ = count(weighted, 200)
	require.Zero(t, n[synth.KindNSA]+n[synth.KindSeam])
	require.Greater(t, n[synth.KindWarp], 60)
	require.Equal(t, 0.3, m.Kinds[0].Weight)
	for _, f := range []func() (synth.Mixture, error){
		func() (synth.Mixture, error) { return m.Without("sratch") },
		func() (synth.Mixture, error) { return m.Only("scratch") },
		func() (synth.Mixture, error) { return m.Only(synth.KindSeam) },
		func() (synth.Mixture, error) { return m.Only() },
		func() (synth.Mixture, error) { return only.Without(synth.KindStain) },
		func() (synth.Mixture, error) { return m.Weighted(map[synth.Kind]float64{"scratch": 1}) },
		func() (synth.Mixture, error) {
			return m.Weighted(map[synth.Kind]float64{synth.KindStain: math.Inf(1)})
		},
	} {
		_, err := f()
		require.ErrorIs(t, err, synth.ErrSettings)
	}
	// A kind of a caller's own gets the name it has in the mixture, and one that finds no place says which it is.
	own := synth.Mixture{Kinds: []synth.Ingredient{{Kind: "scratch", Generator: outsider{synth.ScarCutPaste()}, Weight: 1}}, Attempts: 3}
	require.Equal(t, synth.Kind("scratch"), drawPair(t, own, dst, src, rng(1)).Kind)
	own.Kinds[0].Generator = synth.DefaultWarp()
	_, err = own.Generate(flatImage(64, 9), flatImage(64, 9), rng(1))
	require.ErrorIs(t, err, synth.ErrNotPlaced)
	require.ErrorContains(t, err, "scratch")
}

// TestMixtureKeepsWeights: a kind that is seldom placed is drawn again, not another one in its stead.
func TestMixtureKeepsWeights(t *testing.T) {
	m := synth.Mixture{Kinds: []synth.Ingredient{{Kind: "hard", Generator: seldom{synth.ScarCutPaste()}, Weight: 1}, {Kind: "easy", Generator: synth.RIADMask(), Weight: 1}}, Attempts: 40}
	a, n := material(64, 64, 1), map[synth.Kind]int{}
	r := rng(2)
	for range 200 {
		p, err := m.Generate(a, a, r)
		require.NoError(t, err)
		n[p.Kind]++
	}
	require.InDelta(t, 100, n["hard"], 36)
}

// seldom places one draw in five.
type seldom struct{ synth.CutPaste }

func (s seldom) GenerateInto(p *synth.Pair, dst, src image.Image, r *rand.Rand) error {
	if r.IntN(5) > 0 {
		return synth.ErrNotPlaced
	}
	return s.CutPaste.GenerateInto(p, dst, src, r)
}

func TestPaintersRefuse(t *testing.T) {
	a, nan := material(32, 32, 1), math.NaN()
	refused := func(field string, g synth.Generator) {
		t.Helper()
		_, err := g.Generate(a, a, rng(1))
		require.ErrorIs(t, err, synth.ErrSettings, field)
		require.ErrorContains(t, err, field+" is ")
	}
	for field, spoil := range map[string]func(*synth.Outlines){
		"Kinds":    func(o *synth.Outlines) { o.Kinds = nil },
		"Kinds[1]": func(o *synth.Outlines) { o.Kinds = []synth.Outline{0, 9} },
		"Side":     func(o *synth.Outlines) { o.Side.Least = 0 },
		"Aspect":   func(o *synth.Outlines) { o.Aspect = nan },
		"Width":    func(o *synth.Outlines) { o.Width = synth.Span{Lo: 0, Hi: 3} },
	} {
		o := synth.AllOutlines()
		spoil(&o)
		for name, g := range painted(o) {
			of := map[string]string{"noise": "Noise", "stain": "Stain"}[name]
			if of == "" {
				of = "Overlay"
			}
			refused(of+".Outlines."+field, g)
		}
	}
	for field, spoil := range map[string]func(*synth.Noise){
		"Mean":      func(g *synth.Noise) { g.Mean.Hi = 256 },
		"Deviation": func(g *synth.Noise) { g.Deviation.Lo = nan },
		"Blocks":    func(g *synth.Noise) { g.Blocks = nil },
		"Blocks[1]": func(g *synth.Noise) { g.Blocks = []int{1, 0} },
		"Colour":    func(g *synth.Noise) { g.Colour = 2 },
		"Opacity":   func(g *synth.Noise) { g.Opacity.Hi = nan },
		"Attempts":  func(g *synth.Noise) { g.Attempts = 0 },
		"Tol":       func(g *synth.Noise) { g.Tol = -1 },
		"Label":     func(g *synth.Noise) { g.Label = synth.LabelContinuous },
	} {
		g := synth.DefaultNoise()
		spoil(&g)
		refused("Noise."+field, g)
	}
	for field, spoil := range map[string]func(*synth.Stain){
		"Soft":     func(g *synth.Stain) { g.Soft.Hi = 65 },
		"Strength": func(g *synth.Stain) { g.Strength.Lo = 0 },
		"Colour":   func(g *synth.Stain) { g.Colour = nan },
		"Attempts": func(g *synth.Stain) { g.Attempts = 0 },
	} {
		g := synth.DefaultStain()
		spoil(&g)
		refused("Stain."+field, g)
	}
	for field, spoil := range map[string]func(*synth.Overlay){
		"Gain":    func(g *synth.Overlay) { g.Gain.Hi = 5 },
		"Shift":   func(g *synth.Overlay) { g.Shift.Lo = nan },
		"Opacity": func(g *synth.Overlay) { g.Opacity = synth.Span{Lo: 1} },
		"Label":   func(g *synth.Overlay) { g.Label = 99 },
	} {
		g := synth.ShapeOverlay()
		spoil(&g)
		refused("Overlay."+field, g)
	}
	for field, spoil := range map[string]func(*synth.Warp){
		"Side":     func(g *synth.Warp) { g.Side.Share = 1.5 },
		"Aspect":   func(g *synth.Warp) { g.Aspect = 0.5 },
		"Shift":    func(g *synth.Warp) { g.Shift.Lo = 0 },
		"Cells":    func(g *synth.Warp) { g.Cells = [2]int{0, 1} },
		"Attempts": func(g *synth.Warp) { g.Attempts = 0 },
	} {
		g := synth.DefaultWarp()
		spoil(&g)
		refused("Warp."+field, g)
	}
	for field, spoil := range map[string]func(*synth.Unchanged){
		"Share":      func(g *synth.Unchanged) { g.Share = nan },
		"Brightness": func(g *synth.Unchanged) { g.Brightness.Hi = 300 },
		"Contrast":   func(g *synth.Unchanged) { g.Contrast.Lo = -1 },
		"Noise":      func(g *synth.Unchanged) { g.Noise.Hi = nan },
		"Label":      func(g *synth.Unchanged) { g.Label = -1 },
	} {
		g := synth.DefaultUnchanged()
		spoil(&g)
		refused("Unchanged."+field, g)
	}
	for field, spoil := range map[string]func(*synth.Reseam){
		"Box":      func(g *synth.Reseam) { g.Box = synth.Box{} },
		"Resample": func(g *synth.Reseam) { g.Resample.Lo = 0.5 },
		"Mode":     func(g *synth.Reseam) { g.Mode = synth.Swap },
		"Erode":    func(g *synth.Reseam) { g.Erode = 99 },
		"Attempts": func(g *synth.Reseam) { g.Attempts = 0 },
		"Label":    func(g *synth.Reseam) { g.Label = 99 },
	} {
		g := synth.DefaultReseam()
		spoil(&g)
		refused("Reseam."+field, g)
	}
	one := func() []synth.Ingredient {
		return []synth.Ingredient{{Kind: synth.KindMask, Generator: synth.RIADMask(), Weight: 1}}
	}
	for field, m := range map[string]synth.Mixture{
		"Share":              {Kinds: one(), Share: 1, Attempts: 1},
		"Attempts":           {Kinds: one()},
		"Kinds":              {Attempts: 1},
		"Normal":             {Kinds: one(), Share: 0.1, Attempts: 1},
		"Kinds[0].Kind":      {Kinds: []synth.Ingredient{{Generator: synth.RIADMask(), Weight: 1}}, Attempts: 1},
		"Kinds[0].Generator": {Kinds: []synth.Ingredient{{Kind: "x", Weight: 1}}, Attempts: 1},
		"Kinds[0].Weight":    {Kinds: []synth.Ingredient{{Kind: "x", Generator: synth.RIADMask(), Weight: nan}}, Attempts: 1},
	} {
		refused("Mixture."+field, m)
	}
	refused("Mixture.Kinds", synth.Mixture{Kinds: append(one(), one()...), Attempts: 1}) // a name twice
	refused("Mask.Groups", synth.Mixture{Kinds: []synth.Ingredient{{Kind: "x", Generator: synth.Mask{Sides: []int{1}}, Weight: 1}}, Attempts: 1})
	broken := synth.TextureOverlay()
	broken.Textures = synth.TextureCrops{}
	_, err := broken.Generate(a, a, rng(1))
	require.ErrorIs(t, err, synth.ErrImage)
	require.False(t, errors.Is(err, synth.ErrNotPlaced))
	broken.Textures = synth.TextureCrops{image.NewRGBA(image.Rect(0, 0, 3, 3))}
	_, err = broken.Generate(a, a, rng(1))
	require.ErrorContains(t, err, "texture 0")
}

// TestTextureCrops: a crop is a part of a picture, at its scale, turned by quarters or mirrored; a small picture is
// repeated, mirrored at its edges.
func TestTextureCrops(t *testing.T) {
	picture := image.NewRGBA(image.Rect(0, 0, 40, 30))
	for y := range 30 {
		for x := range 40 {
			copy(picture.Pix[picture.PixOffset(x, y):], []uint8{uint8(6 * x), uint8(8 * y), 7, 255})
		}
	}
	r := rng(1)
	ways := map[[4]int]bool{}
	for range 200 {
		m := image.NewRGBA(image.Rect(0, 0, 12, 9))
		require.NoError(t, synth.TextureCrops{picture}.Texture(m, r))
		at := func(x, y int) (int, int) {
			i := m.PixOffset(x, y)
			require.EqualValues(t, 255, m.Pix[i+3])
			return int(m.Pix[i]) / 6, int(m.Pix[i+1]) / 8
		}
		x0, y0 := at(0, 0)
		x1, y1 := at(1, 0)
		x2, y2 := at(0, 1)
		way := [4]int{x1 - x0, y1 - y0, x2 - x0, y2 - y0}
		ways[way] = true
		for y := range 9 {
			for x := range 12 {
				gx, gy := at(x, y)
				require.Equal(t, [2]int{x0 + x*way[0] + y*way[2], y0 + x*way[1] + y*way[3]}, [2]int{gx, gy})
			}
		}
	}
	require.Len(t, ways, 8)
	large := image.NewRGBA(image.Rect(0, 0, 100, 90))
	require.NoError(t, synth.TextureCrops{picture}.Texture(large, r))
	for i := 0; i < len(large.Pix); i += 4 {
		require.EqualValues(t, 7, large.Pix[i+2])
	}
}
