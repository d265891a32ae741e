package synth_test

import (
	"image"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/synth"
)

// TestCutPasteSizes holds the laws of the article and of TAB's code over many draws: bounds that are met and never passed
// (but for rounding to pixels), and the middle of each law.
func TestCutPasteSizes(t *testing.T) {
	for _, c := range []struct {
		g          synth.CutPaste
		area       synth.Span
		aspect     float64
		meanOfArea float64
	}{
		{synth.DefaultCutPaste(), synth.Span{Lo: 0.02, Hi: 0.15}, 1 / 0.3, 0.085},
		{synth.OfficialTABCutPaste(), synth.Span{Lo: 0.02, Hi: 0.09}, 5, 0.055},
	} {
		c.g.Label, c.g.Tol = synth.LabelNone, 0
		dst := material(224, 224, 1)
		r := rng(7)
		const draws = 600
		sum, logs, most := 0.0, 0.0, 0.0
		for range draws {
			p := drawPair(t, c.g, dst, dst, r)
			require.Equal(t, synth.KindCutPatch, p.Kind)
			b := box(p.Support)
			share := float64(b.Dx()*b.Dy()) / (224 * 224)
			ratio := float64(b.Dx()) / float64(b.Dy())
			require.InDelta(t, (c.area.Lo+c.area.Hi)/2, share, (c.area.Hi-c.area.Lo)/2+0.006)
			require.Less(t, math.Abs(math.Log(ratio)), math.Log(c.aspect)+0.06)
			sum, logs, most = sum+share, logs+math.Log(ratio), max(most, math.Abs(math.Log(ratio)))
		}
		// Deviation of an even law over 600 draws: width/sqrt(12*600); five of them.
		require.InDelta(t, c.meanOfArea, sum/draws, 5*(c.area.Hi-c.area.Lo)/math.Sqrt(12*draws)+0.0005)
		require.InDelta(t, 0, logs/draws, 5*2*math.Log(c.aspect)/math.Sqrt(12*draws))
		require.Greater(t, most, 0.95*math.Log(c.aspect))
	}
}

// TestScarSizes: 2 to 16 by 10 to 25 pixels, turned by up to 45 degrees; the number of pixels is that of the strip.
func TestScarSizes(t *testing.T) {
	g := synth.ScarCutPaste()
	g.Tol, g.Label = 0, synth.LabelNone
	dst := material(256, 256, 1)
	r := rng(3)
	least, most, turned := 1<<20, 0, 0
	for range 600 {
		p := drawPair(t, g, dst, dst, r)
		require.Equal(t, synth.KindCutScar, p.Kind)
		n := 0
		for _, v := range p.Support.Pix {
			n += int(v >> 7)
		}
		b := box(p.Support)
		require.LessOrEqual(t, max(b.Dx(), b.Dy()), 30) // the diagonal of 16x25
		least, most = min(least, n), max(most, n)
		if b.Dx()*b.Dy() > n {
			turned++
		}
	}
	require.LessOrEqual(t, least, 30) // from 2x10
	require.GreaterOrEqual(t, most, 320)
	require.LessOrEqual(t, most, 15*24+40) // a cut whole number below 16x25, and what turning rounds
	require.Greater(t, turned, 400)
	// Strips grow with the image where they are told to.
	g.ScarSide = 256
	large := drawPair(t, g, material(1024, 1024, 1), dst, rng(1))
	g.ScarSide = 0
	small := drawPair(t, g, material(1024, 1024, 1), dst, rng(1))
	require.Greater(t, box(large.Support).Dx(), 2*box(small.Support).Dx())
}

func TestThreeWay(t *testing.T) {
	dst := material(96, 96, 1)
	patch, scar, err := synth.DefaultCutPaste().ThreeWay(dst, dst, rng(1))
	require.NoError(t, err)
	require.Equal(t, synth.KindCutPatch, patch.Kind)
	require.Equal(t, synth.KindCutScar, scar.Kind)
	check(t, patch, dst, 1)
	check(t, scar, dst, 1)
	_, _, err = synth.DefaultCutPaste().ThreeWay(dst, dst, nil)
	require.ErrorIs(t, err, synth.ErrNoRand)
	kinds := map[synth.Kind]int{}
	r := rng(1)
	for range 200 {
		kinds[drawPair(t, synth.ThreeWayCutPaste(), dst, dst, r).Kind]++
	}
	require.InDelta(t, 100, kinds[synth.KindCutPatch], 36) // five deviations
	require.Equal(t, 200, kinds[synth.KindCutPatch]+kinds[synth.KindCutScar])
}

// TestMaskCells: TAB's 196 cells in 52 groups are 49 groups of four and three empty ones; RIAD's third of the image.
func TestMaskCells(t *testing.T) {
	dst := material(224, 224, 1)
	r := rng(5)
	empty, hit := 0, map[image.Point]int{}
	const draws = 2000
	for range draws {
		p, err := synth.DefaultMask().Generate(dst, dst, r)
		if err != nil {
			require.ErrorIs(t, err, synth.ErrNotPlaced)
			empty++
			continue
		}
		require.Equal(t, 4, p.Placed)
		n := 0
		for y := 0; y < 224; y++ {
			for x := 0; x < 224; x++ {
				on := p.Support.Pix[y*224+x]
				if p.Support.Pix[y/16*16*224+x/16*16] != on {
					t.Fatal("a cell is blanked in part")
				}
				if on > 0 {
					n++
					if x%16 == 0 && y%16 == 0 {
						hit[image.Pt(x/16, y/16)]++
					}
					if p.Image.Pix[4*(y*224+x)] != 0 {
						t.Fatal("a blanked pixel is not black")
					}
				}
			}
		}
		require.Equal(t, 4*16*16, n)
	}
	require.InDelta(t, draws*3./52, empty, 5*math.Sqrt(draws*3./52))
	require.Len(t, hit, 196, "every cell has its turn")
	for at, n := range hit {
		require.InDelta(t, (draws-float64(empty))*4/196, n, 6*math.Sqrt(draws*4/196.), "%v", at)
	}
	shares := map[int]bool{}
	for range 40 {
		p := drawPair(t, synth.RIADMask(), dst, dst, r)
		n := 0
		for _, v := range p.Support.Pix {
			n += int(v >> 7)
		}
		require.InDelta(t, 224*224/3, n, 600) // two cells of 16 more or less than a third
		shares[p.Placed] = true
	}
	require.Len(t, shares, 8, "four sides of a cell, and a last group that is smaller")
}

// TestPerlinLabels holds what the two released programs make of the noise's mask.
func TestPerlinLabels(t *testing.T) {
	dst := material(96, 96, 1)
	for _, g := range []synth.Perlin{synth.DRAEMPerlin(), synth.OfficialTABPerlin()} {
		r := rng(2)
		for range 20 {
			p := drawPair(t, g, dst, dst, r)
			for i, v := range p.Support.Pix {
				require.Equal(t, float32(v>>7), p.Label[i], "the articles' truth is the noise's mask")
			}
		}
	}
	// TAB's arithmetic darkens: no pixel becomes brighter than the largest share of the image and one level of texture.
	r := rng(4)
	for range 20 {
		p := drawPair(t, synth.OfficialTABPerlin(), dst, dst, r)
		for i := range p.Image.Pix {
			if i%4 < 3 && p.Support.Pix[i/4] > 0 {
				require.LessOrEqual(t, float64(p.Image.Pix[i]), 0.8*float64(dst.Pix[i])+1.5)
			}
		}
	}
}

func TestDrawnTextures(t *testing.T) {
	r := rng(1)
	distinct := map[uint32]bool{}
	for range 60 {
		m := image.NewRGBA(image.Rect(0, 0, 61, 47))
		require.NoError(t, synth.DrawnTextures{}.Texture(m, r))
		levels := map[[3]uint8]bool{}
		for i := 0; i < len(m.Pix); i += 4 {
			require.EqualValues(t, 255, m.Pix[i+3])
			levels[[3]uint8(m.Pix[i:i+3])] = true
		}
		distinct[uint32(len(levels))] = true
		require.GreaterOrEqual(t, len(levels), 2)
	}
	require.Greater(t, len(distinct), 10)
}

// TestEllipses: the pasted shape is not the whole patch, and outside it nothing is pasted.
func TestEllipses(t *testing.T) {
	g := synth.EllipseShapes(synth.TextureNSA())
	g.Mode, g.Patches = synth.Swap, 1
	dst, src := material(128, 128, 1), material(128, 128, 2)
	partial := 0
	r := rng(1)
	for range 30 {
		p := drawPair(t, g, dst, src, r)
		b := box(p.Support)
		n := 0
		for _, v := range p.Support.Pix {
			n += int(v >> 7)
		}
		if n < b.Dx()*b.Dy() {
			partial++
		}
	}
	require.Greater(t, partial, 20)
}

// TestUniform: the result is D + f*(S-D) with one f a call, and f is the label.
func TestUniform(t *testing.T) {
	g := synth.TextureNSA()
	g.Mode, g.Label, g.Patches = synth.Uniform, synth.LabelContinuous, 1
	dst, src := flatImage(96, 40), flatImage(96, 240)
	r := rng(1)
	for range 20 {
		p := drawPair(t, g, dst, src, r)
		f := float32(0)
		for _, v := range p.Label {
			f = max(f, v)
		}
		require.True(t, f >= 0.05 && f < 0.95, "%g", f)
		for i, v := range p.Support.Pix {
			if v > 0 {
				require.InDelta(t, 40+200*f, float32(p.Image.Pix[4*i]), 1)
			}
		}
	}
}

// TestCutPasteShapes: patches keep the size that CutPaste's law draws, 0.02 to 0.15 of the image with a side ratio of 0.3
// to 3.3, half of them higher than wide.
func TestCutPasteShapes(t *testing.T) {
	g := synth.CutPasteShapes(synth.ObjectNSA())
	g.Mode = synth.Swap
	dst, src := flatImage(200, 40), flatImage(200, 240)
	r := rng(3)
	const draws = 300
	high, sum := 0, 0.0
	for range draws {
		p := drawPair(t, g, dst, src, r)
		b := box(p.Support)
		require.Equal(t, 1, p.Placed)
		require.True(t, b.Dx()%2 == 0 && b.Dy()%2 == 0, "twice a rounded half side: %v", b)
		share, ratio := float64(b.Dx()*b.Dy())/(200*200), float64(b.Dy())/float64(b.Dx())
		require.InDelta(t, 0.085, share, 0.065+0.008)
		require.True(t, ratio > 0.25 && ratio < 4, "%g", ratio)
		sum += share
		if ratio > 1 {
			high++
		}
	}
	require.InDelta(t, 0.085, sum/draws, 5*0.13/math.Sqrt(12*draws))
	require.InDelta(t, draws/2, high, 5*math.Sqrt(draws)/2)
}
