package testutil

import "math"

// GreedyChoice is PatchCore's greedy choice with every distance by definition.
func GreedyChoice(x [][]float64, count int, starts []int64) []int64 {
	distance := func(a, b []float64) float64 {
		sum := 0.0
		for i := range a {
			sum += (a[i] - b[i]) * (a[i] - b[i])
		}
		return math.Sqrt(sum)
	}
	nearest := make([]float64, len(x))
	for i := range x {
		for _, j := range starts {
			nearest[i] += distance(x[i], x[j]) / float64(len(starts))
		}
	}
	var out []int64
	for len(out) < count {
		far := 0
		for i, d := range nearest {
			if d > nearest[far] {
				far = i
			}
		}
		out = append(out, int64(far))
		for i := range x {
			nearest[i] = min(nearest[i], distance(x[i], x[far]))
		}
	}
	return out
}
