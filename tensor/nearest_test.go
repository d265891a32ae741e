package tensor

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// nearestCase is a bank whose rows differ most in their first values, and queries near to it and far from it.
type nearestCase struct {
	c, k, count, n int
	bank, queries  []float32
}

func newNearestCase(c, k, count, n int, far float64) nearestCase {
	rng := rand.New(rand.NewPCG(uint64(c), uint64(count)))
	z := nearestCase{c: c, k: k, count: count, n: n, bank: make([]float32, count*c), queries: make([]float32, n*c)}
	for i := range z.bank {
		z.bank[i] = float32(rng.NormFloat64() * 3 / (1 + float64(i%c)/4))
	}
	for i := range n {
		from := z.bank[rng.IntN(count)*c:][:c]
		for j := range c {
			z.queries[i*c+j] = from[j] + float32(rng.NormFloat64()*(0.2+far*float64(i%2)))
		}
	}
	return z
}

// operands are the bank and what follows from it, with the first k values as axes.
func (z nearestCase) operands(s *Scope) (bank, axes, low, half *Tensor) {
	turn, short, halves := make([]float32, z.c*z.k), make([]float32, z.count*(z.k+1)), make([]float32, z.count)
	for i := range z.k {
		turn[i*z.k+i] = 1
	}
	for i := range z.count {
		row, rest := z.bank[i*z.c:][:z.c], 0.0
		copy(short[i*(z.k+1):], row[:z.k])
		for j, v := range row {
			halves[i] -= v * v / 2
			if j >= z.k {
				rest += float64(v) * float64(v)
			}
		}
		short[i*(z.k+1)+z.k] = float32(math.Sqrt(rest))
	}
	c, k, m := int64(z.c), int64(z.k), int64(z.count)
	return s.FromFloats(z.bank, m, c), s.FromFloats(turn, c, k), s.FromFloats(short, m, k+1), s.FromFloats(halves, m)
}

// Distances and places against all distances in double precision, where rows are near, where they are so far that the bound leaves nothing
// out, for sizes that fill blocks and that do not, of one thread and of two.
func TestNearest(t *testing.T) {
	for _, z := range []nearestCase{
		newNearestCase(96, 16, 2000, 150, 0), newNearestCase(96, 16, 2000, 150, 30), newNearestCase(130, 7, 777, 33, 1), newNearestCase(5, 2, 64, 9, 0),
		newNearestCase(3, 3, 1, 4, 1), newNearestCase(1, 1, 100, 7, 0), newNearestCase(8, 4, 65, 1, 0),
	} {
		for _, threads := range []int{1, 2} {
			require.NoError(t, Run(WithThreads(t.Context(), threads), CPU, Evaluation, func(s *Scope) error {
				bank, axes, low, half := z.operands(s)
				q := s.FromFloats(z.queries, int64(z.n), int64(z.c))
				for _, exact := range []bool{true, false} {
					d, at := s.Nearest(q, bank, axes, low, half, exact)
					dist, err := s.Floats(d)
					require.NoError(t, err)
					index, err := s.Ints(at)
					require.NoError(t, err)
					for i := range z.n {
						least := math.Inf(1)
						own := 0.0
						for m := range z.count {
							sum := 0.0
							for j := range z.c {
								v := float64(z.queries[i*z.c+j]) - float64(z.bank[m*z.c+j])
								sum += v * v
							}
							least = min(least, sum)
							if int64(m) == index[i] {
								own = sum
							}
						}
						require.InDelta(t, own, dist[i], 1e-5*(1e-3+own), "the distance is that to the row")
						if exact {
							require.InDelta(t, least, dist[i], 1e-5*(1e-3+least), "%d of %d values, query %d", z.k, z.c, i)
						} else {
							require.GreaterOrEqual(t, float64(dist[i]), least*(1-1e-5))
						}
					}
				}
				return s.Err()
			}))
		}
	}
}

// What is not finite is said to be so, and its neighbours are found all the same.
func TestNearestOfWhatIsNotFinite(t *testing.T) {
	z := newNearestCase(16, 4, 100, 4, 0)
	z.queries[1*16+3], z.queries[2*16+9] = float32(math.NaN()), float32(math.Inf(1))
	require.NoError(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
		bank, axes, low, half := z.operands(s)
		d, _ := s.Nearest(s.FromFloats(z.queries, 4, 16), bank, axes, low, half, true)
		dist, err := s.Floats(d)
		require.NoError(t, err)
		for i, v := range dist {
			require.Equal(t, i == 1 || i == 2, v != v, "query %d: %v", i, v)
		}
		return err
	}))
}

func TestNearestRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		q, bank, axes, low, half []int64
		dt                       DType
		want                     error
	}{
		"flat":          {[]int64{3}, []int64{4, 3}, []int64{3, 2}, []int64{4, 3}, []int64{4}, Float32, ErrShape},
		"other vectors": {[]int64{2, 5}, []int64{4, 3}, []int64{3, 2}, []int64{4, 3}, []int64{4}, Float32, ErrShape},
		"axes":          {[]int64{2, 3}, []int64{4, 3}, []int64{2, 3}, []int64{4, 4}, []int64{4}, Float32, ErrShape},
		"low":           {[]int64{2, 3}, []int64{4, 3}, []int64{3, 2}, []int64{4, 2}, []int64{4}, Float32, ErrShape},
		"half":          {[]int64{2, 3}, []int64{4, 3}, []int64{3, 2}, []int64{4, 3}, []int64{3}, Float32, ErrShape},
		"no rows":       {[]int64{2, 3}, []int64{0, 3}, []int64{3, 2}, []int64{0, 3}, []int64{0}, Float32, ErrShape},
		"nobody":        {[]int64{0, 3}, []int64{4, 3}, []int64{3, 2}, []int64{4, 3}, []int64{4}, Float32, ErrShape},
		"doubles":       {[]int64{2, 3}, []int64{4, 3}, []int64{3, 2}, []int64{4, 3}, []int64{4}, Float64, ErrDType},
	} {
		require.ErrorIs(t, Run(t.Context(), CPU, Evaluation, func(s *Scope) error {
			d, at := s.Nearest(s.Full(1, c.dt, c.q...), s.Zeros(c.bank...), s.Zeros(c.axes...), s.Zeros(c.low...), s.Zeros(c.half...), true)
			require.False(t, d.Valid() || at.Valid())
			return s.Err()
		}), c.want, name)
	}
}
