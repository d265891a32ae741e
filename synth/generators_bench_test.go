package synth_test

import (
	"errors"
	"fmt"
	"image"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/synth"
)

// contenders are what bench/synth/pair.py runs against twins in Python.
func contenders() []struct {
	name string
	gen  synth.Reuser
} {
	pictures := synth.TextureImages{material(300, 300, 10), material(300, 300, 11), material(300, 300, 12), material(300, 300, 13)}
	perlin, tab := synth.DRAEMPerlin(), synth.OfficialTABPerlin()
	perlin.Textures, tab.Textures = pictures, pictures
	return []struct {
		name string
		gen  synth.Reuser
	}{
		{"nsa", synth.OfficialTAB()}, {"cutpaste", synth.DefaultCutPaste()}, {"scar", synth.ScarCutPaste()},
		{"mask", synth.DefaultMask()}, {"riad", synth.RIADMask()}, {"perlin", perlin}, {"tabperlin", tab}, {"drawn", synth.DRAEMPerlin()},
	}
}

// BenchmarkGenerators is one draw at 224x224, with memory of its own and with that of the draw before. Draws that are not
// placed count as draws.
func BenchmarkGenerators(b *testing.B) {
	dst, src := material(224, 224, 1), material(224, 224, 2)
	for _, c := range contenders() {
		for _, how := range []string{"new", "reuse"} {
			b.Run(c.name+"/"+how, func(b *testing.B) {
				r := rng(1)
				var p synth.Pair
				b.ReportAllocs()
				for b.Loop() {
					if how == "new" {
						p = synth.Pair{}
					}
					if err := c.gen.GenerateInto(&p, dst, src, r); err != nil && !errors.Is(err, synth.ErrNotPlaced) {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
			})
		}
	}
}

// TestAllocations: with reuse a draw takes no new rasters (502 kB with a label, and for Perlin 400 kB of work memory, at
// 224x224). The bound leaves room for what depends on a patch's size, and for the pools of work memory, which the collector
// empties and which the race detector makes forget every fourth entry.
func TestAllocations(t *testing.T) {
	dst, src := material(224, 224, 1), material(224, 224, 2)
	type contender = struct {
		name string
		gen  synth.Reuser
	}
	all := contenders()
	for name, g := range painted(synth.AllOutlines()) {
		all = append(all, contender{name, g})
	}
	all = append(all, contender{"warp", synth.DefaultWarp()}, contender{"unchanged", synth.DefaultUnchanged()},
		contender{"seam", synth.DefaultReseam()}, contender{"mixture", synth.DefaultMixture()})
	for _, c := range all {
		r := rng(1)
		var p synth.Pair
		for range 20 {
			_ = c.gen.GenerateInto(&p, dst, src, r)
		}
		const draws = 60
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range draws {
			if err := c.gen.GenerateInto(&p, dst, src, r); err != nil && !errors.Is(err, synth.ErrNotPlaced) {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		bytes := (after.TotalAlloc - before.TotalAlloc) / draws
		t.Logf("%s: %d bytes in %d allocations a draw", c.name, bytes, (after.Mallocs-before.Mallocs)/draws)
		require.Less(t, bytes, uint64(200_000), c.name)
	}
}

// TestLargest runs every contender at 8192x8192, where there is time and memory (1.5 GB) for it: SYNTH_LARGE=1.
func TestLargest(t *testing.T) {
	if os.Getenv("SYNTH_LARGE") == "" {
		t.Skip("needs 1.5 GB and a minute; SYNTH_LARGE=1 runs it")
	}
	dst := image.NewRGBA(image.Rect(0, 0, 8192, 8192))
	for i := range dst.Pix {
		dst.Pix[i] = uint8(i>>2*7 + i>>14*3)
		if i&3 == 3 {
			dst.Pix[i] = 255
		}
	}
	var p synth.Pair
	for _, c := range contenders() {
		r := rng(1)
		err := fmt.Errorf("none")
		for n := 0; err != nil && n < 20; n++ {
			err = c.gen.GenerateInto(&p, dst, dst, r)
		}
		require.NoError(t, err, c.name)
		for y := 0; y < 8192; y++ {
			for x := 0; x < 8192; x++ {
				i := y*8192 + x
				a, b := [4]uint8(dst.Pix[4*i:4*i+4]), [4]uint8(p.Image.Pix[4*i:4*i+4])
				if (p.Support.Pix[i] == 0 && a != b) || (p.Mask.Pix[i] > p.Support.Pix[i]) {
					t.Fatalf("%s: (%d,%d) breaks the rules", c.name, x, y)
				}
			}
		}
		t.Logf("%s: change %.1f", c.name, p.Change)
	}
}
