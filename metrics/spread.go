package metrics

import (
	"fmt"
	"math"
)

// Spread is a value over repetitions, such as seeds or support sets.
type Spread struct {
	N         int     // repetitions
	Mean      float64 // unweighted
	Deviation float64 // of the sample, with N-1; 0 where N is 1 and none is known
	Min, Max  float64
}

// OverSeeds returns mean and deviation of one value for each seed. The deviation
// divides by N-1, because the seeds are a sample of all seeds (numpy's std divides by N and
// comes out smaller: by 18 % with three). No value is ErrEmpty, one that is NaN is ErrNaN, an
// infinite one ErrRange.
func OverSeeds(values []float64) (Spread, error) {
	if len(values) == 0 {
		return Spread{}, fmt.Errorf("metrics: over seeds: %w", ErrEmpty)
	}
	s := Spread{N: len(values), Min: values[0], Max: values[0]}
	var sum compensated
	for i, v := range values {
		if err := checkFinite(v); err != nil {
			return Spread{}, fmt.Errorf("metrics: over seeds: number %d of %d: %w", i, len(values), err)
		}
		sum.add(v)
		s.Min, s.Max = math.Min(s.Min, v), math.Max(s.Max, v)
	}
	s.Mean = sum.value() / float64(s.N)
	if s.N > 1 {
		var squares compensated
		for _, v := range values {
			squares.add((v - s.Mean) * (v - s.Mean))
		}
		s.Deviation = math.Sqrt(squares.value() / float64(s.N-1))
	}
	return s, nil
}

// String gives mean and deviation, such as "0.9876 ± 0.0012 (n = 3)"; of a single
// value no deviation.
func (s Spread) String() string {
	if s.N < 2 {
		return fmt.Sprintf("%.4f (n = %d)", s.Mean, s.N)
	}
	return fmt.Sprintf("%.4f ± %.4f (n = %d)", s.Mean, s.Deviation, s.N)
}
