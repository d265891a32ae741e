package synth

import (
	"image"
	"testing"

	"github.com/stretchr/testify/require"
)

// A hue is multiplied as the angle from red, 0 to 6 sixths of the circle: magenta reds have large ones, not negative.
// The expected colours follow by hand from the hexagon's formula: value 200 and saturation 0.75 stay.
func TestHuesAreMultipliedAsAnglesFromRed(t *testing.T) {
	for _, c := range []struct {
		mul        float32
		in, expect [3]float64
	}{
		{0.25, [3]float64{200, 50, 100}, [3]float64{137.5, 200, 50}}, // 5.667 sixths become 1.417
		{0.25, [3]float64{200, 100, 50}, [3]float64{200, 62.5, 50}},  // 0.333 become 0.083
		{2, [3]float64{50, 100, 200}, [3]float64{150, 200, 50}},      // 3.667 become 7.333, which are 1.333
	} {
		m := image.NewRGBA(image.Rect(0, 0, 1, 1))
		m.Pix = []byte{byte(c.in[0]), byte(c.in[1]), byte(c.in[2]), 255}
		scaleHSV(m, m.Rect, c.mul, 0, 1, 0)
		for k := range 3 {
			require.InDelta(t, c.expect[k], float64(m.Pix[k]), 1, "%v times %v", c.in, c.mul)
		}
	}
}
