package jpeg8

// The inverse cosine transform of libjpeg's jidctint.c (Loeffler, Ligtenberg and Moschytz, "Practical fast 1-D DCT
// algorithms with 11 multiplications", 1989) and the reduced ones of jidctred.c, in whole numbers. Two
// columns, and then two rows, are worked on at once, each in its half of a word of 64 bits: all steps are sums and
// products with constants, so that the upper half and the lower one do not meet before they are rounded,
// where the lower is made positive first.

const (
	constBits = 13
	passBits  = 2

	c0298631336 = 2446
	c0390180644 = 3196
	c0541196100 = 4433
	c0765366865 = 6270
	c0899976223 = 7373
	c1175875602 = 9633
	c1501321110 = 12299
	c1847759065 = 15137
	c1961570560 = 16069
	c2053119869 = 16819
	c2562915447 = 20995
	c3072711026 = 25172

	c0211164243 = 1730
	c0509795579 = 4176
	c0601344887 = 4926
	c0720959822 = 5906
	c0850430095 = 6967
	c1061594337 = 8697
	c1272758580 = 10426
	c1451774981 = 11893
	c2172734803 = 17799
	c3624509785 = 29692
)

// lanes puts a number into both halves.
const lanes = 1<<32 | 1

// sign makes the lower half positive: it is 2^31 there.
const sign = 1 << 31

// block is 64 coefficients, row by row, two neighbours in a word.
type block struct {
	values [32]int64
	some   bool // besides the constant one
	large  bool // one of these may be beyond maxSize
}

func (b *block) clear() { *b = block{} }

// put sets the coefficient of a number of the zigzag.
func (b *block) put(k int, v int64) {
	at := zigzag[k&63]
	b.values[at>>1&31] += v << (32 * (at & 1))
	b.some = true
}

// Sums stay within their halves of words where no coefficient is larger than these. In a sum of one direction the eight count up to
// 7.5 together, of 2^13, and in both 7.5*7.5*2^15, as the first leaves two bits more; so 1023 makes 1.9 of 2.1*10^9. The
// reduced transforms make less. Blocks of images hardly have larger ones: 1024 and half a step at most.
const (
	maxSize  = 1<<10 - 1
	maxFirst = 1 << 11
)

// wild says whether sums may leave their halves of words.
func (b *block) wild() bool {
	first := int32(b.values[0])
	return b.large || first > maxFirst || first < -maxFirst
}

// plain are the coefficients.
func (b *block) plain() (c [64]int64) {
	for i, v := range b.values {
		low := int64(int32(v))
		c[2*i], c[2*i+1] = low, (v-low)>>32
	}
	return c
}

// limit brings a value, less 128, between 0 and 255.
func limit(v int64) byte { return byte(max(0, min(v+128, 255))) }

// mean is the transform to one value.
func (b *block) mean() byte { return limit((int64(int32(b.values[0])) + 4) >> 3) }

// clamp is limit for values from -middle on, at which it begins.
var clamp = clamps()

const middle = 1 << 13

func clamps() (t [2 * middle]byte) {
	for i := range t {
		t[i] = limit(int64(i) - middle)
	}
	return t
}

// flat fills a block of one value.
func (b *block) flat(dst []byte, stride, side int) {
	v := limit((int64(int32(b.values[0]))*(1<<passBits) + 1<<(passBits+2)) >> (passBits + 3))
	for y := range side {
		row := dst[y*stride:][:side]
		for x := range row {
			row[x] = v
		}
	}
}

// eight is the one-dimensional transform; bias is what the results are to be larger.
func eight(x0, x1, x2, x3, x4, x5, x6, x7, bias int64) (y0, y1, y2, y3, y4, y5, y6, y7 int64) {
	z := (x2 + x6) * c0541196100
	e2, e3 := z-x6*c1847759065, z+x2*c0765366865
	e0, e1 := (x0+x4)<<constBits+bias, (x0-x4)<<constBits+bias
	s0, s3, s1, s2 := e0+e3, e0-e3, e1+e2, e1-e2

	z5 := (x7 + x3 + x5 + x1) * c1175875602
	z1, z2 := (x7+x1)*-c0899976223, (x5+x3)*-c2562915447
	z3, z4 := (x7+x3)*-c1961570560+z5, (x5+x1)*-c0390180644+z5
	o0 := x7*c0298631336 + z1 + z3
	o1 := x5*c2053119869 + z2 + z4
	o2 := x3*c3072711026 + z2 + z3
	o3 := x1*c1501321110 + z1 + z4
	return s0 + o3, s1 + o2, s2 + o1, s3 + o0, s3 - o0, s2 - o1, s1 - o2, s0 - o3
}

// whole is the transform to 8x8 bytes.
func (b *block) whole(dst []byte, stride int) {
	if !b.some {
		b.flat(dst, stride, 8)
		return
	}
	if b.wild() {
		b.slowly(dst, stride, 8)
		return
	}
	const (
		down = constBits - passBits
		bias = 1<<(down-1)*lanes + sign
	)
	// work has two rows in the halves of a word, eight columns.
	var work [4][8]int64
	v := &b.values
	for p := range 4 {
		y0, y1, y2, y3, y4, y5, y6, y7 := eight(v[p], v[p+4], v[p+8], v[p+12], v[p+16], v[p+20], v[p+24], v[p+28], bias)
		join(&work[0], p, y0, y1, down)
		join(&work[1], p, y2, y3, down)
		join(&work[2], p, y4, y5, down)
		join(&work[3], p, y6, y7, down)
	}
	const (
		last     = constBits + passBits + 3
		lastBias = 1<<(last-1)*lanes + sign - 1<<63 // both halves are larger by sign
	)
	for p := range 4 {
		w := &work[p]
		y0, y1, y2, y3, y4, y5, y6, y7 := eight(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], lastBias)
		upper, lower := (*[8]byte)(dst[2*p*stride:]), (*[8]byte)(dst[(2*p+1)*stride:])
		upper[0], lower[0] = clamp[uint32(y0)>>last], clamp[uint64(y0)>>(32+last)]
		upper[1], lower[1] = clamp[uint32(y1)>>last], clamp[uint64(y1)>>(32+last)]
		upper[2], lower[2] = clamp[uint32(y2)>>last], clamp[uint64(y2)>>(32+last)]
		upper[3], lower[3] = clamp[uint32(y3)>>last], clamp[uint64(y3)>>(32+last)]
		upper[4], lower[4] = clamp[uint32(y4)>>last], clamp[uint64(y4)>>(32+last)]
		upper[5], lower[5] = clamp[uint32(y5)>>last], clamp[uint64(y5)>>(32+last)]
		upper[6], lower[6] = clamp[uint32(y6)>>last], clamp[uint64(y6)>>(32+last)]
		upper[7], lower[7] = clamp[uint32(y7)>>last], clamp[uint64(y7)>>(32+last)]
	}
}

// join rounds what two rows have in columns 2p and 2p+1, and puts the rows into the halves of words. The lower
// halves of up and low are larger by sign.
func join(w *[8]int64, p int, up, low int64, down uint) {
	left := int64(uint32(up)>>down) + int64(uint32(low)>>down)<<32 - (sign>>down)*lanes
	w[2*p&7] = left
	w[(2*p+1)&7] = up>>(32+down) + low>>(32+down)<<32
}

// four is the one-dimensional transform of jidctred.c to four values.
func four(x0, x1, x2, x3, x5, x6, x7, bias int64) (y0, y1, y2, y3 int64) {
	e0 := x0<<(constBits+1) + bias
	e2 := x2*c1847759065 - x6*c0765366865
	o0 := x1*c1061594337 - x3*c2172734803 + x5*c1451774981 - x7*c0211164243
	o2 := x1*c2562915447 + x3*c0899976223 - x5*c0601344887 - x7*c0509795579
	return e0 + e2 + o2, e0 - e2 + o0, e0 - e2 - o0, e0 + e2 - o2
}

// half is the transform to 4x4 bytes.
func (b *block) half(dst []byte, stride int) {
	if !b.some {
		b.flat(dst, stride, 4)
		return
	}
	if b.wild() {
		b.slowly(dst, stride, 4)
		return
	}
	const (
		down = constBits - passBits + 1
		bias = 1<<(down-1)*lanes + sign
	)
	var work [2][8]int64
	v := &b.values
	for p := range 4 { // column 4 is of no use, and comes with column 5
		y0, y1, y2, y3 := four(v[p], v[p+4], v[p+8], v[p+12], v[p+20], v[p+24], v[p+28], bias)
		join(&work[0], p, y0, y1, down)
		join(&work[1], p, y2, y3, down)
	}
	const (
		last     = constBits + passBits + 3 + 1
		lastBias = 1<<(last-1)*lanes + sign - 1<<63 // both halves are larger by sign
	)
	clamp := (*[middle]byte)(clamp[middle/2:])
	for p := range 2 {
		w := &work[p]
		y0, y1, y2, y3 := four(w[0], w[1], w[2], w[3], w[5], w[6], w[7], lastBias)
		upper, lower := (*[4]byte)(dst[2*p*stride:]), (*[4]byte)(dst[(2*p+1)*stride:])
		upper[0], lower[0] = clamp[uint32(y0)>>last], clamp[uint64(y0)>>(32+last)]
		upper[1], lower[1] = clamp[uint32(y1)>>last], clamp[uint64(y1)>>(32+last)]
		upper[2], lower[2] = clamp[uint32(y2)>>last], clamp[uint64(y2)>>(32+last)]
		upper[3], lower[3] = clamp[uint32(y3)>>last], clamp[uint64(y3)>>(32+last)]
	}
}

// two is the one-dimensional transform of jidctred.c to two values.
func two(x0, x1, x3, x5, x7, bias int64) (y0, y1 int64) {
	e := x0<<(constBits+2) + bias
	o := x1*c3624509785 - x3*c1272758580 + x5*c0850430095 - x7*c0720959822
	return e + o, e - o
}

// quarter is the transform to 2x2 bytes.
func (b *block) quarter(dst []byte, stride int) {
	if !b.some {
		b.flat(dst, stride, 2)
		return
	}
	if b.wild() {
		b.slowly(dst, stride, 2)
		return
	}
	const (
		down = constBits - passBits + 2
		bias = 1<<(down-1)*lanes + sign
	)
	var w [8]int64
	v := &b.values
	for p := range 4 {
		y0, y1 := two(v[p], v[p+4], v[p+12], v[p+20], v[p+28], bias)
		join(&w, p, y0, y1, down)
	}
	const (
		last     = constBits + passBits + 3 + 2
		lastBias = 1<<(last-1)*lanes + sign - 1<<63 // both halves are larger by sign
	)
	clamp := (*[middle / 2]byte)(clamp[middle-middle/4:])
	y0, y1 := two(w[0], w[1], w[3], w[5], w[7], lastBias)
	upper, lower := (*[2]byte)(dst), (*[2]byte)(dst[stride:])
	upper[0], lower[0] = clamp[uint32(y0)>>last], clamp[uint64(y0)>>(32+last)]
	upper[1], lower[1] = clamp[uint32(y1)>>last], clamp[uint64(y1)>>(32+last)]
}

// slowly is the transform to side x side bytes of coefficients of any size, one row at a time.
func (b *block) slowly(dst []byte, stride, side int) {
	once := func(x [8]int64, down uint) (y [8]int64) {
		bias := int64(1) << (down - 1)
		switch side {
		case 8:
			y[0], y[1], y[2], y[3], y[4], y[5], y[6], y[7] = eight(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], bias)
		case 4:
			y[0], y[1], y[2], y[3] = four(x[0], x[1], x[2], x[3], x[5], x[6], x[7], bias)
		default:
			y[0], y[1] = two(x[0], x[1], x[3], x[5], x[7], bias)
		}
		for i := range y {
			y[i] >>= down
		}
		return y
	}
	more := uint(0) // bits of the reduced transforms
	for s := side; s < 8; s *= 2 {
		more++
	}
	c := b.plain()
	var work [8][8]int64 // rows of the output, columns of coefficients
	for x := range 8 {
		y := once([8]int64{c[x], c[8+x], c[16+x], c[24+x], c[32+x], c[40+x], c[48+x], c[56+x]}, constBits-passBits+more)
		for k := range side {
			work[k][x] = y[k]
		}
	}
	for y := range side {
		values := once(work[y], constBits+passBits+3+more)
		row := dst[y*stride:][:side]
		for x := range row {
			row[x] = limit(values[x])
		}
	}
}
