package downstream

import "math"

// smoothing returns the matrix [out][in], row by row, of "interpolate in values
// linearly to out, then blur with a Gaussian", which is one linear map. Applied
// to both axes of a map D it gives B D B^T: two small products in place of an
// interpolation and two convolutions over the large map.
//
// Interpolation has half-pixel centres and repeats the edge (PyTorch's bilinear
// with align_corners=false). The Gaussian has radius int(4 sigma + 0.5), weights
// that sum to 1 and half-sample symmetric borders (d c b a | a b c d | d c b a),
// as SciPy's gaussian_filter. sigma is in output pixels; 0 does not blur.
func smoothing(in, out int, sigma float64) []float32 {
	up := make([]float64, out*in)
	for i := range out {
		src := max((float64(i)+0.5)*float64(in)/float64(out)-0.5, 0)
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
