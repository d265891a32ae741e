package dataset

import "image"

// nearestTable gives, for the output positions from lo to hi of n that are
// made of in, the position in the input. Positions are summed up step by step,
// as Pillow does, so that they round alike.
func nearestTable(in, n, lo, hi int) []int {
	tab := make([]int, hi-lo)
	step := float64(in) / float64(n)
	at := step * 0.5
	for i := range hi {
		if i >= lo {
			// Rounding may carry the last position to the end itself; Pillow
			// leaves such a pixel black, which no size below maxSide meets.
			tab[i-lo] = min(int(at), in-1)
		}
		at += step
	}
	return tab
}

// nearestRGBA resizes with nearest neighbour and crops; dst has the size of
// the crop.
func nearestRGBA(dst, src *image.RGBA, g geometry) {
	if g.full == g.in {
		w := 4 * g.crop.Dx()
		for y := range g.crop.Dy() {
			d := dst.Pix[y*dst.Stride:][:w]
			copy(d, src.Pix[(g.crop.Min.Y+y)*src.Stride+4*g.crop.Min.X:])
			opaque(d)
		}
		return
	}
	xs := nearestTable(g.in.X, g.full.X, g.crop.Min.X, g.crop.Max.X)
	ys := nearestTable(g.in.Y, g.full.Y, g.crop.Min.Y, g.crop.Max.Y)
	for y, sy := range ys {
		row := src.Pix[sy*src.Stride:][:4*g.in.X]
		out := dst.Pix[y*dst.Stride:][:4*len(xs)]
		for x, sx := range xs {
			p := row[4*sx : 4*sx+4 : 4*sx+4]
			q := out[4*x : 4*x+4 : 4*x+4]
			q[0], q[1], q[2], q[3] = p[0], p[1], p[2], 255
		}
	}
}

// opaque sets every fourth byte to 255.
func opaque(pix []byte) {
	for i := 3; i < len(pix); i += 4 {
		pix[i] = 255
	}
}

// nearestGray is nearestRGBA for masks.
func nearestGray(src *image.Gray, g geometry) *image.Gray {
	dst := image.NewGray(image.Rectangle{Max: g.crop.Size()})
	xs := nearestTable(g.in.X, g.full.X, g.crop.Min.X, g.crop.Max.X)
	ys := nearestTable(g.in.Y, g.full.Y, g.crop.Min.Y, g.crop.Max.Y)
	for y, sy := range ys {
		row := src.Pix[sy*src.Stride:][:g.in.X]
		out := dst.Pix[y*dst.Stride:][:len(xs)]
		for x, sx := range xs {
			out[x] = row[sx]
		}
	}
	return dst
}
