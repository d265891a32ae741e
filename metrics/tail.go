package metrics

import (
	"fmt"
	"math"
	"slices"
)

// Tail describes the highest scores of good parts: those above From exceed it by what
// has a generalised Pareto distribution, P(excess > x) = (1 + Shape x / Scale)^(-1/Shape).
// It lets a rate be had that is lower than the number of parts can count.
type Tail struct {
	From  float64 // in units of the scores
	Share float64 // of the parts that lie above From
	Used  int     // how many those are
	Scale float64 // in units of the scores, above 0
	Shape float64 // below 1/2; 0 is the exponential distribution, below 0 the scores end at From - Scale/Shape
}

const (
	tailLeast = 20  // excesses that a fit takes at least
	tailShare = 0.1 // of the scores, where those are more
	tailMost  = 4   // the fit takes at most one score in so many
	tailReach = 3   // how far a rate may lie below one part of all: further out the fit says nothing
)

// FitTail fits the tail of the scores of good parts, at least 80. It takes the highest
// tenth of them, but 20 at least.
//
// The fit is by probability-weighted moments, which is steadier than maximum likelihood
// for few values. Where its distribution ends below the highest score, it is made to end
// there.
//
// It returns ErrTooFew if there are fewer scores, ErrNaN or ErrRange if one is not
// finite, and ErrTail if the highest ones are all equal or their tail is so heavy
// (Shape of 1/2 and more) that nothing can be said of it.
//
// Sources: Pickands, "Statistical inference using extreme order statistics", Annals of
// Statistics 3, 1975, for the distribution; Hosking and Wallis, "Parameter and quantile
// estimation for the generalized Pareto distribution", Technometrics 29, 1987, for the
// moments and their variance; Dupuis and Tsao, "A hybrid estimator for generalized
// Pareto and extreme-value distributions", Communications in Statistics 27, 1998, for
// the end.
func FitTail(good []float64) (Tail, error) {
	sorted, err := finiteSorted(good)
	if err == nil {
		var t Tail
		if t, err = fitTail(sorted); err == nil {
			return t, nil
		}
	}
	return Tail{}, fmt.Errorf("metrics: fit tail: %w", err)
}

// fitTail is FitTail of a rising list of finite scores.
func fitTail(good []float64) (Tail, error) {
	n := len(good)
	m := max(tailLeast, int(tailShare*float64(n)))
	if n < tailMost*m {
		return Tail{}, fmt.Errorf("%w: %d good parts, the fit of a tail takes %d or more", ErrTooFew, n, tailMost*tailLeast)
	}
	t := Tail{From: good[n-1-m], Share: float64(m) / float64(n), Used: m}
	var a0, a1 compensated // E[x] and E[x (1 - F(x))]
	for i, s := range good[n-m:] {
		x := s - t.From
		a0.add(x)
		a1.add(x * float64(m-1-i) / float64(m-1))
	}
	mean, weighted := a0.value()/float64(m), a1.value()/float64(m)
	top := good[n-1] - t.From
	if !(mean > 0) || !(mean-2*weighted > 0) || math.IsInf(mean, 1) {
		return Tail{}, fmt.Errorf("%w: the %d highest scores of good parts are from %v to %v", ErrTail, m, t.From, good[n-1])
	}
	t.Scale = 2 * mean * weighted / (mean - 2*weighted)
	t.Shape = 2 - mean/(mean-2*weighted)
	if t.Shape < 0 && -t.Scale/t.Shape < top {
		t.Shape = -t.Scale / top
	}
	if !(t.Shape < 0.5) {
		return Tail{}, fmt.Errorf("%w: the shape is %.2f, want below 0.5; some scores of good parts lie far above the others: look at these parts", ErrTail, t.Shape)
	}
	return t, nil
}

// Threshold returns the score that good parts exceed at a rate, above 0 and below
// Share. It returns ErrRange for other rates.
func (t Tail) Threshold(rate float64) (float64, error) {
	if !(rate > 0 && rate < t.Share) {
		return 0, fmt.Errorf("metrics: threshold of tail: %w: rate is %g, the tail has those below %g", ErrRange, rate, t.Share)
	}
	return t.threshold(rate), nil
}

func (t Tail) threshold(rate float64) float64 {
	y := math.Log(t.Share / rate)
	if t.Shape == 0 {
		return t.From + t.Scale*y
	}
	return t.From + t.Scale*math.Expm1(t.Shape*y)/t.Shape
}

// rateSpread is the standard error of the logarithm of the true rate at
// threshold(rate): the variance of the three estimates, carried over by the
// derivatives of the rate's logarithm.
func (t Tail) rateSpread(rate float64) float64 {
	k, m := -t.Shape, float64(t.Used) // Hosking and Wallis call k what is -Shape here
	k = min(k, 0.5)                   // beyond, the distribution has no tail to speak of
	c := 1 / (m * (1 + 2*k) * (3 + 2*k))
	scale := c * (7 + 18*k + 11*k*k + 2*k*k*k) // of the scale's logarithm
	both := c * (2 + k) * (2 + 6*k + 7*k*k + 2*k*k*k)
	shape := c * (1 + k) * (2 + k) * (2 + k) * (1 + k + 2*k*k)
	share := (1 - t.Share) / m

	// log rate = log share + log(1 - k x/scale)/k, and 1 - k x/scale = exp(-k y)
	y := math.Log(t.Share / rate)
	dScale, dShape := y, -y*y/2 // for k = 0
	if math.Abs(k) > 1e-6 {
		dScale, dShape = math.Expm1(k*y)/k, (k*y-math.Expm1(k*y))/(k*k)
	}
	return math.Sqrt(share + dScale*dScale*scale + 2*dScale*dShape*both + dShape*dShape*shape)
}

// finiteSorted returns a rising copy of scores that are finite.
func finiteSorted(scores []float64) ([]float64, error) {
	for i, s := range scores {
		if err := checkFinite(s); err != nil {
			return nil, fmt.Errorf("number %d of %d: %w", i, len(scores), err)
		}
	}
	return slices.Sorted(slices.Values(scores)), nil
}
