package ycc

import "image"

// chroma gives a picture's colour differences row by row, at the size of its
// brightness.
type chroma struct {
	cb, cr []byte
	stride int
	w, h   int  // samples
	fx, fy int  // pixels that share one, across and down
	x0, y0 int  // place of the first pixel in its sample
	soft   bool // whether samples are interpolated
	out    []uint32
	sums   []uint32
}

// newChroma takes the factors and the place of the first pixel from src, whose
// bounds are not negative. nearest says that samples are never interpolated.
func newChroma(src *image.YCbCr, nearest bool) *chroma {
	fx, fy := 1, 1
	switch src.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		fx = 2
	case image.YCbCrSubsampleRatio420:
		fx, fy = 2, 2
	case image.YCbCrSubsampleRatio440:
		fy = 2
	case image.YCbCrSubsampleRatio411:
		fx = 4
	case image.YCbCrSubsampleRatio410:
		fx, fy = 4, 2
	}
	b := src.Rect
	c := &chroma{cb: src.Cb, cr: src.Cr, stride: src.CStride, fx: fx, fy: fy, x0: b.Min.X % fx, y0: b.Min.Y % fy}
	c.w = (b.Max.X-1)/fx - b.Min.X/fx + 1
	c.h = (b.Max.Y-1)/fy - b.Min.Y/fy + 1
	c.soft = !nearest && c.smooth()
	c.out = make([]uint32, c.w*fx)
	if c.soft && fx == 2 && fy == 2 {
		c.sums = make([]uint32, c.w)
	}
	return c
}

// smooth says whether libjpeg interpolates: where two pixels share a sample, and,
// across, where there are more than two samples.
func (c *chroma) smooth() bool {
	return c.fx == 2 && c.fy <= 2 && c.w > 2 || c.fx == 1 && c.fy == 2
}

// samples are the rows of samples number i, or the nearest that there is.
func (c *chroma) samples(i int) (cb, cr []byte) {
	i = max(0, min(i, c.h-1))
	return c.cb[i*c.stride:][:c.w], c.cr[i*c.stride:][:c.w]
}

// row returns Cb and, sixteen bits higher, Cr of each pixel of row y. The next call
// overwrites them.
func (c *chroma) row(y int) []uint32 {
	y += c.y0
	near, far := y/c.fy, y/c.fy
	if c.fy == 2 {
		far += y%2*2 - 1
	}
	cb, cr := c.samples(near)
	switch {
	case !c.soft:
		c.repeat(cb, cr)
	case c.fy == 1:
		c.across(cb, cr)
	default:
		farCb, farCr := c.samples(far)
		if c.fx == 1 {
			c.down(cb, cr, farCb, farCr, uint32(1+y%2))
		} else {
			c.both(cb, cr, farCb, farCr)
		}
	}
	return c.out[c.x0:]
}

// Two values are worked on at once, each in its half of a word: they never
// exceed sixteen bits.
const one = 1<<16 | 1

func (c *chroma) repeat(cb, cr []byte) {
	cr = cr[:len(cb)]
	for i, b := range cb {
		v := uint32(b) | uint32(cr[i])<<16
		for k := range c.fx {
			c.out[i*c.fx+k] = v
		}
	}
}

// across is (3 near + far)/4 within a row, rounded down for the left of the two
// pixels of a sample and up for the right one.
func (c *chroma) across(cb, cr []byte) {
	cr = cr[:len(cb)]
	out := c.out[:2*len(cb)]
	this := uint32(cb[0]) | uint32(cr[0])<<16
	last := this
	for i := range cb {
		next := this
		if k := i + 1; k < len(cb) {
			next = uint32(cb[k]) | uint32(cr[k])<<16
		}
		out[2*i] = (3*this + last + one) >> 2
		out[2*i+1] = (3*this + next + 2*one) >> 2
		last, this = this, next
	}
}

// down is the same between rows; round is 1 for the upper of the two pixels of a
// sample and 2 for the lower one.
func (c *chroma) down(cb, cr, farCb, farCr []byte, round uint32) {
	n := len(cb)
	cr, farCb, farCr = cr[:n], farCb[:n], farCr[:n]
	out := c.out[:n]
	for i := range cb {
		near, far := uint32(cb[i])|uint32(cr[i])<<16, uint32(farCb[i])|uint32(farCr[i])<<16
		out[i] = (3*near + far + round*one) >> 2
	}
}

// both weighs the four nearest samples with 9, 3, 3 and 1 sixteenths.
func (c *chroma) both(cb, cr, farCb, farCr []byte) {
	n := len(cb)
	cr, farCb, farCr = cr[:n], farCb[:n], farCr[:n]
	sums := c.sums[:n]
	for i := range sums {
		sums[i] = 3*(uint32(cb[i])|uint32(cr[i])<<16) + (uint32(farCb[i]) | uint32(farCr[i])<<16)
	}
	out := c.out[:2*n]
	last, this := sums[0], sums[0]
	for i, next := range sums[1:] {
		out[2*i] = (3*this + last + 8*one) >> 4
		out[2*i+1] = (3*this + next + 7*one) >> 4
		last, this = this, next
	}
	out[2*n-2] = (3*this + last + 8*one) >> 4
	out[2*n-1] = (4*this + 7*one) >> 4
}
