package metrics

import "fmt"

// AveragePrecision is the area under the precision-recall curve as a step function,
// from 0 to 1: the sum over the distinct scores, falling, of the recall that a
// threshold there adds, times the precision at that threshold. Nothing is
// interpolated; the value is that of scikit-learn's average_precision_score. A
// random order gives about the fraction of positives, not one half.
//
// Arguments, errors and cost are those of AUROC; in particular a set of positives
// only is refused, although its average precision would be 1 by any scores.
func AveragePrecision(scores []float64, positive []bool) (float64, error) {
	pos, neg, err := split(scores, positive)
	if err != nil {
		return 0, fmt.Errorf("metrics: average precision: %w", err)
	}
	s := steps{pos: uint64(len(pos)), neg: uint64(len(neg)), positives: uint64(len(pos))}
	merge(pos, neg, func(_ float64, p, n int) { s.add(uint64(p), uint64(n)) })
	return s.value(), nil
}

// steps adds up average precision over groups of equal score, rising. pos and neg
// are what is at or above the group that comes next.
type steps struct {
	pos, neg, positives uint64
	sum                 compensated // positives times precision
	low, high           compensated // the same, had the group's members any other order
	bounds              bool        // whether low and high are wanted
}

func (s *steps) add(p, n uint64) {
	if p > 0 {
		tp, fp := float64(s.pos), float64(s.neg)
		s.sum.add(float64(p) * (tp / (tp + fp)))
		if s.bounds {
			// Best: all positives of the group come before its negatives, in one step.
			s.high.add(float64(p) * (tp / (tp + float64(s.neg-n))))
			// Worst: all come after, one by one.
			for i := range p {
				t := float64(s.pos - i)
				s.low.add(t / (t + fp))
			}
		}
	}
	s.pos -= p
	s.neg -= n
}

func (s *steps) value() float64 { return s.sum.value() / float64(s.positives) }

// bound is how far the value can be from the truth if the members of a group are
// not really equal.
func (s *steps) bound() float64 {
	return max(s.high.value()-s.sum.value(), s.sum.value()-s.low.value()) / float64(s.positives)
}

// compensated is a sum that carries along what rounding took from it.
//
// Source: Knuth, "The Art of Computer Programming", volume 2, section 4.2.2, theorem B.
type compensated struct{ sum, lost float64 }

func (c *compensated) add(x float64) {
	t := c.sum + x
	y := t - c.sum
	c.lost += (c.sum - (t - y)) + (x - y)
	c.sum = t
}

func (c *compensated) value() float64 { return c.sum + c.lost }

// PixelAP is the average precision of pixels.
type PixelAP struct {
	AP    float64 // from 0 to 1
	Exact bool    // whether scores were compared at full float32 precision
	Bound float64 // the true value is within AP-Bound and AP+Bound; 0 where Exact
}

// AveragePrecision computes the average precision over all pixels added so far, as
// the function of that name does; more may be added afterwards. Once in bins, the
// scores of a bin count as equal, and Bound says by how much any other order within
// the bins could change the value. Fewer than one positive or one negative is
// ErrOneClass.
func (p *PixelAUROC) AveragePrecision() (PixelAP, error) {
	s := steps{pos: uint64(p.positive), neg: uint64(p.pixels - p.positive), positives: uint64(p.positive), bounds: p.bins != nil}
	if err := p.walk(func(_ uint32, pos, neg uint64) { s.add(pos, neg) }); err != nil {
		return PixelAP{}, fmt.Errorf("metrics: pixel average precision: %w", err)
	}
	r := PixelAP{AP: s.value(), Exact: p.bins == nil}
	if !r.Exact {
		r.Bound = s.bound()
	}
	return r, nil
}
