package tab

import (
	"fmt"
	"math"
)

// Schedule is the course of the learning rate over the epochs. The rate is that
// of the epoch's start unless PerStep is set.
type Schedule struct {
	// Cosine lets the rate fall from 1 to Min as (1 + cos(pi t/T))/2; without it
	// the rate is constant.
	Cosine bool
	// Period is T in epochs; 0 means the number of epochs of the run. The released
	// code sets it to the number of iterations of an epoch by mistake, so that the
	// rate rises again after that many epochs, or never falls to zero.
	Period int
	// Min is the smallest factor, 0 to 1.
	Min float64
	// Warmup is the number of epochs in which the rate climbs linearly from zero,
	// before the rest of the course; step by step, with or without PerStep.
	Warmup int
	// WarmupSteps is the number of steps in which the rate climbs linearly from
	// zero, as a factor on the rest of the course, which begins with the first step.
	WarmupSteps int
	// PerStep lets t go on from step to step instead of from epoch to epoch.
	PerStep bool
}

// Validate checks the ranges.
func (s Schedule) Validate() error {
	switch {
	case s.Period < 0:
		return bad("Schedule.Period", s.Period, "0 or more")
	case s.Warmup < 0:
		return bad("Schedule.Warmup", s.Warmup, "0 or more")
	case s.WarmupSteps < 0:
		return bad("Schedule.WarmupSteps", s.WarmupSteps, "0 or more")
	case !(s.Min >= 0 && s.Min <= 1):
		return bad("Schedule.Min", s.Min, "0 to 1")
	}
	return nil
}

// factor returns what multiplies the learning rate in step i of n of an epoch,
// in a run of the given number of epochs.
func (s Schedule) factor(epoch, i, n, epochs int) float64 {
	t := float64(epoch)
	if epoch < s.Warmup {
		return (t*float64(n) + float64(i+1)) / float64(s.Warmup*n)
	}
	if !s.Cosine {
		return 1
	}
	if s.PerStep {
		t += float64(i) / float64(n)
	}
	period := float64(s.Period)
	if s.Period == 0 {
		period = float64(max(epochs-s.Warmup, 1))
	}
	return s.Min + (1-s.Min)*(1+math.Cos(math.Pi*(t-float64(s.Warmup))/period))/2
}

func (s Schedule) String() string {
	if !s.Cosine {
		return fmt.Sprintf("constant, warm-up %d", s.Warmup)
	}
	return fmt.Sprintf("cosine over %d epochs (0: all) to %g, warm-up %d", s.Period, s.Min, s.Warmup)
}
