package tensor

import (
	"encoding/binary"
	"math"
	"syscall"
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

// nearest is x rounded to bfloat16, of two that are as near the one farther from zero.
func nearest(x float32) float32 {
	if x != x {
		return x
	}
	return math.Float32frombits((math.Float32bits(x) + 1<<15) >> 16 << 16)
}

// triangles returns rows of lower triangular matrices as a file has them, and the same packed.
func triangles(positions, c int) (rows []byte, packed []float32) {
	packed = make([]float32, positions*LowerLen(c))
	for p := range positions {
		for row := range c {
			for column := range row + 1 {
				v := float32(math.Sin(float64(p) + 0.37*float64(row*c+column)))
				rows = binary.LittleEndian.AppendUint32(rows, math.Float32bits(v))
				packed[p*LowerLen(c)+LowerAt(row, column)] = v
			}
		}
	}
	return rows, packed
}

// Halves give back every value to the last bit, of any kind, and the first ones are the nearest numbers of half the bits.
func TestHalves(t *testing.T) {
	const positions, entries = 150, 64
	bits := []uint32{0, 1 << 31, 1, 0x8000, 0x7fff, 0x8001, 0x3f808000, 0x3f818000, 0x3f807fff, 0x3f80ffff, 0xbf808000, 0x7f7fffff, 0xff7fffff,
		0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0x7fffffff, 0xffffffff, 0x00008000, 0x807fffff}
	values := make([]float32, positions*entries)
	for i := range values {
		values[i] = math.Float32frombits(uint32(i) * 2654435761) // all over the range, NaN too
		if i < len(bits) {
			values[i] = math.Float32frombits(bits[i])
		}
	}
	for _, threads := range []int{1, 2} {
		require.NoError(t, Run(WithThreads(t.Context(), threads), CPU, Evaluation, func(s *Scope) error {
			halves := s.HalvesInto(s.FromFloats(values, positions, entries))
			require.Equal(t, []int64{positions, 2, entries}, halves.Shape())
			require.Equal(t, BFloat16, halves.DType())
			back, err := s.Floats(s.JoinHalves(halves))
			require.NoError(t, err)
			part, err := s.Floats(s.JoinHalves(s.Narrow(halves, 0, 40, 3)))
			require.NoError(t, err)
			first, err := s.Floats(s.Select(halves, 1, 0))
			require.NoError(t, err)
			for i, v := range values {
				place := i/16*16 + 2*(i%8) + i%16/8 // two columns of eight lie in turns
				if v != v {
					require.True(t, back[i] != back[i] && first[place] != first[place], "%d", i)
					continue
				}
				require.Equal(t, math.Float32bits(v), math.Float32bits(back[i]), "%d: %v", i, v)
				require.Equal(t, math.Float32bits(nearest(v)), math.Float32bits(first[place]), "%d: %v", i, v)
			}
			for i, v := range part {
				if v == v {
					require.Equal(t, values[40*entries+i], v)
				}
			}
			return s.Err()
		}))
	}
}

// With both halves distances are those of the values to the last bit, and with the first ones alone those of the rounded values.
func TestMahalanobisOfHalves(t *testing.T) {
	for _, side := range []int{2, 13} { // squared, in one share and in several
		positions := side * side
		for _, c := range []int{1, 2, 7, 8, 9, 15, 16, 17, 50, 100} {
			_, packed := triangles(positions, c)
			for _, n := range []int{1, 2, 4, 7} {
				for _, threads := range []int{1, 2} {
					require.NoError(t, Run(WithThreads(t.Context(), threads), CPU, Evaluation, func(s *Scope) error {
						x, mean := wave(s, 1, int64(n), int64(positions), int64(c)), wave(s, 2, int64(positions), int64(c))
						factor := s.FromFloats(packed, int64(positions), int64(LowerLen(c)))
						halves := s.HalvesInto(s.Clone(factor))
						first := s.Select(halves, 1, 0)
						want, err := s.Floats(s.Mahalanobis(x, mean, factor))
						require.NoError(t, err)
						joined, err := s.Floats(s.Mahalanobis(x, mean, halves))
						require.NoError(t, err)
						require.Equal(t, want, joined, "%d channels, %d images", c, n)
						got, err := s.Floats(s.Mahalanobis(x, mean, first))
						require.NoError(t, err)
						together, err := s.Floats(s.Mahalanobis(x, mean, s.Contiguous(first)))
						require.NoError(t, err)
						require.Equal(t, got, together)
						xs, err := s.Floats(x)
						require.NoError(t, err)
						means, err := s.Floats(mean)
						require.NoError(t, err)
						for p := range positions {
							for i := range n {
								sum := 0.0
								for row := range c {
									y := 0.0
									for column := range row + 1 {
										y += float64(nearest(packed[p*LowerLen(c)+LowerAt(row, column)])) * float64(xs[(i*positions+p)*c+column]-means[p*c+column])
									}
									sum += y * y
								}
								require.InDelta(t, math.Sqrt(sum), got[i*positions+p], 1e-5*(1+math.Sqrt(sum)), "%d channels, %d images", c, n)
							}
						}
						// The same vectors in a map.
						maps := []*Tensor{s.Permute(s.Reshape(x, int64(n), int64(side), int64(side), int64(c)), 0, 3, 1, 2)}
						channels := [][]int64{make([]int64, c)}
						for k := range channels[0] {
							channels[0][k] = int64(k)
						}
						gathered, err := s.Floats(s.MahalanobisMaps(maps, channels, mean, first))
						require.NoError(t, err)
						require.Equal(t, got, gathered)
						gathered, err = s.Floats(s.MahalanobisMaps(maps, channels, mean, halves))
						require.NoError(t, err)
						require.Equal(t, want, gathered)
						return s.Err()
					}))
				}
			}
		}
	}
}

// What is no number stays where it is: in the matrix of one position, or in one vector.
func TestMahalanobisOfHalvesThatAreNotFinite(t *testing.T) {
	const positions, c, n = 70, 9, 5
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	_, packed := triangles(positions, c)
	packed[3*LowerLen(c)+LowerAt(8, 2)] = nan
	packed[4*LowerLen(c)+LowerAt(5, 0)] = inf
	packed[5*LowerLen(c)+LowerAt(5, 5)] = math.MaxFloat32 // which has no neighbour above
	require.NoError(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
		x, err := s.Floats(wave(s, 1, n, positions, c))
		require.NoError(t, err)
		x[(2*positions+6)*c+1] = nan
		x[(4*positions+7)*c+8] = inf
		halves := s.HalvesInto(s.FromFloats(packed, positions, int64(LowerLen(c))))
		got, err := s.Floats(s.Mahalanobis(s.FromFloats(x, n, positions, c), s.Zeros(positions, c), s.Select(halves, 1, 0)))
		require.NoError(t, err)
		for at, d := range got {
			switch i, p := at/positions, at%positions; {
			case p == 3, i == 2 && p == 6:
				require.True(t, d != d, "image %d, position %d: %v", i, p, d)
			case p == 4, p == 5, i == 4 && p == 7:
				require.True(t, d-d != 0, "image %d, position %d: %v", i, p, d)
			default:
				require.True(t, d > 0 && d-d == 0, "image %d, position %d: %v", i, p, d)
			}
		}
		return s.Err()
	}))
}

func TestPackLower(t *testing.T) {
	for _, positions := range []int{1, 3, 150} {
		for _, c := range []int{1, 7, 8, 9, 17, 100} {
			rows, packed := triangles(positions, c)
			for _, threads := range []int{1, 2} {
				require.NoError(t, Run(WithThreads(t.Context(), threads), CPU, Evaluation, func(s *Scope) error {
					entries := int64(LowerLen(c))
					whole := s.Full(7, Float32, int64(positions)+2, entries)
					to := s.Narrow(whole, 0, 1, int64(positions))
					s.PackLowerInto(to, rows, c)
					got, err := s.Floats(to)
					require.NoError(t, err)
					require.Equal(t, packed, got)
					around, err := s.Floats(s.Cat(0, s.Narrow(whole, 0, 0, 1), s.Narrow(whole, 0, int64(positions)+1, 1)))
					require.NoError(t, err)
					for _, v := range around {
						require.EqualValues(t, 7, v)
					}
					halves := s.Full(7, BFloat16, int64(positions), 2, entries)
					s.PackLowerInto(halves, rows, c)
					got, err = s.Floats(s.JoinHalves(halves))
					require.NoError(t, err)
					require.Equal(t, packed, got)
					return s.Err()
				}))
			}
		}
	}
}

func TestHalvesRefuse(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(s *Scope)
		want error
	}{
		"halves of doubles":        {func(s *Scope) { s.HalvesInto(s.Full(1, Float64, 2, 64)) }, ErrDType},
		"halves of a list":         {func(s *Scope) { s.HalvesInto(s.Zeros(64)) }, ErrShape},
		"halves of a column":       {func(s *Scope) { s.HalvesInto(s.Zeros(2, 8)) }, ErrShape},
		"join floats":              {func(s *Scope) { s.JoinHalves(s.Zeros(2, 2, 64)) }, ErrDType},
		"join thirds":              {func(s *Scope) { s.JoinHalves(s.Full(1, BFloat16, 2, 3, 64)) }, ErrShape},
		"join first":               {func(s *Scope) { s.JoinHalves(s.Full(1, BFloat16, 2, 64)) }, ErrShape},
		"distances of thirds":      {func(s *Scope) { s.Mahalanobis(s.Zeros(1, 2, 3), s.Zeros(2, 3), s.Full(1, BFloat16, 2, 3, 64)) }, ErrShape},
		"distances of two floats":  {func(s *Scope) { s.Mahalanobis(s.Zeros(1, 2, 3), s.Zeros(2, 3), s.Zeros(2, 2, 64)) }, ErrShape},
		"distances of float16":     {func(s *Scope) { s.Mahalanobis(s.Zeros(1, 2, 3), s.Zeros(2, 3), s.Full(1, Float16, 2, 64)) }, ErrDType},
		"distances of half a mean": {func(s *Scope) { s.Mahalanobis(s.Zeros(1, 2, 3), s.Full(1, BFloat16, 2, 3), s.Full(1, BFloat16, 2, 64)) }, ErrDType},
		"sums of halves":           {func(s *Scope) { s.ScatterInto(s.Full(1, BFloat16, 2, 64), s.Zeros(1, 2, 3)) }, ErrDType},
		"pack few":                 {func(s *Scope) { s.PackLowerInto(s.Zeros(2, 64), make([]byte, 47), 3) }, ErrShape},
		"pack many":                {func(s *Scope) { s.PackLowerInto(s.Zeros(2, 64), make([]byte, 72), 3) }, ErrShape},
		"pack other rows":          {func(s *Scope) { s.PackLowerInto(s.Zeros(2, 64), make([]byte, 2*4*45), 9) }, ErrShape},
		"pack none":                {func(s *Scope) { s.PackLowerInto(s.Zeros(2, 64), nil, 0) }, ErrShape},
		"pack into doubles":        {func(s *Scope) { s.PackLowerInto(s.Full(1, Float64, 2, 64), make([]byte, 48), 3) }, ErrDType},
		"pack into a first half":   {func(s *Scope) { s.PackLowerInto(s.Full(1, BFloat16, 2, 64), make([]byte, 48), 3) }, ErrShape},
		"pack into two floats":     {func(s *Scope) { s.PackLowerInto(s.Zeros(2, 2, 64), make([]byte, 48), 3) }, ErrShape},
	} {
		require.ErrorIs(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
			c.do(s)
			return s.Err()
		}), c.want, name)
	}
	for _, do := range []func(s *Scope){
		func(s *Scope) { s.HalvesInto(s.Transpose(s.Zeros(64, 64), 0, 1)) },
		func(s *Scope) { s.PackLowerInto(s.Transpose(s.Zeros(64, 64), 0, 1), make([]byte, 64*24), 3) },
	} {
		require.ErrorContains(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
			do(s)
			return s.Err()
		}), "a view")
	}
}

// What these change in place Backward does not take for what it was, and vectors may lie in the sums that they are added to.
func TestLowerChangesAreSeen(t *testing.T) {
	for name, change := range map[string]func(s *Scope, x *Tensor){
		"halves":  func(s *Scope, x *Tensor) { s.HalvesInto(x) },
		"scatter": func(s *Scope, x *Tensor) { s.ScatterInto(x, s.Zeros(1, 2, 3)) },
		"pack":    func(s *Scope, x *Tensor) { s.PackLowerInto(x, make([]byte, 48), 3) },
	} {
		p := NewParams(CPU)
		require.ErrorContains(t, Run(t.Context(), CPU, Training, func(s *Scope) error {
			require.NoError(t, p.Put(s, "w", wave(s, 1, 2, 64)))
			x := s.MulScalar(p.Get("w"), 2)
			loss := s.Sum(s.Square(x), false)
			change(s, x)
			require.NoError(t, s.Err())
			s.Backward(loss)
			return s.Err()
		}), "modified by an inplace operation", name)
		require.NoError(t, p.Close())
	}
	require.NoError(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
		part := func(sums *Tensor) *Tensor { return s.Reshape(s.Narrow(sums, 0, 1, 1), 8, 2, 4) } // the second row
		want, got := wave(s, 1, 2, 64), wave(s, 1, 2, 64)
		s.ScatterInto(want, s.Clone(part(want)))
		s.ScatterInto(got, part(got))
		require.Equal(t, floats(t, s, want), floats(t, s, got))
		return s.Err()
	}))
}

// One image against float32 matrices, both halves and the first halves of them, and the same matrices as a whole, which libtorch multiplies.
func BenchmarkMahalanobis(b *testing.B) {
	const positions, c = 4096, 100
	for _, form := range []string{"packed", "halves", "first", "whole"} {
		b.Run(form, func(b *testing.B) {
			require.NoError(b, Run(WithThreads(b.Context(), 1), CPU, Evaluation, func(s *Scope) error {
				x, mean := wave(s, 1, 1, positions, c), wave(s, 2, positions, c)
				matrix := s.Zeros(positions, int64(LowerLen(c)))
				switch form {
				case "whole":
					matrix = s.Zeros(positions, c, c)
				case "halves":
					matrix = s.HalvesInto(matrix)
				case "first":
					matrix = s.Select(s.HalvesInto(matrix), 1, 0)
				}
				spent := processorTime(b)
				for b.Loop() {
					s.Sub(func(s *Scope) *Tensor {
						if form != "whole" {
							return s.Mahalanobis(x, mean, matrix)
						}
						return s.Norm(s.Bmm(s.Permute(s.Minus(x, mean), 1, 0, 2), matrix), 2)
					})
				}
				b.ReportMetric(1e3*(processorTime(b)-spent)/float64(b.N), "cpu-ms/op")
				return s.Err()
			}))
		})
	}
}

// processorTime is what the process has had of it, in seconds.
func processorTime(b *testing.B) float64 {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}
