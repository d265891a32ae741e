package downstream

import (
	"fmt"
	"math"

	"github.com/gotab/gotab/dataset"
)

// Map is a map of abnormality at a detector's working resolution: W columns and
// H rows, Data[y*W+x], higher for more abnormal. Rect is the part of the input
// image that the map covers, in pixels of the input: a detector that crops does
// not see the rest.
type Map struct {
	W, H int
	Data []float32
	Rect dataset.Rect
}

// At returns the value in column x and row y.
func (m Map) At(x, y int) float32 { return m.Data[y*m.W+x] }

// Max returns the largest value; NaN where any value is NaN or there is none.
func (m Map) Max() float64 {
	if len(m.Data) == 0 {
		return math.NaN()
	}
	top := m.Data[0]
	for _, v := range m.Data {
		if v != v {
			return math.NaN()
		}
		top = max(top, v)
	}
	return float64(top)
}

// ToInput resamples the map bilinearly to an input image of w x h pixels. Pixels
// whose centre lies outside Rect, which the detector has not seen, are NaN.
func (m Map) ToInput(w, h int) (Map, error) {
	switch {
	case w < 1 || h < 1:
		return Map{}, fmt.Errorf("downstream: map to input: %w: the input is %dx%d", ErrImage, w, h)
	case m.W < 1 || m.H < 1 || len(m.Data) != m.W*m.H:
		return Map{}, fmt.Errorf("downstream: map to input: %w: %d values for a map of %dx%d", ErrImage, len(m.Data), m.W, m.H)
	case !(m.Rect.MaxX > m.Rect.MinX && m.Rect.MaxY > m.Rect.MinY):
		return Map{}, fmt.Errorf("downstream: map to input: %w: the map covers nothing (%+v)", ErrImage, m.Rect)
	}
	out := Map{W: w, H: h, Data: make([]float32, w*h), Rect: dataset.Rect{MaxX: float64(w), MaxY: float64(h)}}
	if m.W == w && m.H == h && m.Rect == out.Rect {
		copy(out.Data, m.Data)
		return out, nil
	}
	xs := taps(w, m.W, m.Rect.MinX, m.Rect.MaxX)
	ys := taps(h, m.H, m.Rect.MinY, m.Rect.MaxY)
	nan := float32(math.NaN())
	// Two rows of the map, drawn out to the width: many rows of the input lie between
	// the same two.
	upper, lower := wideRow{of: -1, v: make([]float32, w)}, wideRow{of: -1, v: make([]float32, w)}
	for y, ty := range ys {
		row := out.Data[y*w:][:w]
		if !ty.inside {
			for x := range row {
				row[x] = nan
			}
			continue
		}
		if ty.i == lower.of {
			upper, lower = lower, upper
		}
		upper.draw(m, ty.i, xs)
		lower.draw(m, ty.j, xs)
		b := lower.v[:len(row)]
		for x, a := range upper.v[:len(row)] {
			row[x] = mix(a, b[x], ty.f)
		}
	}
	return out, nil
}

// wideRow is a row of a map at the width of the input.
type wideRow struct {
	of int // the row; -1 for none
	v  []float32
}

// draw makes it row y of m, if it is not.
func (r *wideRow) draw(m Map, y int, xs []tap) {
	if r.of == y {
		return
	}
	r.of = y
	row := m.Data[y*m.W:][:m.W]
	for x, t := range xs {
		if t.inside {
			r.v[x] = mix(row[t.i], row[t.j], t.f)
		} else {
			r.v[x] = float32(math.NaN())
		}
	}
}

// tap says between which two entries of the map a pixel's centre lies.
type tap struct {
	i, j   int
	f      float32
	inside bool
}

func taps(n, size int, from, to float64) []tap {
	out := make([]tap, n)
	for p := range out {
		c := float64(p) + 0.5
		if c < from || c > to {
			continue
		}
		u := (c-from)/(to-from)*float64(size) - 0.5
		u = min(max(u, 0), float64(size-1))
		i := int(u)
		out[p] = tap{i: i, j: min(i+1, size-1), f: float32(u - float64(i)), inside: true}
	}
	return out
}

func mix(a, b, f float32) float32 { return a + f*(b-a) }
