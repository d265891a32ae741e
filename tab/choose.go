package tab

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Rank returns the n channels that twins move most against the spread of good parts,
// each judged by itself: by Moved over Spread plus epsilon, which is what the detector
// adds to variances (PaDiMConfig.Epsilon), the largest first. n is 1 to the number of
// channels, epsilon above 0; else the error is ErrConfig.
func (p ProductChannels) Rank(n int, epsilon float64) ([]int, error) {
	c, err := p.checkChoice(n, epsilon)
	if err != nil {
		return nil, fmt.Errorf("tab: rank: %w", err)
	}
	order := make([]int, c)
	for i := range order {
		order[i] = i
	}
	gain := func(i int) float64 { return p.Moved[i*c+i] / (p.Spread[i*c+i] + epsilon) }
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(gain(b), gain(a)) })
	return order[:n], nil
}

// Choose returns n channels that together move twins far from good parts, in the order
// of the choice. The first is that of Rank; each further one adds most to the mean over
// twins of
//
//	d' (S + epsilon I)^-1 d
//
// on the channels chosen so far, which is the square of what PaDiM calls the distance of a cell, d
// being how far a twin moves it. So a channel that says what others have said already is
// not taken, however far it moves. Taking channels out of S one by one makes a choice
// cost n C*C steps; 100 of 448 channels take less than a second. n and epsilon are as in
// Rank.
func (p ProductChannels) Choose(n int, epsilon float64) ([]int, error) {
	c, err := p.checkChoice(n, epsilon)
	if err != nil {
		return nil, fmt.Errorf("tab: choose: %w", err)
	}
	e := newElimination(p, c, epsilon)
	chosen := make([]int, 0, n)
	for range n {
		best, most := -1, math.Inf(-1)
		for i := range c {
			if g := e.gain(i); !e.out[i] && g > most {
				best, most = i, g
			}
		}
		if best < 0 {
			return nil, fmt.Errorf("tab: choose: %w: after %d channels of %q nothing can be said of the others", ErrConfig, len(chosen), p.Class)
		}
		e.take(best)
		chosen = append(chosen, best)
	}
	return chosen, nil
}

// Retained is the part, 0 to 1, of the mean squared distance of twins from good parts
// that is left where a detector looks at some channels only, each named once. It says
// without a test image how much a choice, or a draw, leaves out. epsilon is as in Rank.
func (p ProductChannels) Retained(channels []int, epsilon float64) (float64, error) {
	c, err := p.checkChoice(len(channels), epsilon)
	if err != nil {
		return 0, fmt.Errorf("tab: retained: %w", err)
	}
	e := newElimination(p, c, epsilon)
	some, all := 0.0, 0.0
	for _, i := range channels {
		if i < 0 || i >= c || e.out[i] {
			return 0, fmt.Errorf("tab: retained: %w: channel %d of %v, want each once and from 0 to %d", ErrConfig, i, channels, c-1)
		}
		some += e.gain(i)
		e.take(i)
	}
	all = some
	for i := range c {
		if !e.out[i] {
			all += e.gain(i)
			e.take(i)
		}
	}
	if !(all > 0) {
		return 0, fmt.Errorf("tab: retained: %w: twins of %q move nothing", ErrConfig, p.Class)
	}
	return some / all, nil
}

// checkChoice returns the number of channels.
func (p ProductChannels) checkChoice(n int, epsilon float64) (int, error) {
	if err := p.check(); err != nil {
		return 0, err
	}
	c := 0
	for _, w := range p.Widths {
		c += w
	}
	switch {
	case n < 1 || n > c:
		return 0, fmt.Errorf("%w: %d of the %d channels of %q", ErrConfig, n, c, p.Class)
	case !(epsilon > 0) || math.IsInf(epsilon, 0):
		return 0, fmt.Errorf("%w: epsilon is %g, want a number above 0", ErrConfig, epsilon)
	}
	return c, nil
}

// elimination holds what is left of spread and displacements when the channels that
// were taken are known: the covariance of the residuals of their regression on those,
// and the second moments of displacements less what the same regression makes of them.
type elimination struct {
	c            int
	spread, move []float64
	out          []bool
}

func newElimination(p ProductChannels, c int, epsilon float64) *elimination {
	e := &elimination{c: c, spread: slices.Clone(p.Spread), move: slices.Clone(p.Moved), out: make([]bool, c)}
	for i := range c {
		e.spread[i*c+i] += epsilon
	}
	return e
}

// gain is what channel i adds to the mean squared distance.
func (e *elimination) gain(i int) float64 { return e.move[i*e.c+i] / e.spread[i*e.c+i] }

// take takes channel i: with k = S_i / S_ii, S loses k k' S_ii, and the moments M become
// (I - k e_i') M (I - e_i k').
func (e *elimination) take(i int) {
	c := e.c
	pivot, moved := e.spread[i*c+i], e.move[i*c+i]
	k, m := make([]float64, c), make([]float64, c)
	for j := range c {
		k[j], m[j] = e.spread[i*c+j]/pivot, e.move[i*c+j]
	}
	e.out[i] = true
	for a := range c {
		if e.out[a] {
			continue // never read again
		}
		for b := range c {
			e.spread[a*c+b] -= k[a] * k[b] * pivot
			e.move[a*c+b] += k[a]*k[b]*moved - k[a]*m[b] - m[a]*k[b]
		}
	}
}
