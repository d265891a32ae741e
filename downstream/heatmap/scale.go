package heatmap

import (
	"fmt"
	"image"
	"math"

	"github.com/gotab/gotab/downstream"
)

// Scale says which values of a map have which colour: what is below Low has none, and
// the colours go from Low to High; what is above has that of High.
type Scale struct{ Low, High float64 }

// Validate reports a scale that holds nothing, as ErrScale, and ends that are NaN or
// infinite, as ErrNotFinite.
func (s Scale) Validate() error {
	switch {
	case !finite(s.Low) || !finite(s.High):
		return fmt.Errorf("heatmap: scale: %w: it is from %v to %v", ErrNotFinite, s.Low, s.High)
	case s.High <= s.Low:
		return fmt.Errorf("heatmap: scale: %w: it is from %v to %v", ErrScale, s.Low, s.High)
	}
	return nil
}

// Share is where a value lies on the scale: 0 at Low, 1 at High, linear, also beyond.
// It is what is comparable between two detectors whose scales come from their own
// good images.
func (s Scale) Share(v float64) float64 { return (v - s.Low) / (s.High - s.Low) }

// ScaleOf is the scale from the smallest to the largest value of some maps. It is for a
// look at those maps alone: if they are of good parts, a good part has the darkest of them. No map is
// ErrNoMaps, maps that are all of one value ErrScale, NaN where the detector has looked
// ErrNotFinite.
func ScaleOf(maps ...downstream.Map) (Scale, error) {
	if len(maps) == 0 {
		return Scale{}, fmt.Errorf("heatmap: scale of maps: %w", ErrNoMaps)
	}
	s := Scale{math.Inf(1), math.Inf(-1)}
	for i, m := range maps {
		in, err := seen(m)
		if err != nil {
			return Scale{}, fmt.Errorf("heatmap: scale of maps: map %d of %d: %w", i, len(maps), err)
		}
		for y := in.Min.Y; y < in.Max.Y; y++ {
			for _, v := range m.Data[y*m.W+in.Min.X : y*m.W+in.Max.X] {
				s.Low, s.High = min(s.Low, float64(v)), max(s.High, float64(v))
			}
		}
	}
	return s, s.Validate()
}

// seen returns the part of a map that the detector has looked at: all but a frame of
// NaN. It refuses a map whose size is not that of its data, one without any value, and
// one with NaN or infinity inside the frame.
func seen(m downstream.Map) (image.Rectangle, error) {
	if m.W < 1 || m.H < 1 || len(m.Data) != m.W*m.H {
		return image.Rectangle{}, fmt.Errorf("%w: %d values for a map of %dx%d", ErrSize, len(m.Data), m.W, m.H)
	}
	in := image.Rectangle{Min: image.Pt(m.W, m.H)} // grows around what is not NaN
	for y := range m.H {
		for x := range m.W {
			if v := m.At(x, y); v == v {
				in.Min = image.Pt(min(in.Min.X, x), min(in.Min.Y, y))
				in.Max = image.Pt(max(in.Max.X, x+1), max(in.Max.Y, y+1))
			}
		}
	}
	if in.Empty() {
		return in, fmt.Errorf("%w: all values of the map are NaN", ErrNotFinite)
	}
	for y := in.Min.Y; y < in.Max.Y; y++ {
		for x := in.Min.X; x < in.Max.X; x++ {
			if v := m.At(x, y); v-v != 0 {
				return in, fmt.Errorf("%w: the map is %v at %d,%d", ErrNotFinite, v, x, y)
			}
		}
	}
	return in, nil
}

func finite(v float64) bool { return v-v == 0 }
