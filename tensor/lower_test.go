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

// Vectors gathered from maps have the distances of those that lie together, to the last bit.
func TestMahalanobisMaps(t *testing.T) {
	channels := [][]int64{{3, 0}, {}, {1, 4, 5, 6}, {2}}
	const h, w, n, c = 12, 8, 3, 7
	require.NoError(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
		maps := []*Tensor{wave(s, 1, n, 4, h, w), wave(s, 2, n, 2, h, w), s.ChannelsLast(wave(s, 3, n, 8, h/2, w/2)), wave(s, 4, n, 3, 5, 3)}
		var parts []*Tensor
		for k, m := range maps {
			if len(channels[k]) > 0 {
				parts = append(parts, s.UpsampleNearest(s.IndexSelect(m, 1, s.FromInts(channels[k], int64(len(channels[k])))), h, w))
			}
		}
		x := s.Reshape(s.Contiguous(s.Permute(s.Cat(1, parts...), 0, 2, 3, 1)), n, h*w, c)
		mean, factor := wave(s, 5, h*w, c), wave(s, 6, h*w, int64(LowerLen(c)))
		want, err := s.Floats(s.Mahalanobis(x, mean, factor))
		require.NoError(t, err)
		got, err := s.Floats(s.MahalanobisMaps(maps, channels, mean, factor))
		require.NoError(t, err)
		require.Equal(t, want, got)
		return nil
	}))
	for name, c := range map[string]struct {
		first, second []int64
		channels      [][]int64
		mean, factor  []int64
	}{
		"lists":          {[]int64{1, 2, 4, 4}, []int64{1, 2, 2, 2}, [][]int64{{0}}, []int64{16, 1}, []int64{16, 64}},
		"no channel":     {[]int64{1, 2, 4, 4}, []int64{1, 2, 2, 2}, [][]int64{{}, {}}, []int64{16, 0}, []int64{16, 0}},
		"channel":        {[]int64{1, 2, 4, 4}, []int64{1, 2, 2, 2}, [][]int64{{0}, {2}}, []int64{16, 2}, []int64{16, 64}},
		"negative":       {[]int64{1, 2, 4, 4}, []int64{1, 2, 2, 2}, [][]int64{{0}, {-1}}, []int64{16, 2}, []int64{16, 64}},
		"finer":          {[]int64{1, 2, 4, 4}, []int64{1, 2, 8, 4}, [][]int64{{0}, {1}}, []int64{16, 2}, []int64{16, 64}},
		"another number": {[]int64{1, 2, 4, 4}, []int64{2, 2, 2, 2}, [][]int64{{0}, {1}}, []int64{16, 2}, []int64{16, 64}},
		"flat":           {[]int64{1, 2, 4, 4}, []int64{1, 2, 2}, [][]int64{{0}, {1}}, []int64{16, 2}, []int64{16, 64}},
		"mean":           {[]int64{1, 2, 4, 4}, []int64{1, 2, 2, 2}, [][]int64{{0}, {1}}, []int64{16, 3}, []int64{16, 64}},
		"factor":         {[]int64{1, 2, 4, 4}, []int64{1, 2, 2, 2}, [][]int64{{0}, {1}}, []int64{16, 2}, []int64{15, 64}},
	} {
		require.ErrorIs(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
			s.MahalanobisMaps([]*Tensor{s.Zeros(c.first...), s.Zeros(c.second...)}, c.channels, s.Zeros(c.mean...), s.Zeros(c.factor...))
			return s.Err()
		}), ErrShape, name)
	}
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
