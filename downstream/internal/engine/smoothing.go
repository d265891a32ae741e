package engine

import (
	"context"
	"errors"
	"image"
	"math"

	"github.com/gotab/gotab/tensor"
)

// interpolation says where in an image the positions of a grid lie.
type interpolation int

const (
	// halfPixel takes positions for squares that tile the image; beyond the
	// outermost centres the edge is repeated (PyTorch's align_corners=false).
	HalfPixel interpolation = iota
	// alignCorners puts the outermost positions on the outermost pixels
	// (align_corners=true).
	AlignCorners
)

// place returns where in a grid of in positions pixel i of out lies, 0 to in-1.
func (p interpolation) place(i, in, out int) float64 {
	switch {
	case p == HalfPixel:
		return min(max((float64(i)+0.5)*float64(in)/float64(out)-0.5, 0), float64(in-1))
	case out == 1:
		return 0
	}
	return float64(i) * float64(in-1) / float64(out-1)
}

// Enlarger brings maps on a grid to the size of the input and smooths them.
type Enlarger struct {
	rows    *tensor.Tensor // [H, h]: down the columns
	columns *tensor.Tensor // [w, W]: along the rows
}

// NewEnlarger makes the tables of an enlarger, which params keeps under names
// that begin with prefix.
func NewEnlarger(ctx context.Context, params *tensor.Params, prefix string, grid, input image.Point, p interpolation, sigma float64) (Enlarger, error) {
	rows := smoothing(grid.Y, input.Y, p, sigma)
	across := smoothing(grid.X, input.X, p, sigma)
	columns := make([]float32, len(across))
	for i := range input.X {
		for j := range grid.X {
			columns[j*input.X+i] = across[i*grid.X+j]
		}
	}
	err := tensor.Run(ctx, params.Device(), tensor.Evaluation, func(s *tensor.Scope) error {
		return errors.Join(
			params.PutBuffer(s, prefix+"rows", s.FromFloats(rows, int64(input.Y), int64(grid.Y))),
			params.PutBuffer(s, prefix+"columns", s.FromFloats(columns, int64(grid.X), int64(input.X))),
		)
	})
	return Enlarger{rows: params.Get(prefix + "rows"), columns: params.Get(prefix + "columns")}, err
}

// Tables returns the two matrices, [H, h] and [w, W], by which a map on the grid is
// multiplied from the left and from the right.
func (e Enlarger) Tables() (rows, columns *tensor.Tensor) { return e.rows, e.columns }

// Smooth returns values on the grid, [.., h, w], as maps [.., H, W].
func (e Enlarger) Smooth(s *tensor.Scope, values *tensor.Tensor) *tensor.Tensor {
	return s.MatMul(s.MatMul(e.rows, values), e.columns)
}

// smoothing returns the matrix [out][in], row by row, of "interpolate in values
// linearly to out, then blur with a Gaussian", which is one linear map. Applied
// to both axes of a map D it gives B D B^T: two small products in place of an
// interpolation and two convolutions over the large map.
//
// The Gaussian has radius int(4 sigma + 0.5), weights that sum to 1 and
// half-sample symmetric borders (d c b a | a b c d | d c b a), as SciPy's
// gaussian_filter. sigma is in output pixels; 0 does not blur.
func smoothing(in, out int, p interpolation, sigma float64) []float32 {
	up := make([]float64, out*in)
	for i := range out {
		src := p.place(i, in, out)
		a := min(int(src), in-1)
		b := min(a+1, in-1)
		f := src - float64(a)
		up[i*in+a] += 1 - f
		up[i*in+b] += f
	}
	k := gaussian(sigma)
	radius := len(k) / 2
	m := make([]float32, out*in)
	row := make([]float64, in)
	for i := range out {
		clear(row)
		for t, w := range k {
			src := up[mirror(i+t-radius, out)*in:][:in]
			for c, v := range src {
				row[c] += w * v
			}
		}
		for c, v := range row {
			m[i*in+c] = float32(v)
		}
	}
	return m
}

// gaussian returns the weights from -radius to radius.
func gaussian(sigma float64) []float64 {
	if sigma <= 0 {
		return []float64{1}
	}
	radius := int(4*sigma + 0.5)
	k := make([]float64, 2*radius+1)
	sum := 0.0
	for i := range k {
		d := float64(i - radius)
		k[i] = math.Exp(-d * d / (2 * sigma * sigma))
		sum += k[i]
	}
	for i := range k {
		k[i] /= sum
	}
	return k
}

// mirror folds an index into 0 to n-1, repeating the edge.
func mirror(i, n int) int {
	i %= 2 * n
	if i < 0 {
		i += 2 * n
	}
	if i >= n {
		i = 2*n - 1 - i
	}
	return i
}
