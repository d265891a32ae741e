package synth

import (
	"image"
	"math"
	"math/rand/v2"
)

// Jitter is a random change of colours, as torchvision's ColorJitter has it: four steps in random order. Brightness,
// Contrast and Saturation draw a factor evenly from [max(0, 1-v), 1+v] each; Hue draws a turn of the colour circle evenly
// from [-v, v], v up to 0.5. A step whose setting is 0 is left out. Values are cut to whole grey levels after each step, as
// 8-bit images do; hue turns in floating point.
type Jitter struct{ Brightness, Contrast, Saturation, Hue float64 }

func (j Jitter) fault() string {
	for _, v := range []float64{j.Brightness, j.Contrast, j.Saturation} {
		if !(v >= 0 && v <= 10) {
			return "must hold values from 0 to 10"
		}
	}
	if !(j.Hue >= 0 && j.Hue <= 0.5) {
		return "must have Hue from 0 to 0.5"
	}
	return ""
}

// luma is the grey value that contrast and saturation work against: ITU-R 601 in 2^-16, rounded (as Pillow has it).
func luma(r, g, b uint8) int {
	return (int(r)*19595 + int(g)*38470 + int(b)*7471 + 0x8000) >> 16
}

// apply changes the part r of m in place.
func (j Jitter) apply(m *image.RGBA, r image.Rectangle, rng *rand.Rand) {
	order := [4]int{0, 1, 2, 3}
	for i := 3; i > 0; i-- {
		k := rng.IntN(i + 1)
		order[i], order[k] = order[k], order[i]
	}
	factor := func(v float64) float64 {
		lo := max(0, 1-v)
		return lo + (1+v-lo)*rng.Float64()
	}
	// All four are drawn in a fixed order, so that one being off moves no other.
	bright, contrast, saturation := factor(j.Brightness), factor(j.Contrast), factor(j.Saturation)
	turn := j.Hue * (2*rng.Float64() - 1)
	for _, step := range order {
		switch {
		case step == 0 && j.Brightness > 0:
			remap(m, r, blendTable(0, bright))
		case step == 1 && j.Contrast > 0:
			remap(m, r, blendTable(math.Floor(meanLuma(m, r)+0.5), contrast))
		case step == 2 && j.Saturation > 0:
			saturate(m, r, saturation)
		case step == 3 && j.Hue > 0:
			turnHue(m, r, turn)
		}
	}
}

// blendTable maps v to base + f*(v-base), cut to a whole grey level.
func blendTable(base, f float64) *[256]uint8 {
	var t [256]uint8
	for v := range t {
		t[v] = cut8(base + f*(float64(v)-base))
	}
	return &t
}

// cut8 cuts to a whole grey level; the slack keeps 0.1+0.2 from losing one.
func cut8(v float64) uint8 { return uint8(min(max(v+1e-9, 0), 255)) }

// remap applies a table to the three colours of a part of m.
func remap(m *image.RGBA, r image.Rectangle, t *[256]uint8) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		row := m.Pix[m.PixOffset(r.Min.X, y):][:4*r.Dx()]
		for i := 0; i+3 < len(row); i += 4 {
			row[i], row[i+1], row[i+2] = t[row[i]], t[row[i+1]], t[row[i+2]]
		}
	}
}

func meanLuma(m *image.RGBA, r image.Rectangle) float64 {
	sum := 0
	for y := r.Min.Y; y < r.Max.Y; y++ {
		row := m.Pix[m.PixOffset(r.Min.X, y):][:4*r.Dx()]
		for i := 0; i+3 < len(row); i += 4 {
			sum += luma(row[i], row[i+1], row[i+2])
		}
	}
	return float64(sum) / float64(max(1, r.Dx()*r.Dy()))
}

// saturate moves every pixel away from its grey value (f > 1) or towards it.
func saturate(m *image.RGBA, r image.Rectangle, f float64) {
	k := int(math.Round(f * (1 << 16)))
	for y := r.Min.Y; y < r.Max.Y; y++ {
		row := m.Pix[m.PixOffset(r.Min.X, y):][:4*r.Dx()]
		for i := 0; i+3 < len(row); i += 4 {
			l := luma(row[i], row[i+1], row[i+2])
			for c := i; c < i+3; c++ {
				row[c] = uint8(min(max((l<<16+k*(int(row[c])-l))>>16, 0), 255))
			}
		}
	}
}

// turnHue turns the colour circle by a share of the whole.
func turnHue(m *image.RGBA, r image.Rectangle, turn float64) {
	shiftHSV(m, r, float32(6*turn), 1, 0)
}

// shiftHSV adds to the hue (in sixths of the circle, a few circles at most), and multiplies and adds to the saturation (0 to 1, held there). The
// value stays. Grey pixels have no hue and stay grey: they stay as they are.
func shiftHSV(m *image.RGBA, r image.Rectangle, add, mulS, addS float32) {
	scaleHSV(m, r, 1, add, mulS, addS)
}

// scaleHSV is shiftHSV with the hue multiplied by mulH first.
func scaleHSV(m *image.RGBA, r image.Rectangle, mulH, add, mulS, addS float32) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		row := m.Pix[m.PixOffset(r.Min.X, y):][:4*r.Dx()]
		for i := 0; i+3 < len(row); i += 4 {
			a, b, c := row[i], row[i+1], row[i+2]
			hi, lo := max(a, b, c), min(a, b, c)
			if hi == lo {
				continue
			}
			d := float32(hi - lo)
			var h float32
			switch hi {
			case a:
				h = (float32(b) - float32(c)) / d
			case b:
				h = 2 + (float32(c)-float32(a))/d
			default:
				h = 4 + (float32(a)-float32(b))/d
			}
			if h < 0 {
				h += 6
			}
			h = h*mulH + add
			for h < 0 {
				h += 6
			}
			for h >= 6 {
				h -= 6
			}
			v := float32(hi)
			s := min(max(d/v*mulS+addS, 0), 1)
			k := int(h)
			f := h - float32(k)
			p, q, t := round8(v*(1-s)), round8(v*(1-s*f)), round8(v*(1-s*(1-f)))
			switch k {
			case 0:
				row[i], row[i+1], row[i+2] = hi, t, p
			case 1:
				row[i], row[i+1], row[i+2] = q, hi, p
			case 2:
				row[i], row[i+1], row[i+2] = p, hi, t
			case 3:
				row[i], row[i+1], row[i+2] = p, q, hi
			case 4:
				row[i], row[i+1], row[i+2] = t, p, hi
			default:
				row[i], row[i+1], row[i+2] = hi, p, q
			}
		}
	}
}

func round8(v float32) uint8 { return uint8(v + 0.5) }
