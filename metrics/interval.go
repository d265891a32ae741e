package metrics

import (
	"fmt"
	"math"
)

// Interval is a value with a confidence interval.
type Interval struct {
	Value     float64
	Low, High float64 // Low <= High; of a bootstrap, Value can lie outside
	Level     float64 // of confidence, between 0 and 1, such as 0.95
	Method    string  // how the interval was made, such as "DeLong"
}

// String gives the value with its interval, such as
// "0.9876 [0.9712, 1.0000] (95 % DeLong)".
func (i Interval) String() string {
	return fmt.Sprintf("%.4f [%.4f, %.4f] (%.4g %% %s)", i.Value, i.Low, i.High, 100*i.Level, i.Method)
}

// checkLevel refuses what is no level of confidence, NaN included.
func checkLevel(level float64) error {
	if !(level > 0 && level < 1) {
		return fmt.Errorf("%w: level of confidence is %g, must be between 0 and 1", ErrRange, level)
	}
	return nil
}

// normalQuantile is how many standard deviations to each side of the mean hold the
// fraction level of a normal distribution.
func normalQuantile(level float64) float64 { return math.Sqrt2 * math.Erfinv(level) }
