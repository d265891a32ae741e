package synth_test

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/synth"
)

// member is one generator as the shared tests see it.
type member struct {
	gen   synth.Reuser
	tol   float64
	scene synth.NSA // what kind of picture it needs
	tints bool      // it may colour a grey image
}

// members are all generators in all settings that have a name, and some that have none.
func members() map[string]member {
	m := map[string]member{}
	for name, g := range presets() {
		m[name] = member{gen: g, tol: g.Tol, scene: g}
	}
	nsa := func(name string, g synth.NSA, change func(*synth.NSA)) {
		if change != nil {
			change(&g)
		}
		m[name] = member{gen: g, tol: g.Tol, scene: g}
	}
	bottle, _ := synth.ClassNSA("bottle")
	nsa("ellipse object", synth.EllipseShapes(synth.ObjectNSA()), nil)
	nsa("ellipse texture", synth.EllipseShapes(synth.TextureNSA()), nil)
	nsa("ellipse bottle", synth.EllipseShapes(bottle), nil)
	nsa("cutpaste shapes", synth.CutPasteShapes(synth.ObjectNSA()), nil)
	nsa("cutpaste bottle", synth.CutPasteShapes(bottle), func(g *synth.NSA) { g.Backgrounds = bottle.Backgrounds })
	for name, g := range map[string]synth.NSA{"texture": synth.TextureNSA(), "bottle": bottle, "ellipse": synth.EllipseShapes(bottle)} {
		nsa("swap "+name, g, func(g *synth.NSA) { g.Mode = synth.Swap })
		nsa("uniform "+name, g, func(g *synth.NSA) { g.Mode, g.Label = synth.Uniform, synth.LabelContinuous })
		nsa("continuous "+name, g, func(g *synth.NSA) { g.Label = synth.LabelContinuous })
	}
	cut := func(name string, g synth.CutPaste) { m[name] = member{gen: g, tol: g.Tol} }
	cut("cutpaste", synth.DefaultCutPaste())
	cut("scar", synth.ScarCutPaste())
	cut("three-way", synth.ThreeWayCutPaste())
	cut("tab cutpaste", synth.OfficialTABCutPaste())
	other := synth.ThreeWayCutPaste()
	other.Other, other.ScarSide, other.Attempts, other.Label = true, 64, 5, synth.LabelBinary
	cut("cutpaste other", other)
	perlin := func(name string, g synth.Perlin) { m[name] = member{gen: g, tol: g.Tol, tints: !g.KeepGrey} }
	perlin("perlin", synth.DefaultPerlin())
	perlin("draem", synth.DRAEMPerlin())
	perlin("tab perlin", synth.OfficialTABPerlin())
	pictures := synth.DRAEMPerlin()
	pictures.Textures = synth.TextureImages{material(40, 50, 3), image.NewGray(image.Rect(0, 0, 9, 9))}
	pictures.Label = synth.LabelLogistic
	perlin("perlin pictures", pictures)
	mask := func(name string, g synth.Mask) { m[name] = member{gen: g, tol: g.Tol} }
	mask("mask", synth.DefaultMask())
	mask("riad", synth.RIADMask())
	grey := synth.DefaultMask()
	grey.Fill, grey.Label, grey.Attempts = [3]uint8{128, 128, 128}, synth.LabelIntensity, 20
	mask("mask grey", grey)
	paint := func(name string, g synth.Reuser, tol float64) { m[name] = member{gen: g, tol: tol} }
	noise, stain, warp := synth.DefaultNoise(), synth.DefaultStain(), synth.DefaultWarp()
	paint("noise", noise, noise.Tol)
	paint("stain", stain, stain.Tol)
	paint("warp", warp, warp.Tol)
	paint("texture overlay", synth.TextureOverlay(), 6)
	paint("shape overlay", synth.ShapeOverlay(), 6)
	crops := synth.TextureOverlay()
	crops.Textures = synth.TextureCrops{material(40, 50, 3), image.NewGray(image.Rect(0, 0, 9, 9))}
	crops.Outlines.Kinds, crops.Label, crops.Tol = []synth.Outline{synth.OutlineBezier}, synth.LabelIntensity, 0
	paint("texture crops", crops, 0)
	for i, k := range synth.AllOutlines().Kinds {
		g := synth.DefaultNoise()
		g.Outlines.Kinds, g.Colour, g.Tol = []synth.Outline{k}, 1, 1
		paint(fmt.Sprintf("noise outline %d", i), g, 1)
	}
	stain.Soft, stain.Strength, stain.Outlines.Kinds = synth.Span{Lo: 9, Hi: 9}, synth.Span{Lo: 200, Hi: 255}, []synth.Outline{synth.OutlineBlob}
	paint("stain wide", stain, stain.Tol)
	small := synth.DefaultNSA()
	small.Box, small.Erode, small.MinPixels = synth.Box{Side: synth.Size{Least: 8, Share: 0.3}, Aspect: synth.Span{Lo: 0.5, Hi: 2}}, 1, 4
	paint("nsa sides", small, small.Tol)
	sides := synth.DefaultCutPaste()
	sides.Box = synth.Box{Side: synth.SmallDefects(), Aspect: synth.Span{Lo: 1. / 3, Hi: 3}}
	paint("cutpaste sides", sides, sides.Tol)
	jitter := synth.DefaultUnchanged()
	jitter.Share = 1
	paint("unchanged", jitter, 0)
	paint("seam", synth.DefaultReseam(), 0)
	paint("mixture", synth.DefaultMixture(), 6)
	m["mix"] = member{gen: synth.MixOf(synth.DefaultNSA(), synth.DefaultCutPaste(), synth.DefaultPerlin(), synth.DefaultMask()), tol: 1}
	m["visible"] = member{gen: synth.Visible{Generator: synth.DefaultNSA(), Least: 4, Attempts: 20}, tol: 1}
	return m
}

// picture is what a member is tried on.
func (m member) picture(w, h int, seed uint64) *image.RGBA { return scene(m.scene, w, h, seed) }

// change is Pair.Change by its definition.
func change(p synth.Pair, dst *image.RGBA) float64 {
	sum, n := 0.0, 0
	for y := range dst.Rect.Dy() {
		for x := range dst.Rect.Dx() {
			if p.Mask.GrayAt(x, y).Y > 0 {
				a, b := dst.RGBAAt(x, y), p.Image.RGBAAt(x, y)
				sum += math.Abs(float64(a.R)-float64(b.R)) + math.Abs(float64(a.G)-float64(b.G)) + math.Abs(float64(a.B)-float64(b.B))
				n++
			}
		}
	}
	if n == 0 {
		return 0
	}
	return sum / float64(3*n)
}

// TestEveryGenerator holds the rules of a Pair for every generator: what lies outside the support, what the mask, the
// label and Change say, that inputs stay, that a seed means the same bytes, and that memory handed in means nothing.
func TestEveryGenerator(t *testing.T) {
	for name, m := range members() {
		t.Run(name, func(t *testing.T) {
			used := synth.Pair{}
			for seed := range uint64(3) {
				dst, src := m.picture(131, 118, seed), m.picture(131, 118, seed+50)
				before, beforeSrc := append([]uint8(nil), dst.Pix...), append([]uint8(nil), src.Pix...)
				p := drawPair(t, m.gen, dst, src, rng(seed))
				check(t, p, dst, m.tol)
				require.Equal(t, before, dst.Pix)
				require.Equal(t, beforeSrc, src.Pix)
				require.InDelta(t, change(p, dst), p.Change, 1e-9)
				if !p.Normal {
					require.Greater(t, p.Change, m.tol)
				}
				require.NotEqual(t, "other", p.Kind.String())
				for i, v := range p.Label {
					require.False(t, v < 0 || v > 255 || math.IsNaN(float64(v)), "label %d is %g", i, v)
				}
				r := rng(seed)
				require.Equal(t, sum(p), sum(drawPair(t, m.gen, dst, src, r)), "same seed, same bytes")
				require.NotEqual(t, sum(p), sum(drawPair(t, m.gen, dst, src, r)))
				r = rng(seed)
				for m.gen.GenerateInto(&used, dst, src, r) != nil {
				}
				require.Equal(t, sum(p), sum(used), "reused memory, same bytes")
				require.Equal(t, p, used)
				// The result of one call as an input of the next.
				held := sum(p)
				again := used
				for m.gen.GenerateInto(&again, used.Image, src, r) != nil {
				}
				check(t, again, p.Image, m.tol)
				require.Equal(t, held, sum(p))
			}
		})
	}
}

func TestGreyStaysGrey(t *testing.T) {
	grey := func(m *image.RGBA) *image.Gray {
		g := image.NewGray(m.Rect)
		for i := range g.Pix {
			g.Pix[i] = m.Pix[4*i+2] // dark enough to stand out from either background
		}
		return g
	}
	for name, m := range members() {
		if m.tints {
			continue
		}
		for seed := range uint64(2) {
			p := drawPair(t, m.gen, grey(m.picture(131, 118, seed)), grey(m.picture(131, 118, seed+9)), rng(seed))
			for i := 0; i < len(p.Image.Pix); i += 4 {
				px := p.Image.Pix[i : i+4]
				if px[0] != px[1] || px[0] != px[2] {
					t.Fatalf("%s: pixel %d is %v", name, i/4, px)
				}
			}
		}
	}
}

// TestEverySize: an image of any size is damaged or refused as ErrNotPlaced.
func TestEverySize(t *testing.T) {
	for name, m := range members() {
		g := m.gen
		for _, s := range [][2]int{{8, 8}, {9, 8}, {11, 13}, {13, 47}, {300, 9}, {223, 211}, {8192, 8}, {8, 8192}} {
			for seed := range uint64(4) {
				if s[0]*s[1] > 20000 && seed > 0 {
					break
				}
				dst, src := m.picture(s[0], s[1], seed), m.picture(s[1]+1, s[0], seed+9)
				p, err := g.Generate(dst, src, rng(seed))
				if err != nil {
					require.ErrorIs(t, err, synth.ErrNotPlaced, "%s %v", name, s)
					require.ErrorContains(t, err, fmt.Sprintf("%dx%d", s[0], s[1]))
					continue
				}
				check(t, p, dst, m.tol)
			}
		}
	}
	// What is sure to be placed on the smallest image.
	for _, g := range []synth.Generator{synth.DefaultCutPaste(), synth.ScarCutPaste(), synth.DefaultPerlin(), synth.DefaultMask(), synth.RIADMask()} {
		check(t, drawPair(t, g, material(8, 8, 1), material(8, 8, 2), rng(3)), material(8, 8, 1), 1)
	}
}

func TestGeneratorsAtOnce(t *testing.T) {
	for name, m := range members() {
		dst, src := m.picture(80, 72, 1), m.picture(80, 72, 2)
		want, got := make([]uint32, 6), make([]uint32, 6)
		for i := range want {
			want[i] = sum(drawPair(t, m.gen, dst, src, rng(uint64(i))))
		}
		var wg sync.WaitGroup
		for i := range got {
			wg.Add(1)
			go func() {
				defer wg.Done()
				r := rng(uint64(i))
				for {
					if p, err := m.gen.Generate(dst, src, r); err == nil {
						got[i] = sum(p)
						return
					}
				}
			}()
		}
		wg.Wait()
		require.Equal(t, want, got, name)
	}
}

func TestGeneratorsRefuse(t *testing.T) {
	a := material(32, 32, 1)
	for name, m := range members() {
		_, err := m.gen.Generate(a, a, nil)
		require.ErrorIs(t, err, synth.ErrNoRand, name)
		for _, bad := range []image.Image{nil, (*image.RGBA)(nil), image.NewRGBA(image.Rect(0, 0, 7, 90))} {
			_, err = m.gen.Generate(bad, a, rng(1))
			require.ErrorIs(t, err, synth.ErrImage, name)
			_, err = m.gen.Generate(a, bad, rng(1))
			require.ErrorIs(t, err, synth.ErrImage, name)
		}
	}
	nan := math.NaN()
	refused := func(field string, g synth.Generator) {
		_, err := g.Generate(a, a, rng(1))
		require.ErrorIs(t, err, synth.ErrSettings, field)
		require.ErrorContains(t, err, field+" is ")
		require.ErrorIs(t, g.(interface{ Validate() error }).Validate(), synth.ErrSettings, field)
	}
	for field, spoil := range map[string]func(*synth.CutPaste){
		"Cut":        func(g *synth.CutPaste) { g.Cut = 9 },
		"Box":        func(g *synth.CutPaste) { g.Box.Area.Lo = 0 },
		"ScarWidth":  func(g *synth.CutPaste) { g.ScarWidth.Lo = nan },
		"ScarHeight": func(g *synth.CutPaste) { g.ScarHeight.Hi = 1 },
		"ScarAngle":  func(g *synth.CutPaste) { g.ScarAngle.Hi = 400 },
		"ScarSide":   func(g *synth.CutPaste) { g.ScarSide = -1 },
		"Jitter":     func(g *synth.CutPaste) { g.Jitter.Hue = 0.6 },
		"Attempts":   func(g *synth.CutPaste) { g.Attempts = 0 },
		"Tol":        func(g *synth.CutPaste) { g.Tol = nan },
		"Label":      func(g *synth.CutPaste) { g.Label = synth.LabelContinuous },
		"Curve":      func(g *synth.CutPaste) { g.Label, g.Curve.Midpoint = synth.LabelLogistic, nan },
	} {
		g := synth.ThreeWayCutPaste()
		spoil(&g)
		refused("CutPaste."+field, g)
	}
	for field, spoil := range map[string]func(*synth.Perlin){
		"Grid":      func(g *synth.Perlin) { g.Grid = [2]int{3, 3} },
		"Angle":     func(g *synth.Perlin) { g.Angle.Lo = nan },
		"Threshold": func(g *synth.Perlin) { g.Threshold = 2 },
		"Beta":      func(g *synth.Perlin) { g.Beta.Hi = 1.5 },
		"Augment":   func(g *synth.Perlin) { g.Augment = 11 },
		"Gain":      func(g *synth.Perlin) { g.Gain = -1 },
		"Attempts":  func(g *synth.Perlin) { g.Attempts = 0 },
		"Label":     func(g *synth.Perlin) { g.Label = 99 },
	} {
		g := synth.DefaultPerlin()
		spoil(&g)
		refused("Perlin."+field, g)
	}
	for field, spoil := range map[string]func(*synth.Mask){
		"Sides":    func(g *synth.Mask) { g.Sides = nil },
		"Sides[1]": func(g *synth.Mask) { g.Sides = []int{4, 0} },
		"Groups":   func(g *synth.Mask) { g.Groups = 0 },
		"Attempts": func(g *synth.Mask) { g.Attempts = 0 },
		"Tol":      func(g *synth.Mask) { g.Tol = 256 },
	} {
		g := synth.DefaultMask()
		spoil(&g)
		refused("Mask."+field, g)
	}
	for field, spoil := range map[string]func(*synth.NSA){
		"Ellipses": func(g *synth.NSA) { g.Ellipses = -1 },
		"Box":      func(g *synth.NSA) { g.Box = synth.Box{Area: synth.Span{Lo: 0.5, Hi: 2}} },
	} {
		g := synth.DefaultNSA()
		spoil(&g)
		refused("NSA."+field, g)
	}
	refused("Mix.Parts", synth.Mix{})
	refused("Mix.Parts[0].Generator", synth.MixOf(nil))
	refused("Mix.Parts[0].Weight", synth.Mix{Parts: []synth.Part{{Generator: synth.DefaultMask(), Weight: nan}}})
	refused("Mask.Groups", synth.MixOf(synth.Mask{Sides: []int{1}}))
	refused("Visible.Generator", synth.Visible{Attempts: 1})
	refused("Visible.Least", synth.Visible{Generator: synth.DefaultMask(), Least: nan, Attempts: 1})
	refused("Visible.Attempts", synth.Visible{Generator: synth.DefaultMask()})
	bad := synth.DRAEMPerlin()
	bad.Textures, bad.Threshold = synth.TextureImages{}, -1
	_, err := bad.Generate(a, a, rng(1))
	require.ErrorIs(t, err, synth.ErrImage)
	bad.Textures = synth.TextureImages{image.NewRGBA(image.Rect(0, 0, 3, 3))}
	_, err = bad.Generate(a, a, rng(1))
	require.ErrorContains(t, err, "texture 0")
}

// TestNothingChanged: damage that cannot be seen at all is no defect, whatever makes it.
func TestNothingChanged(t *testing.T) {
	black := flatImage(64, 0)
	_, err := synth.RIADMask().Generate(black, black, rng(1))
	require.ErrorIs(t, err, synth.ErrNotPlaced)
	clear := synth.DefaultPerlin()
	clear.Beta = synth.Span{Lo: 1, Hi: 1}
	_, err = clear.Generate(material(64, 64, 1), black, rng(1))
	require.ErrorIs(t, err, synth.ErrNotPlaced)
	for _, g := range []synth.CutPaste{synth.DefaultCutPaste(), synth.ScarCutPaste()} {
		g.Jitter, g.Attempts = synth.Jitter{}, 9
		_, err = g.Generate(flatImage(64, 99), black, rng(1))
		require.ErrorIs(t, err, synth.ErrNotPlaced)
		require.NotErrorIs(t, err, synth.ErrInvisible)
	}
	swap := synth.DefaultNSA()
	swap.Mode = synth.Swap
	_, err = swap.Generate(flatImage(64, 99), flatImage(64, 99), rng(1))
	require.ErrorIs(t, err, synth.ErrNotPlaced)
}

func TestVisible(t *testing.T) {
	// Faint stripes: what NSA blends there changes a grey level or two, if any.
	faint := func(seed int) *image.RGBA {
		m := flatImage(96, 120)
		for i := 0; i < len(m.Pix); i += 4 {
			if (i/4+seed)%7 == 0 {
				m.Pix[i], m.Pix[i+1], m.Pix[i+2] = 123, 123, 123
			}
		}
		return m
	}
	dst, src := faint(0), faint(3)
	plain := synth.DefaultNSA()
	drawPair(t, plain, dst, src, rng(1))
	_, err := synth.Visible{Generator: plain, Least: 30, Attempts: 4}.Generate(dst, src, rng(1))
	require.ErrorIs(t, err, synth.ErrInvisible)
	require.ErrorIs(t, err, synth.ErrNotPlaced)
	require.ErrorContains(t, err, "of 4 draws")
	flat := flatImage(96, 120)
	_, err = synth.Visible{Generator: plain, Least: 30, Attempts: 4}.Generate(flat, flat, rng(1))
	require.ErrorIs(t, err, synth.ErrNotPlaced)
	require.NotErrorIs(t, err, synth.ErrInvisible)
	// Off, it is the generator itself.
	off := synth.Visible{Generator: plain, Attempts: 1}
	a, b := material(96, 96, 1), material(96, 96, 2)
	require.Equal(t, sum(drawPair(t, plain, a, b, rng(5))), sum(drawPair(t, off, a, b, rng(5))))
	// On, it holds what it says, for every kind.
	for _, g := range []synth.Generator{plain, synth.DefaultCutPaste(), synth.DefaultPerlin(), synth.DefaultMask()} {
		changes := []float64{}
		for seed := range uint64(9) {
			changes = append(changes, drawPair(t, g, a, b, rng(seed)).Change)
		}
		slices.Sort(changes)
		least := changes[5] // more than half of all draws are below
		for seed := range uint64(4) {
			p := drawPair(t, synth.Visible{Generator: g, Least: least, Attempts: 50}, a, b, rng(seed))
			require.GreaterOrEqual(t, p.Change, least)
		}
	}
}

func TestSurvey(t *testing.T) {
	s := synth.Survey{Least: 3}
	noisy := []image.Image{material(64, 64, 1), material(64, 64, 2)}
	flat := []image.Image{flatImage(64, 120)}
	ctx := context.Background()
	require.NoError(t, s.Run(ctx, synth.DefaultNSA(), "weave", noisy, 20, rng(1)))
	require.NoError(t, s.Run(ctx, synth.DefaultNSA(), "flat", flat, 12, rng(1)))
	require.NoError(t, s.Run(ctx, synth.Visible{Generator: synth.DefaultCutPaste(), Least: 250, Attempts: 2}, "hard", noisy, 5, rng(1)))
	require.NoError(t, s.Count("hand", synth.Pair{Change: 2.9}, nil))
	require.NoError(t, s.Count("hand", synth.Pair{Change: 20}, nil))
	require.NoError(t, s.Count("hand", synth.Pair{Change: 30}, nil))
	require.ErrorIs(t, s.Count("hand", synth.Pair{}, synth.ErrImage), synth.ErrImage)
	r := s.Rates()
	require.Len(t, r, 4)
	require.Equal(t, synth.Rate{Class: "flat", Draws: 12, Unplaced: 12}, r[0])
	require.Equal(t, 1., r[0].Share())
	require.Equal(t, synth.Rate{Class: "hand", Draws: 3, Invisible: 1, Median: 20}, r[1])
	require.Equal(t, synth.Rate{Class: "hard", Draws: 5, Invisible: 5}, r[2])
	require.Equal(t, "weave", r[3].Class)
	require.Less(t, r[3].Share(), 1.)
	require.Zero(t, synth.Rate{}.Share())
	require.Equal(t, "hand: of 3 draws 0 were not placed and 1 not to be seen; median change 20.0 grey levels", r[1].String())
	require.Equal(t, "x: of 9 draws 0 were not placed and 0 not to be seen, 9 were normal; median change 0.0 grey levels",
		synth.Rate{Class: "x", Draws: 9, Normal: 9}.String())
	require.ErrorIs(t, s.Run(ctx, synth.DefaultNSA(), "x", nil, 1, rng(1)), synth.ErrImage)
	require.ErrorIs(t, s.Run(ctx, synth.DefaultNSA(), "x", flat, 1, nil), synth.ErrNoRand)
	done, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, s.Run(done, synth.DefaultNSA(), "x", flat, 1, rng(1)), context.Canceled)
}

func TestMixWeights(t *testing.T) {
	m := synth.Mix{Parts: []synth.Part{{synth.DefaultCutPaste(), 3}, {synth.RIADMask(), 1}, {synth.ScarCutPaste(), 0}}}
	a := material(48, 48, 1)
	r, n := rng(1), map[synth.Kind]int{}
	for range 400 {
		n[drawPair(t, m, a, a, r).Kind]++
	}
	// Five deviations of 400 draws at 3/4 are 43.
	require.InDelta(t, 300, n[synth.KindCutPatch], 43)
	require.Equal(t, 400, n[synth.KindCutPatch]+n[synth.KindMask])
	require.Equal(t, "other", synth.KindOther.String())
	require.Equal(t, "nsa", synth.KindNSA.String())
}

// outsider is a generator that knows nothing of reuse.
type outsider struct{ synth.Generator }

func TestOutsiders(t *testing.T) {
	a := material(48, 48, 1)
	o := outsider{synth.DefaultCutPaste()}
	p := drawPair(t, synth.Visible{Generator: o, Least: 1, Attempts: 3}, a, a, rng(2))
	require.Equal(t, sum(drawPair(t, o, a, a, rng(2))), sum(p))
	require.Equal(t, color.RGBAModel, p.Image.ColorModel())
}

// FuzzGenerators: whatever the size, the seed and the generator, a draw keeps the rules or is not placed.
func FuzzGenerators(f *testing.F) {
	all := members()
	names := slices.Sorted(maps.Keys(all))
	for k := range names {
		f.Add(uint8(k), uint8(k*37), uint8(k*11), uint64(k))
	}
	f.Fuzz(func(t *testing.T, which, w, h uint8, seed uint64) {
		m := all[names[int(which)%len(names)]]
		dst := m.picture(8+int(w)%200, 8+int(h)%200, seed)
		p, err := m.gen.Generate(dst, m.picture(8+int(h)%200, 8+int(w)%200, seed+1), rng(seed))
		if err != nil {
			require.ErrorIs(t, err, synth.ErrNotPlaced)
			return
		}
		check(t, p, dst, m.tol)
		require.InDelta(t, change(p, dst), p.Change, 1e-9)
	})
}
