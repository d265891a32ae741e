package metrics_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

// rules are one of each kind.
func rules() []metrics.Rule {
	return []metrics.Rule{metrics.Overkill(0.05), metrics.Conformal(0.05), metrics.TailOverkill(0.01),
		metrics.Escape(0.1), metrics.Youden(), metrics.BestF1()}
}

// twoKinds draws scores of good parts and of defects, some of them equal.
func twoKinds(good, defects int, rng *rand.Rand) (g, d []float64) {
	for range good {
		g = append(g, math.Round(20*rng.NormFloat64())/20)
	}
	for range defects {
		d = append(d, math.Round(20*(rng.NormFloat64()+2))/20)
	}
	return g, d
}

// Each kind is what counting at every possible threshold gives.
func TestRulesAgainstAllThresholds(t *testing.T) {
	rng := rand.New(rand.NewPCG(51, 1))
	for range 40 {
		good, bad := twoKinds(20+rng.IntN(30), 10+rng.IntN(20), rng)
		scores := append(slices.Clone(good), bad...)
		labels := make([]bool, len(scores))
		for i := range bad {
			labels[len(good)+i] = true
		}
		at := func(r metrics.Rule) metrics.OperatingPoint {
			p, err := r.Choose(good, bad)
			require.NoError(t, err)
			want, err := metrics.CutAt(scores, labels, p.Cut.Threshold)
			require.NoError(t, err)
			require.Equal(t, want, p.Cut)
			require.Equal(t, r, p.Rule)
			return p
		}
		overkill, err := metrics.CutForOverkill(scores, labels, 0.05)
		require.NoError(t, err)
		require.Equal(t, overkill, at(metrics.Overkill(0.05)).Cut)
		escape, err := metrics.CutForEscape(scores, labels, 0.1)
		require.NoError(t, err)
		require.Equal(t, escape, at(metrics.Escape(0.1)).Cut)
		conformal, err := metrics.ConformalThreshold(good, 0.05)
		require.NoError(t, err)
		require.Equal(t, conformal, at(metrics.Conformal(0.05)).Cut.Threshold)
		_, f1, err := metrics.F1Max(scores, labels)
		require.NoError(t, err)
		require.Equal(t, f1, at(metrics.BestF1()).Cut.Threshold)
		youden := at(metrics.Youden())
		index := func(c metrics.Cut) float64 { return 1 - c.EscapeRate() - c.OverkillRate() }
		for _, s := range scores {
			c, err := metrics.CutAt(scores, labels, s)
			require.NoError(t, err)
			require.LessOrEqual(t, index(c), index(youden.Cut)+1e-12)
			if index(c) > index(youden.Cut)-1e-12 {
				require.GreaterOrEqual(t, s, youden.Cut.Threshold, "the lowest of several")
			}
		}
	}
}

// Scores are left as they are, in any order.
func TestChooseLeavesItsArguments(t *testing.T) {
	good, bad := twoKinds(100, 20, rand.New(rand.NewPCG(52, 1)))
	g, b := slices.Clone(good), slices.Clone(bad)
	for _, r := range rules() {
		p, err := r.Choose(g, b)
		require.NoError(t, err)
		require.Equal(t, good, g)
		require.Equal(t, bad, b)
		q, err := r.Choose(slices.Sorted(slices.Values(good)), slices.Sorted(slices.Values(bad)))
		require.NoError(t, err)
		require.Equal(t, q, p)
	}
}

// Thirty parts cannot promise 0.1 %, and the sentence says what can be said.
func TestTooFewPartsAreRefused(t *testing.T) {
	good, bad := twoKinds(30, 12, rand.New(rand.NewPCG(53, 1)))
	for _, c := range []struct {
		rule metrics.Rule
		want string
	}{
		{metrics.Overkill(0.001), "30 good parts cannot promise overkill of at most 0.1 %: it takes 1000 or more; with none of the 30 rejected the true rate may still be 11.6 % (95 % Clopper-Pearson)"},
		{metrics.Conformal(0.001), "30 good parts, a false alarm in 0.1 % takes 999 or more"},
		{metrics.TailOverkill(0.001), "the tail of 30 good parts cannot be carried on to 0.1 %: it takes 334 or more"},
		{metrics.TailOverkill(0.05), "30 good parts, the fit of a tail takes 80 or more"},
		{metrics.Escape(0.05), "12 defects cannot promise escape of at most 5 %: it takes 20 or more; with none of the 12 missed the true rate may still be 26.5 %"},
	} {
		p, err := c.rule.Choose(good, bad)
		require.ErrorIs(t, err, metrics.ErrTooFew)
		require.ErrorContains(t, err, c.want)
		require.Zero(t, p)
	}
	// The number that the message asks for is the smallest that will do.
	for _, rate := range []float64{0.5, 0.3, 0.29, 1.0 / 3, 0.07, 0.05, 0.01, 0.003} {
		for _, r := range []metrics.Rule{metrics.Overkill(rate), metrics.Conformal(rate), metrics.Escape(rate)} {
			_, err := r.Choose(good[:1], bad[:1])
			if rate == 0.5 && r.Kind == metrics.RuleConformal { // one is enough
				require.NoError(t, err)
				continue
			}
			require.ErrorIs(t, err, metrics.ErrTooFew)
			var need int
			_, after, ok := strings.Cut(err.Error(), "takes ")
			require.True(t, ok)
			_, err = fmt.Sscanf(after, "%d or more", &need)
			require.NoError(t, err)
			many := make([]float64, need)
			_, err = r.Choose(many, many)
			require.NoError(t, err, "%v with %d", r, need)
			_, err = r.Choose(many[1:], many[1:])
			if need > 1 {
				require.Error(t, err, "%v with %d", r, need-1)
			}
		}
	}
	// Rate 0 speaks of the parts at hand alone.
	p, err := metrics.Overkill(0).Choose(good, nil)
	require.NoError(t, err)
	require.Zero(t, p.Cut.Overkilled)
	require.InDelta(t, 0.1157, p.Overkill.High, 1e-4)
	p, err = metrics.Escape(0).Choose(good, bad)
	require.NoError(t, err)
	require.Zero(t, p.Cut.Missed)
	require.InDelta(t, 0.2646, p.Escape.High, 1e-4)
}

func TestRuleRefusals(t *testing.T) {
	good, bad := twoKinds(100, 12, rand.New(rand.NewPCG(54, 1)))
	for _, r := range rules() {
		_, err := r.Choose(nil, bad)
		require.ErrorIs(t, err, metrics.ErrEmpty)
		_, err = r.Choose(append([]float64{math.NaN()}, good...), bad)
		require.ErrorIs(t, err, metrics.ErrNaN)
		require.ErrorContains(t, err, "good parts: number 0")
		_, err = r.Choose(good, append([]float64{math.Inf(1)}, bad...))
		require.ErrorIs(t, err, metrics.ErrRange)
		require.ErrorContains(t, err, "defects: number 0")
		_, err = r.Choose(good, nil)
		if r.NeedsDefects() {
			require.ErrorIs(t, err, metrics.ErrOneClass)
		} else {
			require.NoError(t, err)
		}
		for _, rate := range []float64{-0.1, 1, math.NaN(), math.Inf(1)} {
			broken := r
			broken.Rate = rate
			require.ErrorIs(t, broken.Validate(), metrics.ErrRange)
			_, err = broken.Choose(good, bad)
			require.ErrorIs(t, err, metrics.ErrRange)
		}
		for _, level := range []float64{0, 1, math.NaN()} {
			broken := r
			broken.Level = level
			require.ErrorIs(t, broken.Validate(), metrics.ErrRange)
		}
	}
	for _, r := range []metrics.Rule{{}, {Kind: 7, Level: 0.9}, {Kind: metrics.RuleYouden, Rate: 0.1, Level: 0.9}, metrics.Conformal(0), metrics.TailOverkill(0)} {
		require.ErrorIs(t, r.Validate(), metrics.ErrRange)
	}
	_, err := metrics.TailOverkill(0.5).Choose(good, nil)
	require.ErrorIs(t, err, metrics.ErrRange)
	require.ErrorContains(t, err, "with rule overkill")
	_, err = metrics.Overkill(0).Choose([]float64{math.MaxFloat64}, nil)
	require.ErrorIs(t, err, metrics.ErrRange, "there is no number above")
}

// Youden's index and F1 are taken where these parts look best: there is no interval.
func TestIntervalsOfRules(t *testing.T) {
	good, bad := twoKinds(100, 30, rand.New(rand.NewPCG(55, 1)))
	for _, r := range rules() {
		p, err := r.Choose(good, bad)
		require.NoError(t, err)
		honest := r.Kind != metrics.RuleYouden && r.Kind != metrics.RuleF1
		for _, i := range []metrics.Interval{p.Overkill, p.Escape} {
			require.Equal(t, honest, i.Level > 0)
			require.LessOrEqual(t, i.Low, i.Value)
			require.LessOrEqual(t, i.Value, i.High)
			require.LessOrEqual(t, i.High, 1.0)
		}
		require.Equal(t, r.Kind == metrics.RuleTail, p.Tail != nil)
		require.Equal(t, honest, strings.Contains(p.String(), "true rate up to"))
		alone, err := r.Choose(good, nil)
		if r.NeedsDefects() {
			continue
		}
		require.NoError(t, err)
		require.Equal(t, p.Cut.Threshold, alone.Cut.Threshold, "defects do not move it")
		require.Equal(t, p.Overkill, alone.Overkill)
		require.Zero(t, alone.Escape)
	}
	p, err := metrics.Overkill(0.05).Choose(good, bad[:2])
	require.NoError(t, err)
	require.Contains(t, p.String(), "(overkill of at most 5 %): 5 of 100 good parts rejected, true rate up to 11.3 % (Clopper-Pearson); ")
}

// Where scores are equal fewer are rejected than may be, and more of the parts to come
// may be than of these: the interval is that of those that may.
func TestIntervalsWithEqualScores(t *testing.T) {
	good := []float64{0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5}
	two, err := metrics.ClopperPearson(2, 20, 0.95)
	require.NoError(t, err)
	for _, rule := range []metrics.Rule{metrics.Overkill(0.1), metrics.Conformal(3.0 / 21)} {
		p, err := rule.Choose(good, nil)
		require.NoError(t, err)
		require.Zero(t, p.Cut.Overkilled)
		require.Zero(t, p.Overkill.Value)
		require.Equal(t, two.High, p.Overkill.High)
	}
	p, err := metrics.Escape(0.1).Choose([]float64{1}, []float64{5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7})
	require.NoError(t, err)
	require.Zero(t, p.Cut.Missed)
	require.Equal(t, two.High, p.Escape.High)
}

// What the tail promises is never worse than what counting does.
func TestTailPromisesNoLessThanCounting(t *testing.T) {
	rng := rand.New(rand.NewPCG(58, 1))
	fit, count := 0, 0
	for range 100 {
		good, _ := twoKinds(200, 0, rng)
		p, err := metrics.TailOverkill(0.004).Choose(good, nil)
		require.NoError(t, err)
		counted, err := metrics.ClopperPearson(p.Cut.Overkilled, 200, 0.95)
		require.NoError(t, err)
		require.Zero(t, p.Overkill.Low)
		require.Equal(t, 0.004, p.Overkill.Value)
		require.LessOrEqual(t, p.Overkill.High, counted.High)
		if p.Overkill.High < counted.High {
			fit++
		} else {
			count++
		}
	}
	require.Positive(t, fit)
	require.Positive(t, count)
}

func TestRulesAsJSON(t *testing.T) {
	for _, r := range rules() {
		text, err := json.Marshal(r)
		require.NoError(t, err)
		var back metrics.Rule
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, r, back)
		kind, err := metrics.ParseRuleKind(r.Kind.String())
		require.NoError(t, err)
		require.Equal(t, r.Kind, kind)
	}
	text, err := json.Marshal(metrics.Overkill(0.05))
	require.NoError(t, err)
	require.JSONEq(t, `{"kind": "overkill", "rate": 0.05, "level": 0.95}`, string(text))
	_, err = json.Marshal(metrics.Rule{})
	require.ErrorIs(t, err, metrics.ErrRange)
	var r metrics.Rule
	require.ErrorIs(t, json.Unmarshal([]byte(`{"kind": "luck"}`), &r), metrics.ErrRange)
	require.Equal(t, "RuleKind(9)", metrics.RuleKind(9).String())
	_, err = metrics.ParseRuleKind("RuleKind(9)")
	require.ErrorIs(t, err, metrics.ErrRange)
}

// parent is a distribution of scores of good parts whose true rate above a threshold is
// known.
type parent struct {
	name  string
	draw  func(rng *rand.Rand) float64
	above func(x float64) float64
}

func parents() []parent {
	return []parent{
		{"normal", (*rand.Rand).NormFloat64, func(x float64) float64 { return math.Erfc(x/math.Sqrt2) / 2 }},
		{"exponential", (*rand.Rand).ExpFloat64, func(x float64) float64 { return math.Exp(-max(x, 0)) }},
		{"uniform", (*rand.Rand).Float64, func(x float64) float64 { return min(1, max(0, 1-x)) }},
		// The largest of the values of a map, as a detector's score is.
		{"maximum", func(rng *rand.Rand) float64 { return -math.Log(rng.ExpFloat64()) }, func(x float64) float64 { return -math.Expm1(-math.Exp(-x)) }},
		{"heavy", func(rng *rand.Rand) float64 { return pareto(0.2, rng) }, func(x float64) float64 { return math.Pow(1+0.2*max(x, 0), -5) }},
		// Few different scores, as a quantised detector has.
		{"stepped", func(rng *rand.Rand) float64 { return float64(rng.IntN(40)) }, func(x float64) float64 { return min(1, max(0, 40-math.Ceil(x))/40) }},
	}
}

// What a rule promises, fresh parts keep: in 200 repeats the true rate of overkill lies
// within the operating point's interval at least as often as its level says, and above
// its upper end in one of forty. The conformal rule keeps its rate on average.
func TestRulesKeepTheirPromise(t *testing.T) {
	const repeats = 200
	for _, d := range parents() {
		for _, c := range []struct {
			rule metrics.Rule
			n    int
		}{
			{metrics.Overkill(0.05), 40}, {metrics.Overkill(0.02), 200}, {metrics.Overkill(0), 30},
			{metrics.Conformal(0.05), 40}, {metrics.Conformal(0.01), 150},
			{metrics.TailOverkill(0.01), 100}, {metrics.TailOverkill(0.002), 200},
		} {
			t.Run(fmt.Sprintf("%s/%s/%d", d.name, c.rule.Kind, c.n), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(56, uint64(c.n)))
				held, over, refused, mean := 0, 0, 0, 0.0
				for range repeats {
					good := make([]float64, c.n)
					for i := range good {
						good[i] = d.draw(rng)
					}
					p, err := c.rule.Choose(good, nil)
					if c.rule.Kind == metrics.RuleTail && err != nil {
						require.ErrorIs(t, err, metrics.ErrTail)
						refused++
						continue
					}
					require.NoError(t, err)
					rate := d.above(p.Cut.Threshold)
					mean += rate / repeats
					if p.Overkill.Low <= rate && rate <= p.Overkill.High {
						held++
					}
					if rate > p.Overkill.High {
						over++
					}
				}
				most := repeats / 10
				if d.name == "stepped" && c.rule.Kind == metrics.RuleTail {
					most = repeats // scores of a few values may have no tail at all
				}
				require.LessOrEqual(t, refused, most, "fits that were refused")
				tried := float64(repeats - refused)
				// Four standard errors of a count of 200 are 0.062 and 0.044.
				if d.name != "stepped" { // where scores are equal fewer are rejected than may be
					require.GreaterOrEqual(t, float64(held), (0.95-0.062)*tried)
				}
				require.LessOrEqual(t, float64(over), (0.025+0.044)*tried)
				if c.rule.Kind == metrics.RuleConformal {
					require.LessOrEqual(t, mean, c.rule.Rate*1.25)
				}
			})
		}
	}
}

// With defects: escape at a threshold that was chosen for it lies within the interval.
func TestEscapeKeepsItsPromise(t *testing.T) {
	rng := rand.New(rand.NewPCG(57, 1))
	const repeats = 200
	escape, overkill := 0, 0
	for range repeats {
		good, bad := make([]float64, 50), make([]float64, 30)
		for i := range good {
			good[i] = rng.NormFloat64()
		}
		for i := range bad {
			bad[i] = 2 + rng.NormFloat64()
		}
		p, err := metrics.Escape(0.1).Choose(good, bad)
		require.NoError(t, err)
		missed := math.Erfc(-(p.Cut.Threshold-2)/math.Sqrt2) / 2
		rejected := math.Erfc(p.Cut.Threshold/math.Sqrt2) / 2
		if p.Escape.Low <= missed && missed <= p.Escape.High {
			escape++
		}
		if p.Overkill.Low <= rejected && rejected <= p.Overkill.High {
			overkill++
		}
	}
	require.GreaterOrEqual(t, float64(escape), (0.95-0.062)*repeats)
	require.GreaterOrEqual(t, float64(overkill), (0.95-0.062)*repeats)
}

func TestParseRule(t *testing.T) {
	for _, text := range []string{"f1", "youden", "overkill:0.05", "escape:0", "escape:0.999", "tail:0.001", "conformal:0.05"} {
		r, err := metrics.ParseRule(text)
		require.NoError(t, err)
		require.Equal(t, text, r.Flag())
		require.NotEmpty(t, r.Words())
	}
	for _, text := range []string{"", "f1:0.1", "youden:0", "overkill", "escape:", "escape:1", "overkill:-0.1", "overkill:NaN", "overkill:x", "best:0.1", "tail:0"} {
		_, err := metrics.ParseRule(text)
		require.ErrorIs(t, err, metrics.ErrRange, text)
	}
}

// A comparison takes a rate that so few parts cannot count for 0, a line refuses it.
func TestThresholdOfFewParts(t *testing.T) {
	scores, defective := []float64{1, 2, 3, 4, 5}, []bool{false, false, false, true, true}
	for _, c := range []struct {
		rule metrics.Rule
		want float64
	}{{metrics.Overkill(0.05), math.Nextafter(3, 4)}, {metrics.Escape(0.05), 4}, {metrics.BestF1(), 4}, {metrics.Youden(), 4}} {
		got, err := c.rule.Threshold(scores, defective)
		require.NoError(t, err)
		require.Equal(t, c.want, got, c.rule.Flag())
	}
	_, err := metrics.Overkill(0.05).Choose(scores[:3], scores[3:])
	require.ErrorIs(t, err, metrics.ErrTooFew)
	_, err = metrics.Conformal(0.05).Threshold(scores, defective)
	require.ErrorIs(t, err, metrics.ErrTooFew)
	_, err = metrics.Youden().Threshold(scores[:3], defective[:3])
	require.ErrorIs(t, err, metrics.ErrOneClass)
	_, err = metrics.Rule{}.Threshold(scores, defective)
	require.ErrorIs(t, err, metrics.ErrRange)
}
