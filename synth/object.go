package synth

import "image"

// medianSide is the side of the square median that cleans an object mask (article's code: 7).
const medianSide = 7

// objectMask is 255 where m shows the object: where the mean over the channels is farther from every background's
// brightness than its threshold, after a 7x7 median with repeated borders.
func objectMask(m *image.RGBA, bgs []Background) *image.Gray {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	var object [3*255 + 1]uint8 // by the sum of the three channels
	for s := range object {
		v := float64(s) / 3
		object[s] = 255
		for _, b := range bgs {
			if d := v - b.Brightness; d <= b.Threshold && -d <= b.Threshold {
				object[s] = 0
			}
		}
	}
	g := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		px, row := m.Pix[y*m.Stride:], g.Pix[y*g.Stride:(y+1)*g.Stride]
		for x := range row {
			row[x] = object[int(px[4*x])+int(px[4*x+1])+int(px[4*x+2])]
		}
	}
	majority(g, g.Rect, medianSide)
	return g
}

// majority replaces every pixel of r by the median of the side x side square around it, which for a 0/255 mask is the
// majority. Pixels beyond the border of m repeat its edge. side is odd. Sums run along rows, then columns.
func majority(m *image.Gray, r image.Rectangle, side int) {
	w, h, k := m.Rect.Dx(), m.Rect.Dy(), side/2
	if r.Empty() {
		return
	}
	rows := r.Dy() + 2*k
	sums := make([]int32, rows*r.Dx())
	at := func(v, n int) int { return min(max(v, 0), n-1) }
	for i := range rows {
		row := m.Pix[at(r.Min.Y-k+i, h)*m.Stride:]
		var s int32
		for x := r.Min.X - k; x <= r.Min.X+k; x++ {
			s += int32(row[at(x, w)] >> 7)
		}
		out := sums[i*r.Dx() : (i+1)*r.Dx()]
		for j := range out {
			out[j] = s
			x := r.Min.X + j
			s += int32(row[at(x+k+1, w)]>>7) - int32(row[at(x-k, w)]>>7)
		}
	}
	half := int32(side * side / 2)
	for j := range r.Dx() {
		var s int32
		for i := range side {
			s += sums[i*r.Dx()+j]
		}
		for i := range r.Dy() {
			v := uint8(0)
			if s > half {
				v = 255
			}
			m.Pix[(r.Min.Y+i)*m.Stride+r.Min.X+j] = v
			if i+1 < r.Dy() {
				s += sums[(i+side)*r.Dx()+j] - sums[i*r.Dx()+j]
			}
		}
	}
}

// cropGray is the part r of m, sharing its pixels, with its origin at (0,0).
func cropGray(m *image.Gray, r image.Rectangle) *image.Gray {
	return &image.Gray{Pix: m.Pix[r.Min.Y*m.Stride+r.Min.X:], Stride: m.Stride, Rect: image.Rect(0, 0, r.Dx(), r.Dy())}
}

// objectShare is the share of object pixels in m.
func objectShare(m *image.Gray) float64 {
	n := 0
	for y := range m.Rect.Dy() {
		for _, v := range m.Pix[y*m.Stride : y*m.Stride+m.Rect.Dx()] {
			n += int(v >> 7)
		}
	}
	return float64(n) / float64(m.Rect.Dx()*m.Rect.Dy())
}

// objectOverlap is the share of the patch's object pixels that fall on object pixels of dst, and
// lie inside its shape (nil: all of it), when the patch lies at at.
func objectOverlap(patch, shape, dst *image.Gray, at image.Point) float64 {
	both, all := 0, 0
	for y := range patch.Rect.Dy() {
		p := patch.Pix[y*patch.Stride : y*patch.Stride+patch.Rect.Dx()]
		d := dst.Pix[(at.Y+y)*dst.Stride+at.X:]
		for x, v := range p {
			all += int(v >> 7)
			if shape != nil {
				v &= shape.Pix[y*shape.Stride+x]
			}
			both += int(v & d[x] >> 7)
		}
	}
	if all == 0 {
		return 0
	}
	return float64(both) / float64(all)
}

// markObjects adds to label the pixels of rect where the patch at at or dst shows the object.
func markObjects(label *image.Gray, rect image.Rectangle, at image.Point, patch, dst *image.Gray) {
	for y := rect.Min.Y; y < rect.Max.Y; y++ {
		p := patch.Pix[(y-at.Y)*patch.Stride+rect.Min.X-at.X:]
		d, out := dst.Pix[y*dst.Stride+rect.Min.X:], label.Pix[y*label.Stride+rect.Min.X:]
		for x := range rect.Dx() {
			out[x] |= p[x] | d[x]
		}
	}
}
