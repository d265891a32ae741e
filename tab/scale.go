package tab

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gotab/gotab/backbone"
)

// ScaleConfig says how [ChannelScales] weighs channels. Start from [DefaultScale].
type ScaleConfig struct {
	// Twins is the power, 0 to 2, with which what twins move weighs: with 1 the
	// variance of a channel is in proportion to phi, with 0 phi is not looked at.
	Twins float64
	// Deviation is the power, 0 to 2, with which channels are brought to one deviation:
	// with 1 all are the same on good parts, with 0 they stay.
	Deviation float64
	// Limit bounds factors to 1/Limit to Limit, 1 to 1000, before the stage's mean
	// variance is put back.
	Limit float64
	// Ridge is added to variances, as a share of the stage's mean one, > 0.
	Ridge float64
}

// DefaultScale returns powers of a half, the middle of what is sensible, a limit of 4
// and a ridge of 0.1.
func DefaultScale() ScaleConfig { return ScaleConfig{Twins: 0.5, Deviation: 0.5, Limit: 4, Ridge: 0.1} }

// ParseScale is [DefaultScale] with the powers Twins and Deviation of a text with a comma between them, such as "0.5,0.5". Other
// texts, and powers out of their ranges, are an error that wraps [ErrConfig].
func ParseScale(text string) (ScaleConfig, error) {
	cfg := DefaultScale()
	a, b, ok := strings.Cut(text, ",")
	var err error
	if cfg.Twins, err = strconv.ParseFloat(strings.TrimSpace(a), 64); err == nil && ok {
		cfg.Deviation, err = strconv.ParseFloat(strings.TrimSpace(b), 64)
	}
	if !ok || err != nil {
		return ScaleConfig{}, fmt.Errorf("tab: scale: %w: %q, want two numbers with a comma, such as 0.5,0.5", ErrConfig, text)
	}
	return cfg, cfg.Validate()
}

// Validate checks the ranges.
func (c ScaleConfig) Validate() error {
	fault := func(field string, value float64, want string) error {
		return fmt.Errorf("tab: ScaleConfig.%s is %g: %w: want %s", field, value, ErrConfig, want)
	}
	switch {
	case !(c.Twins >= 0 && c.Twins <= 2):
		return fault("Twins", c.Twins, "0 to 2")
	case !(c.Deviation >= 0 && c.Deviation <= 2):
		return fault("Deviation", c.Deviation, "0 to 2")
	case !(c.Limit >= 1 && c.Limit <= 1000):
		return fault("Limit", c.Limit, "1 to 1000")
	case !(c.Ridge > 0 && c.Ridge <= 1000):
		return fault("Ridge", c.Ridge, "> 0 and at most 1000")
	}
	return nil
}

// StageScale is a factor for each channel of a stage, and what it was made of.
type StageScale struct {
	Layer backbone.Layer
	// Scale is what ResNet.ScaleChannels takes.
	Scale []float32
	// Ratio is phi, how far twins move the channel against the spread of good parts;
	// Deviation is that of good parts. Both are geometric means over products.
	Ratio, Deviation []float64
}

// ChannelScales makes factors for the channels of each stage from what twins and good
// parts of some products do to them:
//
//	s = clip((phi / geometric mean of phi)^(Twins/2) (median of sd / sd)^Deviation, 1/Limit, Limit) f
//
// with phi = Moved / (Spread + e) and sd^2 = Spread + e of the channel, e = Ridge times
// the mean variance of the stage. Of several products phi and sd are geometric means. f gives the stage the
// mean variance that it had (of Spread, for several products of their mean), so that what adds to
// variances, as PaDiM does, adds the same share. A channel that neither good parts nor
// twins change at all gets the factor f.
//
// Detectors that compare features by their lengths (PatchCore, RD4AD, SimpleNet) then
// look more at channels that damage moves; PaDiM, which whitens, feels it through what
// it adds to variances. [backbone.ResNet.ScaleChannels] puts the factors into a network without
// changing what its later stages compute. All products hold the same layers; else, and where there is
// none, the error is ErrConfig.
func ChannelScales(products []ProductChannels, cfg ScaleConfig) ([]StageScale, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(products) == 0 {
		return nil, fmt.Errorf("tab: channel scales: %w: there is no product", ErrConfig)
	}
	for _, p := range products {
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("tab: channel scales: %w", err)
		}
		if first := products[0]; !slices.Equal(p.Layers, first.Layers) || !slices.Equal(p.Widths, first.Widths) {
			return nil, fmt.Errorf("tab: channel scales: %w: %q has %v of %v channels, %q has %v of %v", ErrConfig, p.Class, p.Layers, p.Widths, first.Class, first.Layers, first.Widths)
		}
	}
	var out []StageScale
	at := 0
	for i, l := range products[0].Layers {
		s, err := stageScale(products, at, products[0].Widths[i], cfg)
		if err != nil {
			return nil, fmt.Errorf("tab: channel scales of %s: %w", l, err)
		}
		s.Layer = l
		out = append(out, s)
		at += products[0].Widths[i]
	}
	return out, nil
}

// leastRatio is the share of the largest phi below which no channel's falls, so that
// one that twins never move does not make the mean of logarithms infinite.
const leastRatio = 1e-6

// stageScale makes the factors of the n channels from first on.
func stageScale(products []ProductChannels, first, n int, cfg ScaleConfig) (StageScale, error) {
	out := StageScale{Scale: make([]float32, n), Ratio: make([]float64, n), Deviation: make([]float64, n)}
	variance, moved := make([]float64, n), make([]float64, n)
	for _, p := range products {
		phi, sd, err := p.stage(first, n, cfg.Ridge, variance, moved)
		if err != nil {
			return out, err
		}
		for c := range n {
			out.Ratio[c] += math.Log(phi[c]) / float64(len(products))
			out.Deviation[c] += math.Log(sd[c]) / float64(len(products))
		}
	}
	alive, mean := 0, 0.0
	var deviations []float64
	for c := range n {
		if variance[c] == 0 && moved[c] == 0 {
			continue
		}
		alive++
		mean += out.Ratio[c]
		deviations = append(deviations, out.Deviation[c])
	}
	slices.Sort(deviations)
	mean /= float64(alive)
	middle := (deviations[(alive-1)/2] + deviations[alive/2]) / 2
	before, after := 0.0, 0.0
	s := make([]float64, n)
	for c := range n {
		s[c] = 1
		if variance[c] > 0 || moved[c] > 0 {
			s[c] = math.Exp(cfg.Twins/2*(out.Ratio[c]-mean) + cfg.Deviation*(middle-out.Deviation[c]))
		}
		s[c] = min(max(s[c], 1/cfg.Limit), cfg.Limit)
		before, after = before+variance[c], after+variance[c]*s[c]*s[c]
	}
	f := math.Sqrt(before / after)
	for c := range n {
		out.Scale[c] = float32(s[c] * f)
		out.Ratio[c], out.Deviation[c] = math.Exp(out.Ratio[c]), math.Exp(out.Deviation[c])
	}
	return out, nil
}

// stage returns phi and sd of the n channels from first on, and adds their variances
// and what twins move to sums over products.
func (p ProductChannels) stage(first, n int, ridge float64, variance, moved []float64) (phi, sd []float64, err error) {
	all := 0
	for _, w := range p.Widths {
		all += w
	}
	total, most := 0.0, 0.0
	for c := first; c < first+n; c++ {
		total += p.Spread[c*all+c]
	}
	if !(total > 0) || math.IsInf(total, 0) {
		return nil, nil, fmt.Errorf("%w: good parts of %q do not differ in any of its channels", ErrConfig, p.Class)
	}
	e := ridge * total / float64(n)
	for c := first; c < first+n; c++ {
		v, m := p.Spread[c*all+c], p.Moved[c*all+c]
		variance[c-first] += v
		moved[c-first] += m
		phi, sd = append(phi, m/(v+e)), append(sd, math.Sqrt(v+e))
		most = max(most, m/(v+e))
	}
	if !(most > 0) || math.IsInf(most, 0) {
		return nil, nil, fmt.Errorf("%w: twins of %q move none of its channels", ErrConfig, p.Class)
	}
	for c := range phi {
		phi[c] = max(phi[c], leastRatio*most)
	}
	return phi, sd, nil
}
