package metrics

import (
	"fmt"
	"math"
)

// Wilson returns the share of n trials that v successes are, with Wilson's interval
// (JASA 22, 1927), which stays within 0 and 1 and has a length also where v is 0 or
// n. It is for counts, such as defects that escape or images that are named rightly.
//
// n below 1, v outside of 0 to n, or a level outside of 0 to 1 is ErrRange.
func Wilson(v, n int, level float64) (Interval, error) {
	if n < 1 || v < 0 || v > n {
		return Interval{}, fmt.Errorf("metrics: Wilson: %w: %d of %d", ErrRange, v, n)
	}
	if err := checkLevel(level); err != nil {
		return Interval{}, fmt.Errorf("metrics: Wilson: %w", err)
	}
	z := math.Sqrt2 * math.Erfinv(level)
	p, k := float64(v)/float64(n), z*z/float64(n)
	middle, half := (p+k/2)/(1+k), math.Sqrt(k*(p*(1-p)+k/4))/(1+k)
	return Interval{Value: p, Low: min(p, max(0, middle-half)), High: max(p, min(1, middle+half)), Level: level, Method: "Wilson"}, nil
}
