package synth

import (
	"image"
	"image/draw"
	"math/rand/v2"
)

// Kind names what made a Pair: one of those below, or a name of a caller's own, which a Mixture puts there.
type Kind string

const (
	KindOther     Kind = ""               // a generator from outside this package that does not say
	KindNSA       Kind = "nsa"            // NSA
	KindCutPatch  Kind = "cutpaste patch" // CutPaste, rectangle
	KindCutScar   Kind = "cutpaste scar"  // CutPaste, thin turned strip
	KindPerlin    Kind = "perlin"         // Perlin
	KindMask      Kind = "mask"           // Mask
	KindTexture   Kind = "texture"        // Overlay, with a texture
	KindShape     Kind = "shape"          // Overlay, with material of the source image
	KindNoise     Kind = "noise"          // Noise
	KindStain     Kind = "stain"          // Stain
	KindWarp      Kind = "warp"           // Warp
	KindUnchanged Kind = "unchanged"      // Unchanged, which is normal
	KindSeam      Kind = "seam"           // Reseam, which is normal
)

// String is the name itself, or "other" where there is none.
func (k Kind) String() string {
	if k == KindOther {
		return "other"
	}
	return string(k)
}

// Reuser is a Generator that can write into memory of an earlier pair. All generators of this package are Reusers.
type Reuser interface {
	Generator
	// GenerateInto is Generate with the result in p, whose rasters are overwritten where they have the right size and
	// replaced where they have not. p must not be in use elsewhere; dst and src must not be p's own rasters (they are
	// replaced then, which costs memory and nothing else). After an error p's rasters hold no result but may be handed in again.
	GenerateInto(p *Pair, dst, src image.Image, rng *rand.Rand) error
}

// generateInto uses p's memory where g can.
func generateInto(g Generator, p *Pair, dst, src image.Image, rng *rand.Rand) error {
	if r, ok := g.(Reuser); ok {
		return r.GenerateInto(p, dst, src, rng)
	}
	q, err := g.Generate(dst, src, rng)
	if err == nil {
		*p = q
	}
	return err
}

// fresh makes Generate out of GenerateInto.
func fresh(g Reuser, dst, src image.Image, rng *rand.Rand) (Pair, error) {
	var p Pair
	if err := g.GenerateInto(&p, dst, src, rng); err != nil {
		return Pair{}, err
	}
	return p, nil
}

// begin makes p a copy of d that is not damaged yet. s is the other image that is still to be read.
func (p *Pair) begin(k Kind, d, s *image.RGBA) {
	m := p.Image
	if m == nil || m.Rect != d.Rect || m.Stride != 4*d.Rect.Dx() || len(m.Pix) != m.Stride*d.Rect.Dy() || shares(m, d) || shares(m, s) {
		p.Image = cloneRGBA(d)
	} else {
		copyRGBA(m, d)
	}
	if fits(p.Support, d.Rect) && fits(p.Mask, d.Rect) {
		clear(p.Support.Pix)
		clear(p.Mask.Pix)
	} else {
		w, n := d.Rect.Dx(), d.Rect.Dx()*d.Rect.Dy()
		both := make([]uint8, 2*n)
		p.Support = &image.Gray{Pix: both[:n:n], Stride: w, Rect: d.Rect}
		p.Mask = &image.Gray{Pix: both[n:], Stride: w, Rect: d.Rect}
	}
	p.Kind, p.Normal, p.Placed, p.Change = k, false, 0, 0
}

// shares says whether two images may lie in the same memory: whether their last possible bytes are the same.
func shares(a, b *image.RGBA) bool {
	if cap(a.Pix) == 0 || cap(b.Pix) == 0 {
		return false
	}
	x, y := a.Pix[:cap(a.Pix)], b.Pix[:cap(b.Pix)]
	return &x[len(x)-1] == &y[len(y)-1]
}

// fits says whether m can take a raster of this size.
func fits(m *image.Gray, r image.Rectangle) bool {
	return m != nil && m.Rect == r && m.Stride == r.Dx() && len(m.Pix) == r.Dx()*r.Dy()
}

// measure fills Mask and Change inside r and returns the number of changed pixels.
func (p *Pair) measure(d *image.RGBA, r image.Rectangle, tol float64) int {
	n, total := fillChange(p.Mask, d, p.Image, r, tol)
	if n > 0 {
		p.Change = float64(total) / float64(3*n)
	}
	return n
}

// label fills Label. where limits the labels made of the change; nil means everywhere. factor is that of LabelContinuous.
func (p *Pair) label(d *image.RGBA, where *image.Gray, r image.Rectangle, mode LabelMode, c Logistic, factor float64) {
	if mode == LabelNone {
		p.Label = nil
		return
	}
	p.Label = grow(p.Label, len(p.Mask.Pix))
	switch mode {
	case LabelMask, LabelSupport:
		m := p.Mask
		if mode == LabelSupport {
			m = p.Support
		}
		clear(p.Label)
		for y := r.Min.Y; y < r.Max.Y; y++ { // both lie inside r
			row := m.Pix[y*m.Stride+r.Min.X : y*m.Stride+r.Max.X]
			out := p.Label[y*m.Stride+r.Min.X:][:len(row)]
			for i, v := range row {
				out[i] = float32(v >> 7)
			}
		}
	case LabelContinuous:
		fillLabel(p.Label, d, p.Image, p.Mask, where, r, LabelBinary, c)
		for i := range p.Label {
			p.Label[i] *= float32(factor)
		}
	default:
		fillLabel(p.Label, d, p.Image, p.Mask, where, r, mode, c)
	}
}

// isGrey says whether an image is grey all over.
func isGrey(m *image.RGBA) bool {
	for y := range m.Rect.Dy() {
		row := m.Pix[y*m.Stride : y*m.Stride+4*m.Rect.Dx()]
		for i := 0; i < len(row); i += 4 {
			if row[i] != row[i+1] || row[i] != row[i+2] {
				return false
			}
		}
	}
	return true
}

// copyRGBA copies src to dst, both of one size and with their origin at (0,0).
func copyRGBA(dst, src *image.RGBA) {
	if dst.Stride == src.Stride && len(src.Pix) >= len(dst.Pix) {
		copy(dst.Pix, src.Pix)
		return
	}
	draw.Draw(dst, dst.Rect, src, image.Point{}, draw.Src)
}
