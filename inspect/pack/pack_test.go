package pack

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

// By default as many images are held back as the rule needs, and no more than half.
func TestHoldout(t *testing.T) {
	kind := func(k metrics.RuleKind, rate float64) metrics.Rule { return metrics.Rule{Kind: k, Rate: rate} }
	for _, c := range []struct {
		rule    metrics.Rule
		holdout float64
		good    int
		want    float64
	}{
		{metrics.Overkill(0.05), 0, 1000, 0.3},
		{metrics.Overkill(0.05), 0, 56, 21.0 / 56},
		{metrics.Overkill(0.05), 0, 20, 0.5},
		{metrics.Overkill(0.05), 0, 0, 0.5},
		{metrics.Overkill(0.01), 0, 250, 101.0 / 250},
		{metrics.Overkill(0), 0, 10, 0.3},
		{kind(metrics.RuleTail, 0.02), 0, 200, 81.0 / 200},
		{kind(metrics.RuleYouden, 0), 0, 10, 0.3},
		{metrics.Overkill(0.05), 0.2, 20, 0.2},
	} {
		p := Default()
		p.Rule, p.Holdout = c.rule, c.holdout
		require.InDelta(t, c.want, p.share(c.good), 1e-12, "%v", c)
	}
}

func TestConfigsThatAreRefused(t *testing.T) {
	for says, set := range map[string]func(*Config){
		"Data and Weights":   func(c *Config) { c.Weights = "" },
		"padim or patchcore": func(c *Config) { c.Detector = "eye" },
		"only padim can":     func(c *Config) { c.Detector, c.ONNX = "patchcore", "m.onnx" },
		"Holdout is 1":       func(c *Config) { c.Holdout = 1 },
	} {
		c := Default()
		c.Data, c.Weights = "d", "w"
		set(&c)
		_, err := Run(t.Context(), c)
		require.ErrorIs(t, err, ErrConfig)
		require.ErrorContains(t, err, says)
	}
	c := Default()
	c.Data, c.Weights, c.Rule.Rate = "d", "w", 2
	require.ErrorIs(t, c.Validate(), metrics.ErrRange)
}
