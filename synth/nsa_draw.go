package synth

import (
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
)

// nsaRun is the state of one call of NSA.Generate.
type nsaRun struct {
	g        NSA
	dst, src *image.RGBA // origin (0,0), read only
	out      *image.RGBA // the running result
	support  *image.Gray
	label    *image.Gray // where patches count for the label; nil while it equals support
	rng      *rand.Rand
	blender  *Blender
	opt      Poisson
	objDst   *image.Gray // 255 where the image shows the object; nil without foreground test
	objSrc   *image.Gray
	patchBuf image.RGBA // pixels reused by the patches of the call
	touched  image.Rectangle
	placed   int
	factor   float64 // weight of the patches, 1 but for LabelContinuous
}

func newNSARun(g NSA, dst, src *image.RGBA, rng *rand.Rand) *nsaRun {
	r := &nsaRun{g: g, dst: dst, src: src, rng: rng, blender: g.Blender}
	if r.blender == nil {
		r.blender = &Blender{}
	}
	r.factor = 1
	r.opt = Poisson{Mode: g.Mode, Erode: g.Erode, Truncate: g.Truncate}
	if g.Mode == Coin {
		r.opt.Mode = Normal
		if rng.IntN(2) == 1 {
			r.opt.Mode = Mixed
		}
	}
	if g.Label == LabelContinuous {
		r.factor = 0.05 + 0.9*rng.Float64()
	}
	if len(g.Backgrounds) > 0 && !g.Box.on() {
		r.objDst, r.objSrc = objectMask(dst, g.Backgrounds), objectMask(src, g.Backgrounds)
		r.label = image.NewGray(dst.Rect)
	}
	if g.Ellipses > 0 && !g.Box.on() && r.label == nil {
		r.label = image.NewGray(dst.Rect)
	}
	return r
}

// into makes p's rasters, which begin has made a copy of dst, those that the run works on.
func (r *nsaRun) into(p *Pair) { r.out, r.support = p.Image, p.Support }

// patch draws one patch and blends it. False without an error means that this draw found no place or would not show;
// nothing has changed then.
func (r *nsaRun) patch() (bool, error) {
	h, w := r.dst.Rect.Dy(), r.dst.Rect.Dx()
	boxed := r.g.Box.on()
	var box image.Rectangle
	var shape *image.Gray // the pasted shape where it is not all of the patch
	var ok bool
	var ph, pw int
	sy, sx := 1., 1.
	if boxed {
		if box, ok = r.cutBox(); ok {
			ph, pw = box.Dy(), box.Dx()
		}
	} else {
		halfH, loH, hiH := r.half(r.g.Height, h)
		halfW, loW, hiW := r.half(r.g.Width, w)
		if box, shape, ok = r.cut(halfH, halfW, loH, loW); ok {
			ph, pw, sy, sx = r.resized(box, loH, hiH, loW, hiW)
		}
	}
	if !ok {
		return false, nil
	}
	ph, pw = min(ph, h-4), min(pw, w-4)
	if ph < 3 || pw < 3 || (ph-2)*(pw-2) < r.g.MinPixels {
		return false, nil
	}
	p := crop(r.src, box)
	var obj *image.Gray
	if r.objSrc != nil {
		obj = cropGray(r.objSrc, box)
	}
	if ph != box.Dy() || pw != box.Dx() || sx != 1 || sy != 1 {
		r.patchBuf.Pix = grow(r.patchBuf.Pix, 4*ph*pw)
		r.patchBuf.Stride, r.patchBuf.Rect = 4*pw, image.Rect(0, 0, pw, ph)
		resizeBilinear(r.patchBuf.Pix, 4*pw, pw, ph, p.Pix, p.Stride, box.Dx(), box.Dy(), 4, sx, sy)
		p = &r.patchBuf
		for _, m := range []**image.Gray{&obj, &shape} {
			if *m != nil {
				o := image.NewGray(image.Rect(0, 0, pw, ph))
				resizeBilinear(o.Pix, o.Stride, pw, ph, (*m).Pix, (*m).Stride, box.Dx(), box.Dy(), 1, sx, sy)
				*m = o
			}
		}
		if shape != nil {
			harden(shape)
		}
	}
	at, ok := r.place(box, ph, pw, obj, shape)
	if !ok {
		return false, nil
	}
	shown, solved := shape, shape
	if shape != nil || r.g.Mode == Swap || r.g.Mode == Uniform || r.factor < 1 {
		shown, solved = r.shapes(pw, ph, shape, obj, at)
	}
	rect := image.Rect(at.X, at.Y, at.X+pw, at.Y+ph)
	if r.g.Mode == Swap || r.g.Mode == Uniform {
		if !r.paste(p, shown, at) {
			return false, nil
		}
	} else {
		if solved != nil && inner(solved) < r.g.MinPixels {
			return false, nil
		}
		var err error
		rect, err = r.blender.blend(r.out, p, solved, at, r.opt, r.g.Tol)
		if errors.Is(err, ErrNotPlaced) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("synth: NSA: patch of %dx%d at %v: %w", pw, ph, at, err)
		}
		fillGray(r.support, rect, 255)
		r.touched = r.touched.Union(rect)
	}
	switch {
	case r.label == nil:
	case shown != nil:
		mark(r.label, rect, at, shown)
	case obj != nil:
		markObjects(r.label, rect, at, obj, r.objDst)
	}
	return true, nil
}

// half draws half a side along an axis of n pixels and returns it with the bounds in pixels (article's code: half =
// trunc(clip((offset+gamma)*n, lo, hi)); without a gamma law even in [lo, hi)).
func (r *nsaRun) half(s Span, n int) (half, lo, hi int) {
	l, u := s.Lo*float64(n), s.Hi*float64(n)
	if r.g.Hold {
		l, u = math.RoundToEven(l), math.RoundToEven(u)
	}
	lo, hi = int(l), int(u)
	if r.g.Size.Shape == 0 {
		if hi > lo {
			return lo + r.rng.IntN(hi-lo), lo, hi
		}
		return lo, lo, hi
	}
	v := (r.g.Size.Offset + r.g.Size.Scale*gammaDraw(r.rng, r.g.Size.Shape)) * float64(n)
	return int(min(max(v, l), u)), lo, hi
}

// cut draws the box that is cut out of src, and the shape inside it where it is not all of it.
func (r *nsaRun) cut(halfH, halfW, loH, loW int) (image.Rectangle, *image.Gray, bool) {
	h, w := r.src.Rect.Dy(), r.src.Rect.Dx()
	if halfH < 1 || halfW < 1 {
		return image.Rectangle{}, nil, false
	}
	tries := 1
	if r.objSrc != nil {
		tries = r.g.Tries
	}
	for range tries {
		var box image.Rectangle
		if r.g.Whole {
			ph, pw := 2*halfH, 2*halfW
			if ph > h || pw > w {
				return image.Rectangle{}, nil, false
			}
			y, x := r.rng.IntN(h-ph+1), r.rng.IntN(w-pw+1)
			box = image.Rect(x, y, x+pw, y+ph)
		} else {
			if h <= 2*loH || w <= 2*loW {
				return image.Rectangle{}, nil, false
			}
			y, x := loH+r.rng.IntN(h-2*loH), loW+r.rng.IntN(w-2*loW)
			box = image.Rect(x-halfW, y-halfH, x+halfW, y+halfH).Intersect(r.src.Rect)
		}
		var shape *image.Gray
		if r.g.Ellipses > 0 && !box.Empty() {
			shape = r.ellipses(box.Dx(), box.Dy(), halfH, halfW, loH, loW)
		}
		if r.objSrc == nil || shapeShare(cropGray(r.objSrc, box), shape) > r.g.MinObject {
			return box, shape, true
		}
	}
	return image.Rectangle{}, nil, false
}

// resized draws the size of the pasted patch. sy and sx are source pixels per pasted pixel.
func (r *nsaRun) resized(box image.Rectangle, loH, hiH, loW, hiW int) (ph, pw int, sy, sx float64) {
	h, w := float64(box.Dy()), float64(box.Dx())
	sc := r.g.Scale
	f := 1.0
	switch sc.Law {
	case ScaleOff:
	case ScaleNormal:
		f = min(max(1+sc.Std*r.rng.NormFloat64(), sc.Lo), sc.Hi)
	case ScaleUniform:
		f = sc.Lo + (sc.Hi-sc.Lo)*r.rng.Float64()
	}
	switch {
	case sc.Law == ScaleOff:
		return box.Dy(), box.Dx(), 1, 1
	case !r.g.Hold:
		return int(math.RoundToEven(h * f)), int(math.RoundToEven(w * f)), 1 / f, 1 / f
	}
	// The side ratio is kept where the bounds allow it: height first, width from it, height again from the width.
	clip := func(v float64, lo, hi int) float64 { return min(max(v, float64(lo)), float64(hi)) }
	nh := clip(f*h, loH, hiH)
	nw := clip(math.Trunc(nh/h*w), loW, hiW)
	nh = clip(math.Trunc(nw/w*h), loH, hiH)
	ph, pw = int(nh), int(nw)
	return ph, pw, h / max(nh, 1), w / max(nw, 1)
}

// place draws where the upper left corner of the patch comes to lie in dst.
func (r *nsaRun) place(box image.Rectangle, ph, pw int, obj, shape *image.Gray) (image.Point, bool) {
	h, w := r.dst.Rect.Dy(), r.dst.Rect.Dx()
	if obj != nil && !(objectShare(obj) > r.g.MinObject) {
		return image.Point{}, false
	}
	if !r.g.Shift {
		at := image.Pt((box.Min.X+box.Max.X)/2-pw/2, (box.Min.Y+box.Max.Y)/2-ph/2)
		at.X, at.Y = min(max(at.X, 0), w-pw), min(max(at.Y, 0), h-ph)
		return at, obj == nil || objectOverlap(obj, shape, r.objDst, at) > r.g.MinOverlap
	}
	// The centre keeps one pixel more than half a patch from every border.
	ny, nx := h-2*(ph/2)-2, w-2*(pw/2)-2
	if ny < 1 || nx < 1 {
		return image.Point{}, false
	}
	tries := 1
	if obj != nil {
		tries = r.g.Tries
	}
	for range tries {
		at := image.Pt(1+r.rng.IntN(nx), 1+r.rng.IntN(ny))
		if obj == nil || objectOverlap(obj, shape, r.objDst, at) > r.g.MinOverlap {
			return at, true
		}
	}
	return image.Point{}, false
}

// finish measures what changed and makes the label.
func (r *nsaRun) finish(p *Pair) error {
	w, h := r.dst.Rect.Dx(), r.dst.Rect.Dy()
	if r.placed == 0 {
		return fmt.Errorf("synth: NSA on %dx%d: none of %d draws found a place and showed: %w", w, h, r.g.Attempts, ErrNotPlaced)
	}
	if p.measure(r.dst, r.touched, r.g.Tol) == 0 {
		// Patches that showed one by one can cancel each other.
		return fmt.Errorf("synth: NSA on %dx%d: %d patches changed no pixel by more than %g grey levels: %w", w, h, r.placed, r.g.Tol, ErrNotPlaced)
	}
	p.Placed = r.placed
	p.label(r.dst, r.label, r.touched, r.g.Label, r.g.Curve, r.factor)
	return nil
}

// gammaDraw draws from Gamma(shape, 1) by Marsaglia and Tsang, "A simple method for generating gamma variables" (2000).
func gammaDraw(rng *rand.Rand, shape float64) float64 {
	boost := 1.0
	if shape < 1 {
		boost = math.Pow(1-rng.Float64(), 1/shape)
		shape++
	}
	d := shape - 1./3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-rng.Float64()) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return boost * d * v
		}
	}
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
