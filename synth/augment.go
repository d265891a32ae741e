package synth

import (
	"image"
	"math"
	"math/rand/v2"
)

// The steps that Perlin changes a texture by (DRAEM's ten, TAB's eleventh).
const (
	augGamma        = iota // contrast: 255*(v/255)^g, g from 0.5 to 2 for each channel
	augBrightness          // luma times 0.8 to 1.2 and plus -30 to 30, in either order; hue and saturation differences stay
	augSharpness           // sharper or softer: v moves from its 3x3 smoothing by a factor from 0.1 to 1.9
	augHueAdd              // hue plus -50 to 50 of 255, saturation plus -50 to 50 of 255
	augSolarize            // in half of all cases: what is at least a threshold from 32 to 128 is inverted
	augPosterize           // 1 to 8 bits a channel, at the middle of each step
	augInvert              // 255-v
	augAutocontrast        // each channel is spread over 0 to 255 after a cut of 0 to 20 percent at both ends
	augEqualize            // each channel's histogram is made even
	augRotate              // turned by -45 to 45 degrees about the middle, black outside
	augHueMul              // hue and saturation times 0.5 to 1.5 each (TAB)
	augKinds
)

// augment changes m by one step. tmp is work memory.
func augment(m *image.RGBA, step int, tmp *[]uint8, rng *rand.Rand) {
	even := func(lo, hi float64) float64 { return lo + (hi-lo)*rng.Float64() }
	switch step {
	case augGamma:
		var t [3][256]uint8
		for c := range t {
			g := even(0.5, 2)
			for v := range t[c] {
				t[c][v] = uint8(255*math.Pow(float64(v)/255, g) + 0.5)
			}
		}
		remap3(m, &t)
	case augBrightness:
		mul, add := even(0.8, 1.2), even(-30, 30)
		if rng.IntN(2) == 1 {
			add *= mul // add first, then multiply
		}
		var shift [256]int
		for v := range shift {
			shift[v] = int(math.Round(min(max(float64(v)*mul+add, 0), 255))) - v
		}
		for i := 0; i+3 < len(m.Pix); i += 4 {
			d := shift[luma(m.Pix[i], m.Pix[i+1], m.Pix[i+2])]
			for c := i; c < i+3; c++ {
				m.Pix[c] = uint8(min(max(int(m.Pix[c])+d, 0), 255))
			}
		}
	case augSharpness:
		sharpen(m, even(0.1, 1.9), tmp)
	case augHueAdd:
		shiftHSV(m, m.Rect, float32(6*even(-50, 50)/255), 1, float32(even(-50, 50)/255))
	case augHueMul:
		h, s := even(0.5, 1.5), even(0.5, 1.5)
		scaleHSV(m, m.Rect, float32(h), 0, float32(s), 0)
	case augSolarize:
		on, threshold := rng.IntN(2) == 1, 32+rng.IntN(97)
		if !on {
			return
		}
		remap(m, m.Rect, tableOf(func(v int) int {
			if v >= threshold {
				return 255 - v
			}
			return v
		}))
	case augPosterize:
		bits := 1 + rng.IntN(8)
		size := 256 >> bits
		remap(m, m.Rect, tableOf(func(v int) int { return v/size*size + size/2 }))
	case augInvert:
		remap(m, m.Rect, tableOf(func(v int) int { return 255 - v }))
	case augAutocontrast:
		autocontrast(m, float64(rng.IntN(21))/100)
	case augEqualize:
		equalize(m)
	case augRotate:
		turn(m, even(-45, 45), tmp)
	}
}

func tableOf(f func(v int) int) *[256]uint8 {
	var t [256]uint8
	for v := range t {
		t[v] = uint8(min(max(f(v), 0), 255))
	}
	return &t
}

// remap3 applies a table to each channel.
func remap3(m *image.RGBA, t *[3][256]uint8) {
	for i := 0; i+3 < len(m.Pix); i += 4 {
		m.Pix[i], m.Pix[i+1], m.Pix[i+2] = t[0][m.Pix[i]], t[1][m.Pix[i+1]], t[2][m.Pix[i+2]]
	}
}

func histogram(m *image.RGBA) *[3][256]int {
	var h [3][256]int
	for i := 0; i+3 < len(m.Pix); i += 4 {
		h[0][m.Pix[i]]++
		h[1][m.Pix[i+1]]++
		h[2][m.Pix[i+2]]++
	}
	return &h
}

// autocontrast spreads what is left of each channel after a share is cut off at both ends over 0 to 255.
func autocontrast(m *image.RGBA, share float64) {
	n := m.Rect.Dx() * m.Rect.Dy()
	cut := int(share * float64(n))
	var t [3][256]uint8
	for c, h := range histogram(m) {
		lo, hi := 0, 255
		for left := cut; lo < 255 && h[lo] <= left; lo++ {
			left -= h[lo]
		}
		for left := cut; hi > 0 && h[hi] <= left; hi-- {
			left -= h[hi]
		}
		for v := range t[c] {
			t[c][v] = uint8(v)
			if hi > lo {
				t[c][v] = uint8(min(max(float64(v-lo)*255/float64(hi-lo), 0), 255))
			}
		}
	}
	remap3(m, &t)
}

// equalize makes each channel's histogram even, in steps of the pixels left without those of the brightest level.
func equalize(m *image.RGBA) {
	var t [3][256]uint8
	for c, h := range histogram(m) {
		last := 255
		for last > 0 && h[last] == 0 {
			last--
		}
		step := (m.Rect.Dx()*m.Rect.Dy() - h[last]) / 255
		sum := step / 2
		for v := range t[c] {
			t[c][v] = uint8(v)
			if step > 0 {
				t[c][v] = uint8(min(sum/step, 255))
			}
			sum += h[v]
		}
	}
	remap3(m, &t)
}

// sharpen moves every pixel from its smoothing (3x3, the middle five times) by a factor; the frame stays.
func sharpen(m *image.RGBA, f float64, tmp *[]uint8) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	k := int(math.Round(f * (1 << 12)))
	*tmp = grow(*tmp, 2*m.Stride)
	above, here := (*tmp)[:m.Stride], (*tmp)[m.Stride:2*m.Stride] // rows as they were
	copy(above, m.Pix[:m.Stride])
	for y := 1; y < h-1; y++ {
		row, below := m.Pix[y*m.Stride:(y+1)*m.Stride], m.Pix[(y+1)*m.Stride:(y+2)*m.Stride]
		copy(here, row)
		for i := 4; i < 4*(w-1); i++ {
			if i&3 == 3 {
				continue
			}
			sum := int(above[i-4]) + int(above[i]) + int(above[i+4]) + int(here[i-4]) + 5*int(here[i]) + int(here[i+4]) +
				int(below[i-4]) + int(below[i]) + int(below[i+4])
			smooth := (2*sum + 13) / 26
			row[i] = uint8(min(max((smooth<<12+k*(int(here[i])-smooth))>>12, 0), 255))
		}
		above, here = here, above
	}
}

// turn turns m about its middle by degrees, between pixels bilinear, black outside.
func turn(m *image.RGBA, degrees float64, tmp *[]uint8) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	*tmp = grow(*tmp, len(m.Pix))
	src := (*tmp)[:len(m.Pix)]
	copy(src, m.Pix)
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	cx, cy := float64(w-1)/2, float64(h-1)/2
	at := func(x, y, c int) int {
		if x < 0 || y < 0 || x >= w || y >= h {
			return 0
		}
		return int(src[y*m.Stride+4*x+c])
	}
	for y := range h {
		row := m.Pix[y*m.Stride : y*m.Stride+4*w]
		dy := float64(y) - cy
		for x := range w {
			dx := float64(x) - cx
			fx, fy := dx*cos-dy*sin+cx, dx*sin+dy*cos+cy
			px := row[4*x : 4*x+4]
			if fx <= -1 || fy <= -1 || fx >= float64(w) || fy >= float64(h) {
				px[0], px[1], px[2] = 0, 0, 0
				continue
			}
			x0, y0 := int(math.Floor(fx)), int(math.Floor(fy))
			ax, ay := int((fx-float64(x0))*256), int((fy-float64(y0))*256)
			if x0 >= 0 && y0 >= 0 && x0+1 < w && y0+1 < h {
				a, b := src[y0*m.Stride+4*x0:][:8], src[(y0+1)*m.Stride+4*x0:][:8]
				for c := range 3 {
					top := int(a[c])<<8 + ax*(int(a[c+4])-int(a[c]))
					low := int(b[c])<<8 + ax*(int(b[c+4])-int(b[c]))
					px[c] = uint8((top<<8 + ay*(low-top) + 1<<15) >> 16)
				}
				continue
			}
			for c := range 3 {
				top := at(x0, y0, c)*(256-ax) + at(x0+1, y0, c)*ax
				low := at(x0, y0+1, c)*(256-ax) + at(x0+1, y0+1, c)*ax
				px[c] = uint8((top*(256-ay) + low*ay + 1<<15) >> 16)
			}
		}
	}
}
