package downstream_test

import (
	"image"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

// slowLayer is what an extractor makes of one image: c channels of h rows and w
// columns.
type slowLayer struct {
	values  []float32
	c, h, w int
}

func slowLayers(t *testing.T, fe downstream.Extractor, layers []backbone.Layer, tr dataset.Transform, n dataset.Normalize, img image.Image) (out []slowLayer) {
	px, err := tr.Image(img)
	require.NoError(t, err)
	w, h := px.Rect.Dx(), px.Rect.Dy()
	packed := make([]float32, 3*w*h)
	require.NoError(t, n.Pack(packed, px))
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		for _, m := range fe.Forward(s, s.FromNHWC(packed, 1, h, w, 3), layers...) {
			f, err := s.Floats(m)
			if err != nil {
				return err
			}
			out = append(out, slowLayer{values: f, c: int(m.Size(1)), h: int(m.Size(2)), w: int(m.Size(3))})
		}
		return nil
	}))
	return out
}

// slowUpsample interpolates vectors on a grid bilinearly.
func slowUpsample(v [][]float64, w, h, toW, toH int) [][]float64 {
	tap := func(i, in, out int) (a, b int, f float64) {
		u := math.Max((float64(i)+0.5)*float64(in)/float64(out)-0.5, 0)
		a = int(u)
		return a, min(a+1, in-1), u - float64(a)
	}
	out := make([][]float64, toW*toH)
	for y := range toH {
		for x := range toW {
			ya, yb, fy := tap(y, h, toH)
			xa, xb, fx := tap(x, w, toW)
			for k := range v[0] {
				top := (1-fx)*v[ya*w+xa][k] + fx*v[ya*w+xb][k]
				bottom := (1-fx)*v[yb*w+xa][k] + fx*v[yb*w+xb][k]
				out[y*toW+x] = append(out[y*toW+x], (1-fy)*top+fy*bottom)
			}
		}
	}
	return out
}

// slowSmoothed brings values on a grid to the size of the transformed image and
// blurs them.
func slowSmoothed(grid []float64, w, h int, sigma float64) []float32 {
	vectors := make([][]float64, len(grid))
	for i, v := range grid {
		vectors[i] = []float64{v}
	}
	flat := make([]float64, 0, fakeSide*fakeSide)
	for _, v := range slowUpsample(vectors, w, h, fakeSide, fakeSide) {
		flat = append(flat, v[0])
	}
	return slowBlur(flat, fakeSide, sigma)
}

// slowBlur is the definition: a product of two Gaussians over the mirrored map.
func slowBlur(v []float64, side int, sigma float64) []float32 {
	r := int(4*sigma + 0.5)
	fold := func(i int) int {
		for i < 0 || i >= side {
			if i < 0 {
				i = -1 - i
			} else {
				i = 2*side - 1 - i
			}
		}
		return i
	}
	out := make([]float32, len(v))
	for y := range side {
		for x := range side {
			sum, weight := 0.0, 0.0
			for dy := -r; dy <= r; dy++ {
				for dx := -r; dx <= r; dx++ {
					w := math.Exp(-float64(dx*dx+dy*dy) / (2 * sigma * sigma))
					sum += w * v[fold(y+dy)*side+fold(x+dx)]
					weight += w
				}
			}
			out[y*side+x] = float32(sum / weight)
		}
	}
	return out
}
