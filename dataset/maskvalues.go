package dataset

import (
	"image"
	"image/color"
)

// maskFacts is what reading a mask showed.
type maskFacts struct {
	// encoding describes how defects are drawn; empty where nothing is.
	encoding string
	inverted bool    // the background is bright
	share    float64 // of the pixels that are defects
	turned   bool    // the mask has an orientation of its own
}

// What maskFacts.encoding says.
const (
	maskBlackWhite = "0 and 255"
	maskNumbers    = "small numbers"
	maskGreys      = "grey values"
	maskDeep       = "16-bit values"
	maskPalette    = "a palette"
	maskColours    = "colours"
	maskAlpha      = "a transparent ground"
	maskBlurred    = "JPEG"
	maskSmall      = 31 // the largest of small numbers
)

// mask makes a mask of an image that nobody else holds, turned as its own
// orientation says.
func (d Decoder) mask(p decoded) (*image.Gray, maskFacts) {
	var m *image.Gray
	facts := maskFacts{turned: p.turn > 1}
	switch {
	case d.MaskAbove >= 0:
		m = d.above(p.Image)
	case p.lossy:
		m = d.blurred(p.Image, &facts)
	default:
		m = d.apart(p.Image, &facts)
	}
	n := 0
	for _, v := range m.Pix {
		n += int(v & 1)
	}
	if facts.share = float64(n) / float64(len(m.Pix)); n == 0 {
		facts.encoding = ""
	}
	return orientGray(m, p.turn), facts
}

// above is the rule of a brightness.
func (d Decoder) above(img image.Image) *image.Gray {
	m := toGray(img)
	if deep, ok := img.(*image.Gray16); ok && d.MaskAbove == 0 {
		for y := range m.Rect.Dy() {
			in := deep.Pix[y*deep.Stride:]
			for x := range m.Rect.Dx() {
				m.Pix[y*m.Stride+x] = in[2*x] | in[2*x+1]
			}
		}
	}
	for i, v := range m.Pix {
		if int(v) > d.MaskAbove {
			m.Pix[i] = 255
		} else {
			m.Pix[i] = 0
		}
	}
	return m
}

// maskKeys writes a number for each pixel of row y from column x on: the same for
// the same value.
func maskKeys(img image.Image, x0, y int, dst []uint64) {
	b := img.Bounds()
	switch src := img.(type) {
	case *image.Gray:
		for x, v := range src.Pix[y*src.Stride+x0:][:len(dst)] {
			dst[x] = uint64(v)
		}
	case *image.Paletted:
		for x, v := range src.Pix[y*src.Stride+x0:][:len(dst)] {
			dst[x] = uint64(v)
		}
	case *image.Gray16:
		in := src.Pix[y*src.Stride+2*x0:]
		for x := range dst {
			dst[x] = uint64(in[2*x])<<8 | uint64(in[2*x+1])
		}
	case *image.RGBA:
		in := src.Pix[y*src.Stride+4*x0:]
		for x := range dst {
			p := in[4*x : 4*x+4 : 4*x+4]
			dst[x] = maskKey(uint64(p[0]), uint64(p[1]), uint64(p[2]), uint64(p[3]))
		}
	case *image.NRGBA:
		in := src.Pix[y*src.Stride+4*x0:]
		for x := range dst {
			p := in[4*x : 4*x+4 : 4*x+4]
			dst[x] = maskKey(uint64(p[0]), uint64(p[1]), uint64(p[2]), uint64(p[3]))
		}
	default:
		for x := range dst {
			switch c := img.At(b.Min.X+x0+x, b.Min.Y+y).(type) {
			case color.NRGBA64:
				dst[x] = maskKey(uint64(c.R), uint64(c.G), uint64(c.B), uint64(c.A))
			case color.CMYK:
				dst[x] = uint64(c.C)<<48 | uint64(c.M)<<32 | uint64(c.Y)<<16 | uint64(c.K)
			default:
				r, g, b, a := c.RGBA()
				dst[x] = maskKey(uint64(r), uint64(g), uint64(b), uint64(a))
			}
		}
	}
}

// maskKey keeps channels apart. Where nothing is to be seen, colours say nothing.
func maskKey(r, g, b, a uint64) uint64 {
	if a == 0 {
		return 0
	}
	return a<<48 | r<<32 | g<<16 | b
}

// apart is the rule of the background for values that are kept without loss.
func (d Decoder) apart(img image.Image, facts *maskFacts) *image.Gray {
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	if d.MaskBackground >= 0 {
		switch img.(type) {
		case *image.Gray, *image.Gray16, *image.Paletted:
		default:
			img = toGray(img) // the brightness of colours
		}
	}
	keys := make([]uint64, w)
	border := make(map[uint64]int)
	for y := range h {
		edge := keys
		if y != 0 && y != h-1 {
			edge = keys[:min(2, w)]
			maskKeys(img, 0, y, edge[:1])
			maskKeys(img, w-1, y, edge[len(edge)-1:])
		} else {
			maskKeys(img, 0, y, edge)
		}
		for _, k := range edge {
			border[k]++
		}
	}
	ground, most := uint64(0), 0
	for k, n := range border {
		if n > most || n == most && k < ground {
			ground, most = k, n
		}
	}
	if d.MaskBackground >= 0 {
		ground = uint64(d.MaskBackground)
	}
	m := image.NewGray(image.Rect(0, 0, w, h))
	same, largest := true, uint64(0)
	for y := range h {
		maskKeys(img, 0, y, keys)
		row := m.Pix[y*m.Stride:][:w]
		for x, k := range keys {
			largest = max(largest, k)
			if k != ground {
				row[x], same = 255, false
			}
		}
	}
	facts.inverted = !dark(img, ground)
	if same && facts.inverted && d.MaskBackground < 0 {
		// One value, and not black: the whole is a defect.
		facts.inverted = false
		for i := range m.Pix {
			m.Pix[i] = 255
		}
	}
	facts.encoding = maskEncoding(img, largest, facts.inverted)
	return m
}

// dark says whether a key is black or transparent.
func dark(img image.Image, key uint64) bool {
	switch src := img.(type) {
	case *image.Paletted:
		if key >= uint64(len(src.Palette)) {
			return true
		}
		return bare(src.Palette[key]) == [3]byte{}
	case *image.Gray, *image.Gray16:
		return key == 0
	case *image.CMYK:
		return key&0xffff == 255
	}
	return key>>48 == 0 || key&(1<<48-1) == 0
}

func maskEncoding(img image.Image, largest uint64, inverted bool) string {
	switch src := img.(type) {
	case *image.Paletted:
		return maskPalette
	case *image.Gray16:
		return maskDeep
	case *image.Gray:
		switch {
		case largest <= maskSmall && !inverted:
			return maskNumbers
		case twoValues(src):
			return maskBlackWhite
		}
		return maskGreys
	case *image.NRGBA, *image.NRGBA64:
		return maskAlpha
	}
	return maskColours
}

// twoValues says whether a mask has 0 and 255 alone.
func twoValues(m *image.Gray) bool {
	for _, v := range m.Pix {
		if v != 0 && v != 255 {
			return false
		}
	}
	return true
}

// blurred is the rule of the background for JPEG: edges are not sharp, and
// equal values come out a little apart.
func (d Decoder) blurred(img image.Image, facts *maskFacts) *image.Gray {
	const noise = 16 // what even surfaces differ by, at most
	m := toGray(img)
	w, h := m.Rect.Dx(), m.Rect.Dy()
	var border [256]int
	for y := range h {
		row := m.Pix[y*m.Stride:][:w]
		if y == 0 || y == h-1 {
			for _, v := range row {
				border[v]++
			}
			continue
		}
		border[row[0]]++
		border[row[w-1]]++
	}
	ground := 0
	for v, n := range border {
		if n > border[ground] {
			ground = v
		}
	}
	if d.MaskBackground >= 0 {
		ground = min(d.MaskBackground, 255)
	}
	most := 0
	for _, v := range m.Pix {
		most = max(most, int(v)-ground, ground-int(v))
	}
	facts.encoding, facts.inverted = maskBlurred, ground > 127
	all := most < noise && facts.inverted && d.MaskBackground < 0
	if all {
		facts.inverted = false
	}
	for i, v := range m.Pix {
		apart := max(int(v)-ground, ground-int(v))
		m.Pix[i] = 0
		if all || most >= noise && 2*apart > most {
			m.Pix[i] = 255
		}
	}
	return m
}

// follow turns a mask that was drawn on the stored pixels of an image with it.
// stored is the size of those pixels, o the image's orientation.
func (d Decoder) follow(m *image.Gray, facts maskFacts, stored image.Point, o int) *image.Gray {
	if o <= 1 || facts.turned {
		return m
	}
	if d.MasksStored || o >= 5 && stored.X != stored.Y && m.Rect.Size() == stored {
		return orientGray(m, o)
	}
	return m
}
