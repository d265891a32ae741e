package tsne

import (
	"errors"
	"fmt"
	"runtime"
)

var (
	// ErrConfig says that a setting is out of range; the message names it.
	ErrConfig = errors.New("invalid setting")
	// ErrData says that the points cannot be embedded: too few, of different lengths,
	// with values that are not finite, or with too many at one distance.
	ErrData = errors.New("points cannot be embedded")
	// ErrSize says that points or neighbours are more than memory is meant for.
	ErrSize = errors.New("too many points")
)

// Limits of memory.
const (
	maxPoints = 100_000
	maxValues = 1 << 26 // of all points, 512 MB
	maxPairs  = 1 << 23 // of points and their nearest, some 300 MB
	maxIter   = 100_000
)

// Config holds the settings of an embedding. Start from [Default].
type Config struct {
	// Perplexity is how many neighbours count, smoothly: 2 to the power of the entropy
	// of each point's distribution over its neighbours. More than 1, and at most a third
	// of the other points, since so many times 3 nearest are looked at.
	Perplexity float64
	// Theta is the side of a cell divided by its distance below which all points in
	// it are taken as one, 0 to 1. 0 is exact and takes time quadratic in the points. The
	// article divides by the square of the distance, which has no scale; here it is
	// as in Barnes and Hut's own article and in the author's program.
	Theta float64
	// Iterations is the number of steps, 1 to 100,000.
	Iterations int
	// Exaggeration multiplies the affinities in the first ExaggerationIterations
	// steps, so that clusters form; at least 1.
	Exaggeration           float64
	ExaggerationIterations int
	// LearningRate multiplies the gradient without its factor 4, as the author's
	// program has it; more than 0.
	LearningRate float64
	// Momentum of the first MomentumIterations steps, and after them; 0 to below 1.
	Momentum, FinalMomentum float64
	MomentumIterations      int
	// Seed determines where the points begin.
	Seed uint64
	// Workers is the number of goroutines, at least 1. It never changes a result.
	Workers int
}

// Default returns the settings of section 5 of the 2014 article: perplexity 30, theta
// 0.5, 1,000 steps at rate 200, exaggeration 12 in the first 250, momentum 0.5 and
// then 0.8.
func Default() Config {
	return Config{
		Perplexity: 30, Theta: 0.5, Iterations: 1000,
		Exaggeration: 12, ExaggerationIterations: 250, LearningRate: 200,
		Momentum: 0.5, FinalMomentum: 0.8, MomentumIterations: 250,
		Seed: 1, Workers: runtime.GOMAXPROCS(0),
	}
}

// Validate returns ErrConfig with the name of the field that is out of range.
func (c Config) Validate() error {
	bad := func(field string, value any, want string) error {
		return fmt.Errorf("tsne: %w: %s is %v, want %s", ErrConfig, field, value, want)
	}
	switch { // in a form that NaN fails
	case !(c.Perplexity > 1 && c.Perplexity <= maxPoints):
		return bad("Perplexity", c.Perplexity, "more than 1")
	case !(c.Theta >= 0 && c.Theta <= 1):
		return bad("Theta", c.Theta, "0 to 1")
	case c.Iterations < 1 || c.Iterations > maxIter:
		return bad("Iterations", c.Iterations, fmt.Sprintf("1 to %d", maxIter))
	case !(c.Exaggeration >= 1 && c.Exaggeration <= 1000):
		return bad("Exaggeration", c.Exaggeration, "1 to 1000")
	case c.ExaggerationIterations < 0:
		return bad("ExaggerationIterations", c.ExaggerationIterations, "0 or more")
	case !(c.LearningRate > 0 && c.LearningRate <= 1e6):
		return bad("LearningRate", c.LearningRate, "more than 0, at most 1e6")
	case !(c.Momentum >= 0 && c.Momentum < 1):
		return bad("Momentum", c.Momentum, "0 to below 1")
	case !(c.FinalMomentum >= 0 && c.FinalMomentum < 1):
		return bad("FinalMomentum", c.FinalMomentum, "0 to below 1")
	case c.MomentumIterations < 0:
		return bad("MomentumIterations", c.MomentumIterations, "0 or more")
	case c.Workers < 1:
		return bad("Workers", c.Workers, "1 or more")
	}
	return nil
}
