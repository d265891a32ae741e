package tab

import (
	"context"
	"fmt"
	"image"
	"math"
	"math/rand/v2"

	"github.com/gotab/gotab/internal/seed"
)

// Jitter is a random change of brightness and contrast that both twins of a pair
// get alike, so that it is never what tells them apart.
type Jitter struct {
	// Share is the part of the pairs that is changed, 0 to 1.
	Share float64
	// Brightness is the largest number of grey levels that are added or taken away,
	// 0 to 255.
	Brightness float64
	// Contrast is the largest departure from 1 of the factor on the distance from
	// grey level 128, 0 to 1.
	Contrast float64
}

// Validate checks the ranges.
func (j Jitter) Validate() error {
	if !(j.Share >= 0 && j.Share <= 1) || !(j.Brightness >= 0 && j.Brightness <= 255) || !(j.Contrast >= 0 && j.Contrast <= 1) {
		return bad("Jitter", fmt.Sprintf("%+v", j), "Share 0 to 1, Brightness 0 to 255, Contrast 0 to 1")
	}
	return nil
}

// look is what both twins of one place have in common: where they are cut and how
// their colours are changed. Its generator is its own, so that a run without crop
// and jitter draws what it always drew.
type look struct {
	rng   *rand.Rand
	table *[256]uint8 // nil where colours stay
}

func (f *feed) look(pos int) *look {
	c := f.p.cfg
	lk := &look{rng: seed.Rand(c.Seed, "look", uint64(f.epoch), uint64(pos))}
	if c.Jitter.Share > 0 && lk.rng.Float64() < c.Jitter.Share {
		bright := c.Jitter.Brightness * (2*lk.rng.Float64() - 1)
		factor := 1 + c.Jitter.Contrast*(2*lk.rng.Float64()-1)
		lk.table = new([256]uint8)
		for v := range lk.table {
			lk.table[v] = uint8(math.Round(min(255, max(0, (float64(v)-128)*factor+128+bright))))
		}
	}
	return lk
}

// apply returns img with its colours changed, img itself where they stay.
func (lk *look) apply(img *image.RGBA) *image.RGBA {
	if lk.table == nil {
		return img
	}
	out := image.NewRGBA(image.Rectangle{Max: img.Rect.Size()})
	w := 4 * out.Rect.Dx()
	for y := range out.Rect.Dy() {
		from, to := img.Pix[y*img.Stride:][:w], out.Pix[y*out.Stride:][:w]
		for i := 0; i < w; i += 4 {
			to[i], to[i+1], to[i+2], to[i+3] = lk.table[from[i]], lk.table[from[i+1]], lk.table[from[i+2]], from[i+3]
		}
	}
	return out
}

// cut returns a square of Config.Crop pixels from a place that lk draws, as a
// image of its own with its origin at (0, 0), or img without Crop.
func (f *feed) cut(img *image.RGBA, lk *look) *image.RGBA {
	side := f.p.cfg.Crop
	if side == 0 {
		return img
	}
	y, x := lk.rng.IntN(img.Rect.Dy()-side+1), lk.rng.IntN(img.Rect.Dx()-side+1)
	out := image.NewRGBA(image.Rect(0, 0, side, side))
	for r := range side {
		copy(out.Pix[r*out.Stride:][:4*side], img.Pix[(y+r)*img.Stride+4*x:]) // Pix begins at Rect.Min
	}
	return out
}

// sizes learns the size of the transformed images from the first one, and with it
// the size of the network's input.
func (f *feed) sizes(ctx context.Context) error {
	img, err := f.image(ctx, f.order[0])
	if err != nil {
		return err
	}
	f.full = img.Rect.Size()
	f.size = f.full
	if c := f.p.cfg.Crop; c > 0 {
		if c > f.full.X || c > f.full.Y {
			return fmt.Errorf("tab: Config.Crop is %d: %w: images come out of the transform as %v; take a smaller Crop or a larger Transform", c, ErrConfig, f.full)
		}
		f.size = image.Pt(c, c)
	}
	return nil
}
