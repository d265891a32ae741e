package dataset

import (
	"encoding/binary"
	"image"
)

// Resizing with weights: rows first, rounded to bytes, then columns (or the
// other way round, see columnsFirst), as Pillow does. Two things differ, and neither changes a byte. Only what survives the
// crop is computed. And two values share one 64-bit word, so that a weight is
// multiplied once for both: their sums fit into 32 bits each, and what a
// negative sum borrows from its neighbour is given back by the bias below.

// lanes puts the same 32-bit value into both halves of a word.
const lanes = 1<<32 | 1

// start is where sums begin: half a unit for rounding, and 256 units that keep
// a sum of negative weights above zero. The top ten bits of a finished half
// are then the value plus 256, an index of tables.clip.
const start = uint64(256<<precision|1<<(precision-1)) * lanes

// work is the space that one resize needs.
type work struct {
	wide []uint64 // two input rows, one in each half
	ring []uint64 // rows that have been resized, pixel pairs in the halves
	acc  []uint64 // sums of one output row
}

func (w *work) reset(wide, ring, acc int) {
	w.wide = grow(w.wide, wide)
	w.ring = grow(w.ring, ring)
	w.acc = grow(w.acc, acc)
}

func grow(s []uint64, n int) []uint64 {
	if cap(s) < n {
		return make([]uint64, n)
	}
	return s[:n]
}

// matter returns the input columns and rows that matter: x0 to x1-1, y0 to y1-1.
func (g geometry) matter(ax, ay *axis) (x0, x1, y0, y1 int) {
	x0, x1 = ax.first[g.crop.Min.X], ax.first[g.crop.Max.X-1]+ax.taps
	y0, y1 = ay.first[g.crop.Min.Y], ay.first[g.crop.Max.Y-1]+ay.taps
	return x0, x1, y0, y1
}

// channelsOf is how many channels have to be resized: one where all that matter is grey.
func channelsOf(pix []byte, stride, step, x0, x1, y0, y1 int) int {
	if step == 1 || isGray(pix[y0*stride:], stride, x0, x1, y1-y0) {
		return 1
	}
	return 3
}

// take takes work memory, which goes back to t.work.
func (t *tables) take() *work {
	if ws, ok := t.work.Get().(*work); ok {
		return ws
	}
	return new(work)
}

// resample resizes the image in pix, which has size g.in and step bytes a
// pixel (1: grey, 4: red, green, blue and one that is not looked at), into dst,
// which has the size of g.crop.
func (t *tables) resample(dst *image.RGBA, pix []byte, stride, step int, g geometry, tr Transform) {
	ax, ay := t.axis(g.in.X, g.full.X, tr.Filter), t.axis(g.in.Y, g.full.Y, tr.Filter)
	if !tr.RowsFirst && g.columnsFirst() {
		t.resampleColumns(dst, pix, stride, step, g, ax, ay)
		return
	}
	x0, x1, y0, y1 := g.matter(ax, ay)
	channels := channelsOf(pix, stride, step, x0, x1, y0, y1)
	ws := t.take()
	defer t.work.Put(ws)
	width := channels * ((g.crop.Dx() + 1) / 2) // words in a row of pixel pairs
	// A pair of rows is made when its first is needed: one row beyond the taps.
	slots := ay.taps + 1
	ws.reset(channels*(x1-x0), slots*width, width)
	slot := func(row int) []uint64 { return ws.ring[row%slots*width:][:width] }

	made := y0 // rows below are in the ring, or no longer needed
	for y := g.crop.Min.Y; y < g.crop.Max.Y; y++ {
		first := ay.first[y]
		for made < first+ay.taps {
			next := min(made+1, y1-1)
			a := pix[made*stride+x0*step:][:(x1-x0)*step]
			b := pix[next*stride+x0*step:][:(x1-x0)*step]
			if channels == 1 {
				widenGray(ws.wide, a, b, step)
				t.rowsGray(slot(made), slot(next), ws.wide, ax, g.crop.Min.X, g.crop.Max.X, x0)
			} else {
				widenRGB(ws.wide, a, b)
				t.rowsRGB(slot(made), slot(next), ws.wide, ax, g.crop.Min.X, g.crop.Max.X, x0)
			}
			made += 2
		}
		sumRows(ws.acc, slot, first, ay.weights(y))
		t.finish(dst.Pix[(y-g.crop.Min.Y)*dst.Stride:][:4*g.crop.Dx()], ws.acc, channels)
	}
}

// sumRows sets acc to the weighted sum of the rows from first on.
func sumRows(acc []uint64, row func(int) []uint64, first int, k []uint64) {
	for i := range acc {
		acc[i] = start
	}
	j := 0
	for ; j+4 <= len(k); j += 4 {
		add4(acc, row(first+j), row(first+j+1), row(first+j+2), row(first+j+3), k[j], k[j+1], k[j+2], k[j+3])
	}
	if j+2 <= len(k) {
		add2(acc, row(first+j), row(first+j+1), k[j], k[j+1])
		j += 2
	}
	if j < len(k) {
		add1(acc, row(first+j), k[j])
	}
}

// finish turns the sums of a row into pixels.
func (t *tables) finish(out []byte, acc []uint64, channels int) {
	if channels == 1 {
		t.finishGray(out, acc)
	} else {
		t.finishRGB(out, acc)
	}
}

// isGray says whether red, green and blue agree in columns x0 to x1 of rows
// rows of an RGBA image. Equal channels stay equal, so that one is enough.
func isGray(pix []byte, stride, x0, x1, rows int) bool {
	const mask = 0x0000ffff_0000ffff
	for y := range rows {
		row := pix[y*stride+4*x0:][:4*(x1-x0)]
		for len(row) >= 8 {
			v := binary.LittleEndian.Uint64(row)
			if (v^v>>8)&mask != 0 {
				return false
			}
			row = row[8:]
		}
		if len(row) >= 4 && (row[0] != row[1] || row[1] != row[2]) {
			return false
		}
	}
	return true
}

// widenRGB puts row a into the low and row b into the high halves of dst, three
// words a pixel.
func widenRGB(dst []uint64, a, b []byte) {
	b = b[:len(a)]
	for i, j := 0, 0; i+4 <= len(a) && j+3 <= len(dst); i, j = i+4, j+3 {
		p, q, d := a[i:i+4:i+4], b[i:i+4:i+4], dst[j:j+3:j+3]
		d[0] = uint64(p[0]) | uint64(q[0])<<32
		d[1] = uint64(p[1]) | uint64(q[1])<<32
		d[2] = uint64(p[2]) | uint64(q[2])<<32
	}
}

// widenGray is widenRGB for one channel, taken from every step-th byte.
func widenGray(dst []uint64, a, b []byte, step int) {
	b = b[:len(a)]
	for i, j := 0, 0; i < len(a) && j < len(dst); i, j = i+step, j+1 {
		dst[j] = uint64(a[i]) | uint64(b[i])<<32
	}
}

// rowsRGB resizes two rows at once. wide holds input columns from base on; up
// and down get output columns lo to hi of the first and the second row, three
// words for each pair of pixels. An odd last pixel is its own neighbour.
func (t *tables) rowsRGB(up, down, wide []uint64, a *axis, lo, hi, base int) {
	up, down = up[:len(down)], down[:len(up)]
	for x, i := lo, 0; x < hi && i+3 <= len(up); x, i = x+2, i+3 {
		r0, g0, b0 := dot3(wide[3*(a.first[x]-base):], a.weights(x))
		z := min(x+1, hi-1)
		r1, g1, b1 := dot3(wide[3*(a.first[z]-base):], a.weights(z))
		u, d := up[i:i+3:i+3], down[i:i+3:i+3]
		u[0] = t.low(r0) | t.low(r1)<<32
		u[1] = t.low(g0) | t.low(g1)<<32
		u[2] = t.low(b0) | t.low(b1)<<32
		d[0] = t.high(r0) | t.high(r1)<<32
		d[1] = t.high(g0) | t.high(g1)<<32
		d[2] = t.high(b0) | t.high(b1)<<32
	}
}

// rowsGray is rowsRGB for one channel, one word for each pair of pixels.
func (t *tables) rowsGray(up, down, wide []uint64, a *axis, lo, hi, base int) {
	up, down = up[:len(down)], down[:len(up)]
	for x, i := lo, 0; x < hi && i < len(up); x, i = x+2, i+1 {
		v0 := dot1(wide[a.first[x]-base:], a.weights(x))
		z := min(x+1, hi-1)
		v1 := dot1(wide[a.first[z]-base:], a.weights(z))
		up[i] = t.low(v0) | t.low(v1)<<32
		down[i] = t.high(v0) | t.high(v1)<<32
	}
}

// low and high take the byte out of one half of a finished sum.
func (t *tables) low(v uint64) uint64  { return uint64(t.clip[v>>precision&1023]) }
func (t *tables) high(v uint64) uint64 { return uint64(t.clip[v>>(32+precision)]) }

// dot3 sums weighted pixels of three words each. The fixed lengths let the
// compiler check bounds once for four taps.
func dot3(s, k []uint64) (r, g, b uint64) {
	r, g, b = start, start, start
	for ; len(k) >= 4 && len(s) >= 12; k, s = k[4:], s[12:] {
		p, c := (*[12]uint64)(s), (*[4]uint64)(k)
		k0, k1, k2, k3 := c[0], c[1], c[2], c[3]
		r += p[0]*k0 + p[3]*k1 + (p[6]*k2 + p[9]*k3)
		g += p[1]*k0 + p[4]*k1 + (p[7]*k2 + p[10]*k3)
		b += p[2]*k0 + p[5]*k1 + (p[8]*k2 + p[11]*k3)
	}
	if len(k) >= 2 && len(s) >= 6 {
		p, k0, k1 := (*[6]uint64)(s), k[0], k[1]
		r += p[0]*k0 + p[3]*k1
		g += p[1]*k0 + p[4]*k1
		b += p[2]*k0 + p[5]*k1
		k, s = k[2:], s[6:]
	}
	if len(k) >= 1 && len(s) >= 3 {
		r += s[0] * k[0]
		g += s[1] * k[0]
		b += s[2] * k[0]
	}
	return r, g, b
}

// dot1 sums weighted pixels of one word each.
func dot1(s, k []uint64) uint64 {
	var v, w uint64 = start, 0
	s = s[:len(k)]
	for len(k) >= 4 && len(s) >= 4 {
		v += s[0]*k[0] + s[1]*k[1]
		w += s[2]*k[2] + s[3]*k[3]
		k, s = k[4:], s[4:]
	}
	s = s[:len(k)]
	for i, c := range k {
		v += s[i] * c
	}
	return v + w
}

func add4(acc, a, b, c, d []uint64, ka, kb, kc, kd uint64) {
	n := len(acc)
	a, b, c, d = a[:n], b[:n], c[:n], d[:n]
	for i := range acc {
		acc[i] += a[i]*ka + b[i]*kb + (c[i]*kc + d[i]*kd)
	}
}

func add2(acc, a, b []uint64, ka, kb uint64) {
	n := len(acc)
	a, b = a[:n], b[:n]
	for i := range acc {
		acc[i] += a[i]*ka + b[i]*kb
	}
}

func add1(acc, a []uint64, ka uint64) {
	a = a[:len(acc)]
	for i := range acc {
		acc[i] += a[i] * ka
	}
}

// alphas is alpha 255 in two pixels.
const alphas = 0xff000000_ff000000

// finishRGB is finish for three channels.
func (t *tables) finishRGB(out []byte, acc []uint64) {
	i := 0
	for ; len(out) >= 8 && i+3 <= len(acc); i += 3 {
		s := acc[i : i+3 : i+3]
		r, g, b := s[0], s[1], s[2]
		binary.LittleEndian.PutUint64(out, alphas|
			t.low(r)|t.low(g)<<8|t.low(b)<<16|
			t.high(r)<<32|t.high(g)<<40|t.high(b)<<48)
		out = out[8:]
	}
	if len(out) >= 4 && i+3 <= len(acc) {
		out[0], out[1], out[2], out[3] = byte(t.low(acc[i])), byte(t.low(acc[i+1])), byte(t.low(acc[i+2])), 255
	}
}

// finishGray is finish for one channel, repeated in all three.
func (t *tables) finishGray(out []byte, acc []uint64) {
	i := 0
	for ; len(out) >= 8 && i < len(acc); i++ {
		binary.LittleEndian.PutUint64(out, alphas|t.low(acc[i])*0x010101|t.high(acc[i])*0x010101<<32)
		out = out[8:]
	}
	if len(out) >= 4 && i < len(acc) {
		v := byte(t.low(acc[i]))
		out[0], out[1], out[2], out[3] = v, v, v, 255
	}
}
