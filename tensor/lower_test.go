package tensor

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLowerPlaces(t *testing.T) {
	require.Equal(t, []int{0, 64, 64, 192, 5824, 0, 0}, []int{LowerLen(0), LowerLen(1), LowerLen(8), LowerLen(9), LowerLen(100), LowerLen(-1), LowerLen(1 << 30)})
	seen := map[int]bool{}
	for row := range 21 {
		for column := range row + 1 {
			at := LowerAt(row, column)
			require.False(t, seen[at], "%d %d", row, column)
			require.Less(t, at, LowerLen(21))
			seen[at] = true
		}
	}
}

// Distances and sums of products against sums in double precision, for numbers of channels and images
// that fill blocks and that do not, of one thread and of two.
func TestMahalanobis(t *testing.T) {
	const positions = 150 // in several shares
	for _, c := range []int{1, 7, 8, 9, 100} {
		for _, n := range []int{1, 2, 4, 7} {
			for _, threads := range []int{1, 2} {
				value := func(seed float64, i int) float64 { return float64(float32(math.Sin(seed + 0.37*float64(i)))) }
				factor := make([]float32, positions*LowerLen(c))
				for p := range positions {
					for row := range c {
						for column := range row + 1 {
							factor[p*LowerLen(c)+LowerAt(row, column)] = float32(value(float64(p), row*c+column))
						}
					}
				}
				require.NoError(t, Run(WithThreads(t.Context(), threads), CPU, Evaluation, func(s *Scope) error {
					x, mean := wave(s, 1, int64(n), positions, int64(c)), wave(s, 2, positions, int64(c))
					sums := s.FromFloats(factor, positions, int64(LowerLen(c)))
					dist, err := s.Floats(s.Mahalanobis(x, mean, sums))
					require.NoError(t, err)
					s.ScatterInto(sums, x)
					added, err := s.Floats(sums)
					require.NoError(t, err)
					for p := range positions {
						for i := range n {
							want := 0.0
							for row := range c {
								y := 0.0
								for column := range row + 1 {
									v := value(1, (i*positions+p)*c+column) - value(2, p*c+column)
									y += value(float64(p), row*c+column) * v
								}
								want += y * y
							}
							require.InDelta(t, math.Sqrt(want), dist[i*positions+p], 1e-5*(1+math.Sqrt(want)), "%d channels, %d images", c, n)
						}
						for row := range c {
							for column := range row + 1 {
								want := value(float64(p), row*c+column)
								for i := range n {
									want += value(1, (i*positions+p)*c+row) * value(1, (i*positions+p)*c+column)
								}
								require.InDelta(t, want, added[p*LowerLen(c)+LowerAt(row, column)], 1e-5, "%d channels, %d images", c, n)
							}
						}
					}
					return s.Err()
				}))
			}
		}
	}
}

func TestMahalanobisRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		x, mean, factor []int64
		dt              DType
		want            error
	}{
		"flat":     {[]int64{2, 3}, []int64{2, 3}, []int64{2, 64}, Float32, ErrShape},
		"mean":     {[]int64{1, 2, 3}, []int64{3, 2}, []int64{2, 64}, Float32, ErrShape},
		"factor":   {[]int64{1, 2, 3}, []int64{2, 3}, []int64{2, 9}, Float32, ErrShape},
		"nobody":   {[]int64{0, 2, 3}, []int64{2, 3}, []int64{2, 64}, Float32, ErrShape},
		"nothing":  {[]int64{1, 2, 0}, []int64{2, 0}, []int64{2, 0}, Float32, ErrShape},
		"position": {[]int64{1, 2, 3}, []int64{2, 3}, []int64{3, 64}, Float32, ErrShape},
		"doubles":  {[]int64{1, 2, 3}, []int64{2, 3}, []int64{2, 64}, Float64, ErrDType},
	} {
		require.ErrorIs(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
			s.Mahalanobis(s.Full(1, c.dt, c.x...), s.Zeros(c.mean...), s.Zeros(c.factor...))
			return s.Err()
		}), c.want, name)
		if name == "mean" {
			continue
		}
		require.ErrorIs(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
			s.ScatterInto(s.Zeros(c.factor...), s.Full(1, c.dt, c.x...))
			return s.Err()
		}), c.want, name)
	}
	require.ErrorContains(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
		s.ScatterInto(s.Transpose(s.Zeros(64, 2), 0, 1), s.Zeros(1, 2, 3))
		return s.Err()
	}), "are a view")
}

// One image against the same matrices as a whole, which libtorch multiplies.
func BenchmarkMahalanobis(b *testing.B) {
	const positions, c = 4096, 100
	for _, whole := range []bool{false, true} {
		b.Run(map[bool]string{false: "packed", true: "whole"}[whole], func(b *testing.B) {
			require.NoError(b, Run(WithThreads(b.Context(), 1), CPU, Evaluation, func(s *Scope) error {
				x, mean := wave(s, 1, 1, positions, c), wave(s, 2, positions, c)
				matrix := s.Zeros(positions, c, c)
				if !whole {
					matrix = s.Zeros(positions, int64(LowerLen(c)))
				}
				for b.Loop() {
					s.Sub(func(s *Scope) *Tensor {
						if !whole {
							return s.Mahalanobis(x, mean, matrix)
						}
						return s.Norm(s.Bmm(s.Permute(s.Minus(x, mean), 1, 0, 2), matrix), 2)
					})
				}
				return s.Err()
			}))
		})
	}
}
