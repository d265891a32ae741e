package metrics

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// RuleKind names a way from scores to a threshold. The zero value is none.
type RuleKind int

// The kinds of rules. Functions of the same names, such as [Overkill], make them.
const (
	RuleOverkill  RuleKind = 1 + iota // a rate of overkill, counted
	RuleTail                          // a rate of overkill, from the tail of the scores
	RuleConformal                     // a probability of a false alarm, on average
	RuleEscape                        // a rate of escape, counted
	RuleYouden                        // the largest sum of sensitivity and specificity
	RuleF1                            // the largest F1
)

func ruleNames() map[RuleKind]string {
	return map[RuleKind]string{RuleOverkill: "overkill", RuleTail: "tail", RuleConformal: "conformal", RuleEscape: "escape", RuleYouden: "youden", RuleF1: "f1"}
}

// String returns the kind's name: "overkill", "tail", "conformal", "escape", "youden"
// or "f1".
func (k RuleKind) String() string {
	if name, ok := ruleNames()[k]; ok {
		return name
	}
	return "RuleKind(" + strconv.Itoa(int(k)) + ")"
}

// ParseRuleKind is the reverse of [RuleKind.String]. It returns ErrRange for other
// names.
func ParseRuleKind(name string) (RuleKind, error) {
	for k, n := range ruleNames() {
		if n == name {
			return k, nil
		}
	}
	return 0, fmt.Errorf("metrics: rule: %w: %q, want overkill, tail, conformal, escape, youden or f1", ErrRange, name)
}

// MarshalText implements [encoding.TextMarshaler] with [RuleKind.String]. It returns
// ErrRange if k is no kind.
func (k RuleKind) MarshalText() ([]byte, error) {
	if _, ok := ruleNames()[k]; !ok {
		return nil, fmt.Errorf("metrics: rule: %w: %s is no kind", ErrRange, k)
	}
	return []byte(k.String()), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler] with [ParseRuleKind].
func (k *RuleKind) UnmarshalText(text []byte) error {
	v, err := ParseRuleKind(string(text))
	if err == nil {
		*k = v
	}
	return err
}

// Rule says how a threshold follows from scores. Make one with [Overkill], [Conformal],
// [TailOverkill], [Escape], [Youden] or [BestF1]. It is a value, and JSON keeps it.
type Rule struct {
	Kind RuleKind `json:"kind"`
	// Rate is the fraction of the good parts, or of the defects, that the rule
	// allows: below 1. 0 where the kind has none.
	Rate float64 `json:"rate"`
	// Level is the confidence of the intervals, between 0 and 1.
	Level float64 `json:"level"`
}

const ruleLevel = 0.95

// Overkill chooses the lowest threshold at which at most the fraction rate of the good
// parts at hand is rejected, as [OverkillThreshold] does. The true rate lies in the
// operating point's interval. Rate 0 asks that none of the good parts at hand is
// rejected; any other rate needs so many parts that it can be counted, 1/rate.
func Overkill(rate float64) Rule { return Rule{RuleOverkill, rate, ruleLevel} }

// Conformal chooses the threshold at which a good part to come is rejected with a
// probability of at most alpha, as [ConformalThreshold] does. It needs 1/alpha - 1 good
// parts.
func Conformal(alpha float64) Rule { return Rule{RuleConformal, alpha, ruleLevel} }

// TailOverkill chooses the threshold that good parts exceed at a rate, by the tail of
// their scores ([FitTail]). It needs 80 good parts and can go on to a third of the rate
// that their number can count. What it gives is an estimate and no promise: in simulations
// with scores of seven distributions the true rate was on average 0.8 to 1.6 times the
// wanted one where that was one part of all, and 1.5 to 2.4 times at a third of it. The
// upper end of the operating point's interval says how bad it can be.
func TailOverkill(rate float64) Rule { return Rule{RuleTail, rate, ruleLevel} }

// Escape chooses the highest threshold at which at most the fraction rate of the defects
// at hand escapes, as [CutForEscape] does. Rate 0 asks that none of them escapes; any
// other rate needs 1/rate defects.
func Escape(rate float64) Rule { return Rule{RuleEscape, rate, ruleLevel} }

// Youden chooses the threshold with the largest sum of the share of defects that are
// found and the share of good parts that are shipped (Youden, "Index for rating
// diagnostic tests", Cancer 3, 1950); the lowest of several.
func Youden() Rule { return Rule{Kind: RuleYouden, Level: ruleLevel} }

// BestF1 chooses the threshold of the largest F1, as [F1Max] does. F1 follows the share of
// defects among the parts at hand: where that is not a line's, neither is the threshold.
func BestF1() Rule { return Rule{Kind: RuleF1, Level: ruleLevel} }

// NeedsDefects says whether the rule takes scores of defects into account.
func (r Rule) NeedsDefects() bool {
	return r.Kind == RuleEscape || r.Kind == RuleYouden || r.Kind == RuleF1
}

// Validate names the field that makes no sense, as ErrRange.
func (r Rule) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("metrics: rule: %w: %s", ErrRange, fmt.Sprintf(format, args...))
	}
	switch r.Kind {
	case RuleOverkill, RuleEscape:
		if !(r.Rate >= 0 && r.Rate < 1) {
			return bad("Rate is %g, want 0 to below 1", r.Rate)
		}
	case RuleTail, RuleConformal:
		if !(r.Rate > 0 && r.Rate < 1) {
			return bad("Rate is %g, want above 0 and below 1", r.Rate)
		}
	case RuleYouden, RuleF1:
		if r.Rate != 0 {
			return bad("Rate is %g, %s has none", r.Rate, r.Kind)
		}
	default:
		return bad("Kind is %s, want one of the constants", r.Kind)
	}
	if err := checkLevel(r.Level); err != nil {
		return fmt.Errorf("metrics: rule: %w", err)
	}
	return nil
}

// String says what the rule asks for, such as "overkill of at most 5 %".
func (r Rule) String() string {
	switch r.Kind {
	case RuleOverkill:
		return "overkill of at most " + percent(r.Rate)
	case RuleTail:
		return "overkill of " + percent(r.Rate) + " by the tail"
	case RuleConformal:
		return "conformal p-value of at most " + percent(r.Rate)
	case RuleEscape:
		return "escape of at most " + percent(r.Rate)
	case RuleYouden:
		return "Youden's index"
	case RuleF1:
		return "largest F1"
	}
	return r.Kind.String()
}

// ParseRule reads a rule as flags and records have it: overkill:RATE, tail:RATE,
// conformal:RATE, escape:RATE, youden or f1. Its Level is 0.95. It returns ErrRange for
// anything else.
func ParseRule(text string) (Rule, error) {
	name, rate, rated := strings.Cut(text, ":")
	kind, err := ParseRuleKind(name)
	if err != nil {
		return Rule{}, fmt.Errorf("metrics: rule: %w: %q, want overkill:RATE, tail:RATE, conformal:RATE, escape:RATE, youden or f1", ErrRange, text)
	}
	r := Rule{Kind: kind, Level: ruleLevel}
	if rated == (kind == RuleYouden || kind == RuleF1) {
		return Rule{}, fmt.Errorf("metrics: rule: %w: %q, want overkill:RATE, tail:RATE, conformal:RATE, escape:RATE, youden or f1", ErrRange, text)
	}
	if rated {
		if r.Rate, err = strconv.ParseFloat(rate, 64); err != nil {
			return Rule{}, fmt.Errorf("metrics: rule: %w: rate %q of rule %s is no number", ErrRange, rate, kind)
		}
	}
	return r, r.Validate()
}

// Flag returns what [ParseRule] reads. It leaves Level out.
func (r Rule) Flag() string {
	if r.Kind == RuleYouden || r.Kind == RuleF1 {
		return r.Kind.String()
	}
	return r.Kind.String() + ":" + strconv.FormatFloat(r.Rate, 'g', -1, 64)
}

// Words says what threshold the rule chooses, as one would to the person who runs the
// line.
func (r Rule) Words() string {
	switch rate := fmt.Sprintf("%.3g %%", 100*r.Rate); r.Kind {
	case RuleOverkill:
		return "lowest threshold that rejects at most " + rate + " of the good parts"
	case RuleTail:
		return "threshold that " + rate + " of the good parts exceed, by the tail of their scores"
	case RuleConformal:
		return "threshold that rejects a good part to come with a probability of at most " + rate
	case RuleEscape:
		return "highest threshold that lets at most " + rate + " of the defects through"
	case RuleYouden:
		return "threshold of the largest Youden index"
	case RuleF1:
		return "threshold of the highest F1"
	}
	return r.Kind.String()
}

// percent writes a rate in percent, with as many digits as it has.
func percent(rate float64) string { return fmt.Sprintf("%.12g %%", 100*rate) }

// whole writes the next whole number up: how many parts there must be.
func whole(x float64) string { return fmt.Sprintf("%.9g", math.Ceil(x-1e-9*x)) }

// OperatingPoint is a threshold that a [Rule] chose, and what the scores that it was
// chosen on tell about it.
type OperatingPoint struct {
	Rule Rule
	// Cut has the threshold and counts what it does to the very parts that it was
	// chosen on. Defects is 0 where there were none.
	Cut Cut
	// Overkill is the rate at which good parts are rejected, with the interval in
	// which the rate of parts to come lies. Its Level is 0 where there is none:
	// Youden's index and the largest F1 are taken where these very parts look best.
	Overkill Interval
	// Escape is the rate at which defects escape, likewise; besides, its Level is 0
	// where there were no defects.
	Escape Interval
	// Tail is what RuleTail found, nil for other rules.
	Tail *Tail `json:",omitempty"`
}

// String says it in one sentence with the counts.
func (p OperatingPoint) String() string {
	c := p.Cut
	s := fmt.Sprintf("threshold %.6g (%s): %d of %d good parts rejected", c.Threshold, p.Rule, c.Overkilled, c.Good)
	if p.Overkill.Level > 0 {
		s += fmt.Sprintf(", true rate up to %.3g %% (%s)", 100*p.Overkill.High, p.Overkill.Method)
	}
	if c.Defects > 0 {
		s += fmt.Sprintf("; %d of %d defects escape", c.Missed, c.Defects)
	}
	if p.Escape.Level > 0 {
		s += fmt.Sprintf(", true rate up to %.3g %% (%s)", 100*p.Escape.High, p.Escape.Method)
	}
	return s
}

// Choose returns the operating point of the rule on the scores of good and of defective
// parts. Parts that the detector was fitted on look better than others: take some that
// it has not seen. defective may be empty unless the rule [Rule.NeedsDefects]; it is
// counted in any case.
//
// Intervals are exact ones of Clopper and Pearson. They hold although the threshold is
// chosen on these parts, because the true rate above the (n-k)-th of n scores has the
// distribution Beta(k+1, n-k) (Wilks, "Determination of sample sizes for setting
// tolerance limits", Annals of Mathematical Statistics 12, 1941), whose quantiles lie
// within theirs, and because of the other kind of parts the threshold knows nothing.
// RuleTail's begins at 0, as a tail may end anywhere, and ends at the lower of two
// limits: that of Clopper and Pearson, and that of the fit.
//
// It returns the errors of Validate, ErrEmpty if good is empty, ErrOneClass if there is
// no defect and the rule needs some, ErrNaN or ErrRange if a score is not finite,
// ErrTooFew if there are too few parts to tell the rate, and the errors of FitTail.
func (r Rule) Choose(good, defective []float64) (OperatingPoint, error) {
	p, err := r.choose(good, defective)
	if err != nil {
		return OperatingPoint{}, fmt.Errorf("metrics: choose threshold: %w", err)
	}
	return p, nil
}

func (r Rule) choose(good, defective []float64) (OperatingPoint, error) {
	none := OperatingPoint{}
	if err := r.Validate(); err != nil {
		return none, err
	}
	if len(good) == 0 {
		return none, fmt.Errorf("%w: no score of a good part", ErrEmpty)
	}
	if r.NeedsDefects() && len(defective) == 0 {
		return none, fmt.Errorf("%w: %s needs defects", ErrOneClass, r)
	}
	neg, err := finiteSorted(good)
	if err != nil {
		return none, fmt.Errorf("good parts: %w", err)
	}
	pos, err := finiteSorted(defective)
	if err != nil {
		return none, fmt.Errorf("defects: %w", err)
	}
	p := OperatingPoint{Rule: r}
	threshold, err := r.threshold(neg, pos, &p)
	if err != nil {
		return none, err
	}
	if err := checkFinite(threshold); err != nil { // scores at the end of all numbers
		return none, fmt.Errorf("threshold: %w", err)
	}
	p.Cut = cut(pos, neg, threshold)
	r.judge(&p)
	return p, nil
}

// Threshold chooses a threshold on labelled parts. Unlike [Rule.Choose] it takes a rate
// of overkill or of escape that so few parts cannot tell from 0 for 0, which is what a
// comparison of detectors on half of a test set wants and a line does not. The threshold
// may be infinite. On the parts that it was chosen on it looks better than it is. Both
// kinds of parts are needed, else it is ErrOneClass; other errors are those of
// [CutForOverkill], [CutForEscape], [F1Max] and Choose.
func (r Rule) Threshold(scores []float64, defective []bool) (float64, error) {
	if err := r.Validate(); err != nil {
		return 0, err
	}
	switch r.Kind {
	case RuleOverkill:
		c, err := CutForOverkill(scores, defective, r.Rate)
		return c.Threshold, err
	case RuleEscape:
		c, err := CutForEscape(scores, defective, r.Rate)
		return c.Threshold, err
	case RuleF1:
		_, threshold, err := F1Max(scores, defective)
		return threshold, err
	}
	pos, neg, err := split(scores, defective)
	if err != nil {
		return 0, fmt.Errorf("metrics: choose threshold: %w", err)
	}
	p, err := r.Choose(neg, pos)
	return p.Cut.Threshold, err
}

// threshold chooses one for rising lists.
func (r Rule) threshold(good, defective []float64, p *OperatingPoint) (float64, error) {
	switch r.Kind {
	case RuleOverkill:
		if r.Rate > 0 && allowed(r.Rate, len(good)) == 0 {
			return 0, r.tooFew(len(good), "good parts", "rejected")
		}
		return overkillThreshold(good, r.Rate)
	case RuleConformal:
		return conformalThreshold(good, r.Rate)
	case RuleTail:
		return r.tailThreshold(good, p)
	case RuleEscape:
		may := allowed(r.Rate, len(defective))
		if r.Rate > 0 && may == 0 {
			return 0, r.tooFew(len(defective), "defects", "missed")
		}
		return defective[may], nil // a rate is less than 1
	case RuleYouden:
		return youden(good, defective), nil
	}
	b := bestF1[float64]{pos: uint64(len(defective)), neg: uint64(len(good)), positives: uint64(len(defective))}
	merge(defective, good, func(score float64, p, n int) { b.add(score, uint64(p), uint64(n)) })
	return b.threshold, nil
}

// tooFew refuses a rate that n parts cannot count.
func (r Rule) tooFew(n int, parts, lost string) error {
	most := clopperPearson(0, n, r.Level)
	return fmt.Errorf("%w: %d %s cannot promise %s: it takes %s or more; with none of the %d %s the true rate may still be %.3g %% (%.4g %% %s)",
		ErrTooFew, n, parts, r, whole(1/r.Rate), n, lost, 100*most.High, 100*most.Level, most.Method)
}

func (r Rule) tailThreshold(good []float64, p *OperatingPoint) (float64, error) {
	if float64(tailReach*len(good))*r.Rate < 1 {
		return 0, fmt.Errorf("%w: the tail of %d good parts cannot be carried on to %s: it takes %s or more",
			ErrTooFew, len(good), percent(r.Rate), whole(1/(tailReach*r.Rate)))
	}
	t, err := fitTail(good)
	if err != nil {
		return 0, err
	}
	if r.Rate >= t.Share {
		return 0, fmt.Errorf("%w: a rate of %s is not in the tail, which has %s of the parts: it can be counted, with rule %s",
			ErrRange, percent(r.Rate), percent(t.Share), RuleOverkill)
	}
	p.Tail = &t
	return t.threshold(r.Rate), nil
}

// youden takes rising lists.
func youden(good, defective []float64) float64 {
	// The index is (found good - shipped' defective)/(good defective) but for a
	// constant; as a whole number it has no rounding.
	var best, index int64
	at := math.NaN()
	merge(defective, good, func(score float64, p, n int) {
		if at != at || index > best { // index is that of a threshold at score
			best, at = index, score
		}
		index += int64(n)*int64(len(defective)) - int64(p)*int64(len(good))
	})
	return at
}

// judge gives p the intervals that its counts allow.
func (r Rule) judge(p *OperatingPoint) {
	c := p.Cut
	p.Overkill = r.share(c.Overkilled, c.Good, RuleOverkill, RuleConformal)
	if c.Defects > 0 {
		p.Escape = r.share(c.Missed, c.Defects, RuleEscape)
	}
	if p.Tail != nil {
		limit := r.Rate * math.Exp(normalQuantile(r.Level)*p.Tail.rateSpread(r.Rate))
		p.Overkill = Interval{Value: r.Rate, High: max(r.Rate, min(p.Overkill.High, limit)), Level: r.Level, Method: "generalised Pareto tail"}
	}
}

// share is the rate at which parts are lost, lost of n of them. Rules of the kinds by
// rank lie at one of these n scores: where others are equal to it, fewer are lost than
// may be, and the interval is that of those that may.
func (r Rule) share(lost, n int, byRank ...RuleKind) Interval {
	if r.Kind == RuleYouden || r.Kind == RuleF1 {
		return Interval{Value: float64(lost) / float64(n), High: 1}
	}
	i := clopperPearson(lost, n, r.Level)
	if !slices.Contains(byRank, r.Kind) {
		return i
	}
	may := allowed(r.Rate, n)
	if r.Kind == RuleConformal {
		may = allowed(r.Rate, n+1) - 1
	}
	i.High = max(i.High, shareAbove(may, n, (1-r.Level)/2))
	return i
}
