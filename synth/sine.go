package synth

import "math"

// sineKind is the way a sine transform of one length is computed.
type sineKind int

const (
	sineByTable   sineKind = iota // products with two half-size tables; best for short rows
	sineByFourier                 // through a fast Fourier transform of any length
)

// sine is the sine transform (DST-I) of rows of n values,
//
//	F[k] = sum over j of f[j]*sin(pi*j*k/(n+1)),  j, k = 1..n.
//
// scale is what makes inverse undo forward. The order of frequencies is the kind's own; eigen holds, in that order, the
// eigenvalue 2cos(pi*k/(n+1)) - 4. A sine is immutable and safe for concurrent use.
//
// Both kinds are this package's own: measured against gonum's sine transform, which is quadratic in the largest prime
// factor of n+1 (0.9 ms a row at n = 1020), the tables win up to n of 100 or so, and above that the Fourier transform is
// as fast at smooth lengths and up to 37 times faster at others.
type sine struct {
	n     int
	scale float64
	cost  float64 // nanoseconds a row, estimated
	room  int     // work values that forward and inverse want
	bytes int     // held in memory
	eigen []float64

	odd, even   []float64 // by table: rows are frequencies
	oddT, evenT []float64 // by table: rows are positions
	fourier     *sineFourier
}

// newSine prepares the transform of n values the given way.
func newSine(n int, kind sineKind) *sine {
	s := &sine{n: n, scale: 2 / float64(n+1), cost: sineCost(n, kind), eigen: make([]float64, n)}
	s.bytes = 8 * n
	no := n
	if kind == sineByTable {
		s.tables()
		no = (n + 1) / 2
		s.bytes += 16 * (len(s.odd) + len(s.even))
	} else {
		s.fourier = newSineFourier(n + 1)
		s.bytes += s.fourier.bytes()
	}
	for i := range s.eigen {
		k := i + 1
		if kind == sineByTable { // odd frequencies first
			if k = 2*i + 1; i >= no {
				k = 2 * (i - no + 1)
			}
		}
		s.eigen[i] = 2*math.Cos(math.Pi*float64(k)/float64(n+1)) - 4
	}
	return s
}

// forward replaces each of the rows in q by its transform, inverse the other way but for the scale.
func (s *sine) forward(q []float64, rows int, room []float64) {
	if s.fourier != nil {
		s.fourier.rows(q, rows, s.n)
	} else {
		s.tableForward(q, rows, room)
	}
}

func (s *sine) inverse(q []float64, rows int, room []float64) {
	if s.fourier != nil {
		s.fourier.rows(q, rows, s.n) // DST-I is its own inverse but for the scale
	} else {
		s.tableInverse(q, rows, room)
	}
}

// sineCost estimates the nanoseconds of one row; fitted to BenchmarkSine.
func sineCost(n int, kind sineKind) float64 {
	if kind == sineByTable {
		return 0.225*float64(n*n) + 1.5*float64(n)
	}
	m := fftLength(n + 1)
	if m == n+1 {
		return 0.55*float64(m)*math.Log2(float64(m)) + 4*float64(n)
	}
	m = fftLength(2*n + 1)
	return 1.1*float64(m)*math.Log2(float64(m)) + 2*float64(n)
}

// cheapestSine chooses how to compute the transform of n values.
func cheapestSine(n int) sineKind {
	if sineCost(n, sineByTable) <= sineCost(n, sineByFourier) {
		return sineByTable
	}
	return sineByFourier
}
