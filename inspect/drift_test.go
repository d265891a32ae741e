package inspect_test

import (
	"image"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/metrics"
)

// changed returns a copy of a picture of which each value is made of the picture and its
// place.
func changed(img image.Image, f func(at func(x, y int) float64, x, y int) float64) image.Image {
	in := img.(*image.RGBA)
	b := in.Rect
	out := image.NewRGBA(b)
	for c := range 4 {
		at := func(x, y int) float64 {
			return float64(in.Pix[in.PixOffset(min(max(x, 0), b.Dx()-1), min(max(y, 0), b.Dy()-1))+c])
		}
		for y := range b.Dy() {
			for x := range b.Dx() {
				v := 255.0
				if c < 3 {
					v = min(max(f(at, x, y), 0), 255)
				}
				out.Pix[out.PixOffset(x, y)+c] = uint8(v)
			}
		}
	}
	return out
}

// Light, focus and position that change are found by the scores of a PaDiM, within 80
// parts that pass; without a change there is no alarm.
func TestDriftOfPictures(t *testing.T) {
	noLeak(t)
	p := fittedPaDiM(t, network(t))
	c, err := p.Calibrate(t.Context(), set(t, plates(80, 21)), metrics.Overkill(0.02))
	require.NoError(t, err)
	for name, f := range map[string]func(at func(x, y int) float64, x, y int) float64{
		"nothing":    func(at func(x, y int) float64, x, y int) float64 { return at(x, y) },
		"brightness": func(at func(x, y int) float64, x, y int) float64 { return 0.9 * at(x, y) },
		"position":   func(at func(x, y int) float64, x, y int) float64 { return at(x+4, y) },
		"focus": func(at func(x, y int) float64, x, y int) float64 {
			return (2*at(x, y) + at(x-1, y) + at(x+1, y) + at(x, y-1) + at(x, y+1)) / 6
		},
	} {
		t.Run(name, func(t *testing.T) {
			var parts []image.Image
			for _, img := range plates(80, 22) {
				parts = append(parts, changed(img, f))
			}
			results, err := p.Score(t.Context(), parts...)
			require.NoError(t, err)
			m := inspect.MonitorOf(c, 1000, 0.01, 1)
			accepted, after := 0, 0
			for _, r := range results {
				if c.Verdict(r.Score).Reject {
					continue
				}
				accepted++
				if m(r.Score) {
					after = accepted
				}
			}
			t.Logf("%d of %d pass, alarm after %d", accepted, len(parts), after)
			require.Equal(t, name != "nothing", after > 0)
		})
	}
}
