package regad

import (
	"math"

	"github.com/gotab/gotab/tensor"
)

// Variations is how many images a fit makes of a support image.
const Variations = 22

// variationMatrices are the affine maps among the variations, in the units of
// [tensor.Scope.AffineGrid]: turns by multiples of 11.25 degrees up to 45 both
// ways, shifts by a tenth and by a twentieth of the side along both diagonals, a
// mirror image, and quarter turns. The image itself and the grey one come besides.
func variationMatrices() (out [][6]float32) {
	turn := func(angle float64) {
		c, s := float32(math.Cos(angle)), float32(math.Sin(angle))
		out = append(out, [6]float32{c, -s, 0, s, c, 0})
	}
	for i := 1; i <= 4; i++ {
		turn(float64(i) * math.Pi / 16)
		turn(-float64(i) * math.Pi / 16)
	}
	for _, by := range []float32{0.2, 0.1} { // the side is 2 long
		for _, x := range []float32{by, -by} {
			for _, y := range []float32{by, -by} {
				out = append(out, [6]float32{1, 0, x, 0, 1, y})
			}
		}
	}
	out = append(out, [6]float32{-1, 0, 0, 0, 1, 0})
	for i := 1; i <= 3; i++ {
		turn(float64(i) * math.Pi / 2)
	}
	return out
}

// VariationsOf returns the variations from to to-1 of an image x [1, 3, H, W],
// [to-from, 3, H, W]: the image itself, a grey one, and those of
// variationMatrices, which read x bilinearly and beyond the border as its
// reflection. Grey is 0.299 red + 0.587 green + 0.114 blue in all channels.
func VariationsOf(s *tensor.Scope, x *tensor.Tensor, from, to int) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		const plain = 2 // those without a matrix
		var out []*tensor.Tensor
		if from < 1 {
			out = append(out, x)
		}
		if from < plain && to > 1 {
			grey := []float32{0.299, 0.587, 0.114, 0.299, 0.587, 0.114, 0.299, 0.587, 0.114}
			out = append(out, s.Conv2d(x, s.FromFloats(grey, 3, 3, 1, 1), nil, tensor.Conv{}))
		}
		if to > plain {
			var flat []float32
			ms := variationMatrices()[max(from-plain, 0) : to-plain]
			for _, m := range ms {
				flat = append(flat, m[:]...)
			}
			n := int64(len(ms))
			theta := s.FromFloats(flat, n, 2, 3)
			out = append(out, warpMap(s, s.Expand(x, n, x.Size(1), x.Size(2), x.Size(3)), theta))
		}
		return s.ChannelsLast(s.Cat(0, out...))
	})
}
