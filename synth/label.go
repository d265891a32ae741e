package synth

import (
	"encoding/binary"
	"image"
	"math"
)

const (
	binaryMedian = 5 // side of the square median over the binary label (article's code)
	diskRadius   = 5 // radius of the disk median over the intensity label (article's code)
)

// changeMask is 255 where the mean over the channels of |b-a| exceeds tol; only r is looked at. n counts those pixels.
func changeMask(a, b *image.RGBA, r image.Rectangle, tol float64) (m *image.Gray, n int) {
	m = image.NewGray(a.Rect)
	n, _ = fillChange(m, a, b, r, tol)
	return m, n
}

// fillChange is changeMask into m, which must be zero; total is the sum over those pixels and three channels of |b-a|.
func fillChange(m *image.Gray, a, b *image.RGBA, r image.Rectangle, tol float64) (n int, total int64) {
	limit := int(3 * tol) // a sum of whole numbers exceeds 3*tol exactly when it exceeds its whole part
	for y := r.Min.Y; y < r.Max.Y; y++ {
		p, q := a.Pix[y*a.Stride:], b.Pix[y*b.Stride:]
		row := m.Pix[y*m.Stride:]
		for x := r.Min.X; x < r.Max.X; x++ {
			u, v := p[4*x:4*x+4], q[4*x:4*x+4]
			if binary.LittleEndian.Uint32(u) == binary.LittleEndian.Uint32(v) {
				continue
			}
			if v := absSum(u, v); v > limit {
				row[x] = 255
				n++
				total += int64(v)
			}
		}
	}
	return n, total
}

func absSum(p, q []uint8) int {
	return absInt(int(p[0])-int(q[0])) + absInt(int(p[1])-int(q[1])) + absInt(int(p[2])-int(q[2]))
}

// changeLabel makes the article's label from the change between a and b inside r. where limits it to the pixels that show
// an object; nil means everywhere.
func changeLabel(a, b *image.RGBA, mask, where *image.Gray, r image.Rectangle, mode LabelMode, c Logistic) []float32 {
	label := make([]float32, a.Rect.Dx()*a.Rect.Dy())
	fillLabel(label, a, b, mask, where, r, mode, c)
	return label
}

// fillLabel is changeLabel into label, which holds one value a pixel.
func fillLabel(label []float32, a, b *image.RGBA, mask, where *image.Gray, r image.Rectangle, mode LabelMode, c Logistic) {
	w, h := a.Rect.Dx(), a.Rect.Dy()
	base := image.NewGray(mask.Rect)
	copy(base.Pix, mask.Pix)
	if where != nil {
		for i, v := range where.Pix {
			base.Pix[i] &= v
		}
	}
	// The median can only set pixels whose square holds a set one; those lie within its radius of r.
	majority(base, r.Inset(-binaryMedian/2).Intersect(base.Rect), binaryMedian)
	area := r.Inset(-diskRadius).Intersect(base.Rect)
	if mode == LabelBinary {
		for i, v := range base.Pix {
			label[i] = float32(v >> 7)
		}
		return
	}
	clear(label)
	diff := make([]uint16, w*h)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if base.Pix[y*base.Stride+x] != 0 {
				diff[y*w+x] = uint16(absSum(a.Pix[y*a.Stride+4*x:], b.Pix[y*b.Stride+4*x:]))
			}
		}
	}
	for y := area.Min.Y; y < area.Max.Y; y++ {
		var win diskWindow
		win.fill(diff, w, h, area.Min.X, y)
		for x := area.Min.X; x < area.Max.X; x++ {
			if x > area.Min.X {
				win.slide(diff, w, h, x, y)
			}
			d := float64(win.median()) / 3
			i := y*w + x
			if mode == LabelIntensity {
				label[i] = float32(d)
			} else if base.Pix[y*base.Stride+x] != 0 {
				label[i] = float32(1 / (1 + math.Exp(-c.Steepness*(d-c.Midpoint))))
			}
		}
	}
}

// diskWindow is the sliding histogram of Huang's median filter over a disk: sums of three channels, 0 to 765.
type diskWindow struct {
	hist  [3*255 + 1]int16
	total int
	med   int // the current median
	below int // values less than med
}

// reach is half the disk's width in the row dy away from its centre.
func reach(dy int) int {
	return [diskRadius + 1]int{5, 4, 4, 4, 3, 0}[absInt(dy)] // floor(sqrt(25-dy*dy))
}

func (d *diskWindow) fill(v []uint16, w, h, x, y int) {
	*d = diskWindow{}
	for dy := -diskRadius; dy <= diskRadius; dy++ {
		row := v[min(max(y+dy, 0), h-1)*w:]
		for dx := -reach(dy); dx <= reach(dy); dx++ {
			d.add(int(row[min(max(x+dx, 0), w-1)]))
		}
	}
}

// slide moves the window's centre from (x-1, y) to (x, y).
func (d *diskWindow) slide(v []uint16, w, h, x, y int) {
	for dy := -diskRadius; dy <= diskRadius; dy++ {
		row := v[min(max(y+dy, 0), h-1)*w:]
		k := reach(dy)
		in, out := int(row[min(max(x+k, 0), w-1)]), int(row[min(max(x-1-k, 0), w-1)])
		if in != out {
			d.add(in)
			d.hist[out]--
			d.total--
			if out < d.med {
				d.below--
			}
		}
	}
}

func (d *diskWindow) add(s int) {
	d.hist[s]++
	d.total++
	if s < d.med {
		d.below++
	}
}

// median is the middle value; the disk holds an odd number of pixels.
func (d *diskWindow) median() int {
	half := d.total / 2
	for d.below > half {
		d.med--
		d.below -= int(d.hist[d.med])
	}
	for d.below+int(d.hist[d.med]) <= half {
		d.below += int(d.hist[d.med])
		d.med++
	}
	return d.med
}
