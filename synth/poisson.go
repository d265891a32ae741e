package synth

import (
	"fmt"
	"image"

	"github.com/gotab/gotab/internal/pixels"
)

// Mode says which gradients the inside of a pasted patch takes.
type Mode int

const (
	// Normal takes the patch's gradients everywhere inside the mask.
	Normal Mode = iota
	// Mixed takes the patch's gradients where they are stronger and leaves the image's elsewhere. As in OpenCV "stronger"
	// compares |d/dx - d/dy|, a channel at a time, and not the length of the gradient.
	Mixed
	// Coin is a setting of NSA: Normal or Mixed by a coin, one toss a call. Blend itself does not take it.
	Coin
	// Swap is a setting of NSA: the patch replaces what it covers, with no blending. Blend itself does not take it.
	Swap
	// Uniform is a setting of NSA: what the patch covers becomes D + f*(S-D), cut to whole grey levels, with the factor f of
	// LabelContinuous, or 1. Blend itself does not take it.
	Uniform
)

// maxErode bounds Poisson.Erode and NSA.Erode, in pixels.
const maxErode = 64

// truncSlack, in grey levels, is added before truncating, so that the last bits of the solution (the solver is exact to
// better than this) cannot turn a value that is a whole number into the one below.
const truncSlack = 1e-6

// Poisson holds the settings of Blend.
type Poisson struct {
	Mode     Mode // Normal or Mixed
	Erode    int  // pixels by which the mask shrinks before it is used, 0 to 64; OpenCV: 3
	Truncate bool // cut results to whole grey levels as OpenCV does; false: round to the nearest
}

// OpenCVPoisson is what OpenCV's seamlessClone does: the mask shrinks by three pixels and results are truncated.
func OpenCVPoisson(mode Mode) Poisson { return Poisson{Mode: mode, Erode: 3, Truncate: true} }

// SeamlessOrigin returns where the upper left corner of a patch goes so that it lies where OpenCV's seamlessClone would
// put it for this centre. mask has the size of the patch; nil means all of it, and so does a mask of another size. The box around the mask (less its one-pixel
// frame) is centred, so an odd and an even side round differently.
func SeamlessOrigin(patch image.Point, mask *image.Gray, centre image.Point) image.Point {
	if mask != nil && (usable(mask) != nil || mask.Rect.Size() != patch) {
		mask = nil
	}
	r := maskBox(patch.X, patch.Y, mask)
	return image.Pt(centre.X-r.Dx()/2-r.Min.X, centre.Y-r.Dy()/2-r.Min.Y)
}

// Blend pastes src into dst, in place, by Poisson image editing (Pérez, Gangnet, Blake 2003) the way OpenCV's
// seamlessClone does it: the box around mask, less the mask's one-pixel frame, is solved as a whole; its one-pixel frame
// keeps dst's values; inside the eroded mask the gradients are src's (or the stronger ones), elsewhere dst's. Gradients are
// forward differences, their divergence backward differences, and the five-point Laplace equation is solved in float64 to
// rounding error, each colour channel by itself.
//
// src is an image of any origin, mask a raster of its size with 0 outside the pasted shape (nil: all of src; values between
// 0 and 255 weigh the gradients). at is where src's upper left corner comes to lie, in dst's coordinates. The result is the
// rectangle of dst whose pixels blending may have changed; all others, and all alpha values, are as before. ErrNotPlaced
// says that the mask, after erosion, leaves nothing to paste; ErrImage that sizes do not fit; ErrSettings names a setting.
// dst is untouched by a call that fails.
func (b *Blender) Blend(dst, src *image.RGBA, mask *image.Gray, at image.Point, p Poisson) (image.Rectangle, error) {
	switch {
	case usable(dst) != nil:
		return image.Rectangle{}, fmt.Errorf("synth: blend: dst: %w", usable(dst))
	case usable(src) != nil:
		return image.Rectangle{}, fmt.Errorf("synth: blend: src: %w", usable(src))
	case mask != nil && usable(mask) != nil:
		return image.Rectangle{}, fmt.Errorf("synth: blend: mask: %w", usable(mask))
	case at.X < dst.Rect.Min.X-pixels.Max || at.X > dst.Rect.Max.X || at.Y < dst.Rect.Min.Y-pixels.Max || at.Y > dst.Rect.Max.Y:
		return image.Rectangle{}, fmt.Errorf("synth: blend: at %v the patch leaves the image: %w", at, ErrImage)
	case p.Mode != Normal && p.Mode != Mixed:
		return image.Rectangle{}, fmt.Errorf("synth: blend: Poisson.Mode is %d, must be Normal or Mixed: %w", p.Mode, ErrSettings)
	case p.Erode < 0 || p.Erode > maxErode:
		return image.Rectangle{}, fmt.Errorf("synth: blend: Poisson.Erode is %d, must be from 0 to %d: %w", p.Erode, maxErode, ErrSettings)
	case mask != nil && mask.Rect.Size() != src.Rect.Size():
		return image.Rectangle{}, fmt.Errorf("synth: blend: mask is %v, image %v: %w", mask.Rect.Size(), src.Rect.Size(), ErrImage)
	}
	if dst.Rect.Empty() || src.Rect.Empty() {
		return image.Rectangle{}, fmt.Errorf("synth: blend %v into %v: an image is empty: %w", src.Rect.Size(), dst.Rect.Size(), ErrImage)
	}
	origin := dst.Rect.Min
	if mask != nil {
		mask = cropGray(&image.Gray{Pix: mask.Pix, Stride: mask.Stride}, image.Rectangle{Max: mask.Rect.Size()})
	}
	r, err := b.blend(crop(dst, dst.Rect), crop(src, src.Rect), mask, at.Sub(origin), p, -1)
	if err != nil {
		return image.Rectangle{}, fmt.Errorf("synth: blend %v into %v at %v: %w", src.Rect.Size(), dst.Rect.Size(), at, err)
	}
	return r.Add(origin), nil
}

// blend is Blend on images whose origin is (0,0). With tol >= 0 it writes only if the mean change of some pixel exceeds
// tol, and is ErrNotPlaced otherwise.
func (b *Blender) blend(dst, src *image.RGBA, mask *image.Gray, at image.Point, p Poisson, tol float64) (image.Rectangle, error) {
	roi := maskBox(src.Rect.Dx(), src.Rect.Dy(), mask)
	nx, ny := roi.Dx()-2, roi.Dy()-2 // unknowns
	if nx < 1 || ny < 1 {
		return image.Rectangle{}, fmt.Errorf("the mask leaves no room: %w", ErrNotPlaced)
	}
	box := roi.Add(at)
	if !box.In(dst.Rect) {
		return image.Rectangle{}, fmt.Errorf("the pasted box %v leaves the image: %w", box, ErrImage)
	}
	w := b.work()
	defer b.done(w)
	if !w.erode(roi, src.Rect.Size(), mask, p.Erode) {
		return image.Rectangle{}, fmt.Errorf("the mask, shrunk by %d pixels, is empty: %w", p.Erode, ErrNotPlaced)
	}
	f := w.begin(b, nx, ny)
	if !w.guidance(f, dst, src, box.Min, roi.Min, p.Mode) {
		if tol >= 0 {
			return image.Rectangle{}, fmt.Errorf("no gradient differs: %w", ErrNotPlaced)
		}
		return box.Inset(1), nil // the solution is zero
	}
	f.solve()
	if tol >= 0 && !f.shows(dst, box, p.Truncate, int(3*tol)) {
		return image.Rectangle{}, fmt.Errorf("no pixel changes by more than %g grey levels: %w", tol, ErrNotPlaced)
	}
	f.write(dst, box, p.Truncate)
	return box.Inset(1), nil
}

// maskBox is the box around the non-zero pixels of a w x h mask without its one-pixel frame; nil is a full mask.
func maskBox(w, h int, mask *image.Gray) image.Rectangle {
	inner := image.Rectangle{Min: image.Pt(1, 1), Max: image.Pt(w-1, h-1)}
	if w < 3 || h < 3 {
		return image.Rectangle{}
	}
	if mask == nil {
		return inner
	}
	box := image.Rectangle{Min: inner.Max, Max: inner.Min}
	for y := 1; y < h-1; y++ {
		for x, v := range mask.Pix[y*mask.Stride : y*mask.Stride+w-1] {
			if v != 0 && x > 0 {
				box.Min.X, box.Max.X = min(box.Min.X, x), max(box.Max.X, x+1)
				box.Min.Y, box.Max.Y = min(box.Min.Y, y), max(box.Max.Y, y+1)
			}
		}
	}
	if box.Empty() {
		return image.Rectangle{}
	}
	return box
}

// blendWork is what one call of blend needs; the Blender keeps these for later calls.
type blendWork struct {
	mask  []uint8 // eroded mask of the box
	lines []uint8 // row minima of erode
	field field
	grad  []float64
}

// erode fills w.mask with the mask of the box roi, shrunk by k pixels: a minimum over a (2k+1)-square. Pixels of the
// patch's frame count as 0; what lies beyond the patch does not constrain. False: nothing is left.
func (w *blendWork) erode(roi image.Rectangle, size image.Point, mask *image.Gray, k int) bool {
	rw, rh := roi.Dx(), roi.Dy()
	w.mask = grow(w.mask, rw*rh)
	if mask == nil {
		in := image.Rectangle{Min: image.Pt(k, k), Max: image.Pt(rw-k, rh-k)}
		clear(w.mask)
		for y := in.Min.Y; y < in.Max.Y; y++ {
			row := w.mask[y*rw+in.Min.X : max(y*rw+in.Max.X, y*rw+in.Min.X)]
			for x := range row {
				row[x] = 255
			}
		}
		return in.Dx() > 0 && in.Dy() > 0
	}
	// at is the framed mask; beyond the patch nothing constrains.
	at := func(x, y int) uint8 {
		switch {
		case x < 0 || y < 0 || x >= size.X || y >= size.Y:
			return 255
		case x == 0 || y == 0 || x == size.X-1 || y == size.Y-1:
			return 0
		}
		return mask.Pix[y*mask.Stride+x]
	}
	rows := rh + 2*k
	w.lines = grow(w.lines, rows*rw)
	for i := range rows {
		y := roi.Min.Y - k + i
		for x := range rw {
			v := uint8(255)
			for d := -k; d <= k && v > 0; d++ {
				v = min(v, at(roi.Min.X+x+d, y))
			}
			w.lines[i*rw+x] = v
		}
	}
	left := uint8(0)
	for y := range rh {
		for x := range rw {
			v := uint8(255)
			for d := 0; d <= 2*k && v > 0; d++ {
				v = min(v, w.lines[(y+d)*rw+x])
			}
			w.mask[y*rw+x] = v
			left |= v
		}
	}
	return left != 0
}

// guidance writes the right-hand side of the equation for the change that blending makes. With D the image, S the patch,
// m the mask and u the result, Poisson editing asks for laplace(u) = div(v), v = grad D + m*(grad S - grad D), u = D on the
// frame. The change u-D is therefore zero on the frame and its Laplacian is div(m*(grad S - grad D)): whole numbers for a
// 0/255 mask, and zero wherever nothing is pasted, so that what does not change stays the same to the last bit.
// False: it is zero everywhere.
func (w *blendWork) guidance(f *field, dst, src *image.RGBA, dAt, sAt image.Point, mode Mode) bool {
	rw := f.nx + 2
	// Interleaved rows of the masked difference of gradients: d/dx of this row, d/dy of this row and of the one above.
	w.grad = grow(w.grad, 9*rw)
	clear(w.grad)
	gx, gy, up := w.grad[:3*rw], w.grad[3*rw:6*rw], w.grad[6*rw:]
	pasted := false
	for y := range f.ny + 1 {
		m := w.mask[y*rw : (y+1)*rw]
		d0 := dst.Pix[(dAt.Y+y)*dst.Stride+4*dAt.X:][:4*rw]
		d1 := dst.Pix[(dAt.Y+y+1)*dst.Stride+4*dAt.X:][:4*rw]
		s0 := src.Pix[(sAt.Y+y)*src.Stride+4*sAt.X:][:4*rw]
		s1 := src.Pix[(sAt.Y+y+1)*src.Stride+4*sAt.X:][:4*rw]
		clear(gx)
		clear(gy)
		for x := range rw - 1 {
			if m[x] == 0 {
				continue
			}
			k := 1.0
			if m[x] != 255 {
				k = float64(m[x]) / 255
			}
			for c := range 3 {
				i := 4*x + c
				a, b := int(s0[i]), int(d0[i])
				sx, sy := int(s0[i+4])-a, int(s1[i])-a
				dx, dy := int(d0[i+4])-b, int(d1[i])-b
				if mode == Mixed && absInt(sx-sy) <= absInt(dx-dy) {
					continue
				}
				if sx != dx || sy != dy {
					gx[3*x+c], gy[3*x+c] = k*float64(sx-dx), k*float64(sy-dy)
					pasted = true
				}
			}
		}
		if y > 0 {
			for c := range 3 {
				f.setRow(c, y-1, gx[c:], gy[c:], up[c:])
			}
		}
		gy, up = up, gy
	}
	return pasted
}

// grey turns a value into a grey level.
func grey(v float64, truncate bool) int {
	if truncate {
		v += truncSlack
	} else {
		v += 0.5
	}
	if v <= 0 {
		return 0
	}
	return min(int(v), 255)
}

// setRow writes row y of channel c from interleaved gradients: backward differences.
func (f *field) setRow(c, y int, gx, gy, up []float64) {
	o := c*f.nx*f.ny + y*f.sy
	for x := range f.nx {
		i := 3 * (x + 1)
		f.q[o+x*f.sx] = gx[i] - gx[i-3] + gy[i] - up[i]
	}
}

// shows says whether some pixel of the result differs from dst by more than limit, summed over the channels.
func (f *field) shows(dst *image.RGBA, box image.Rectangle, truncate bool, limit int) bool {
	n := f.nx * f.ny
	for y := range f.ny {
		px := dst.Pix[(box.Min.Y+1+y)*dst.Stride+4*(box.Min.X+1):]
		for x := range f.nx {
			i, s := x*f.sx+y*f.sy, 0
			for c := range 3 {
				old := int(px[4*x+c])
				s += absInt(grey(float64(old)+f.q[i+c*n], truncate) - old)
			}
			if s > limit {
				return true
			}
		}
	}
	return false
}

// write adds the solution to dst.
func (f *field) write(dst *image.RGBA, box image.Rectangle, truncate bool) {
	n := f.nx * f.ny
	for y := range f.ny {
		px := dst.Pix[(box.Min.Y+1+y)*dst.Stride+4*(box.Min.X+1):][:4*f.nx]
		for x := range f.nx {
			i := x*f.sx + y*f.sy
			for c := range 3 {
				px[4*x+c] = uint8(grey(float64(px[4*x+c])+f.q[i+c*n], truncate))
			}
		}
	}
}
