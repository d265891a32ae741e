package tab

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gotab/gotab/tensor"
)

// Mix is a weighted sum of objectives, each of which sees what it asks for. Its
// share of right answers is the parts' mean with the same weights. It notes each
// part's loss, without the weight ([Step].Indicators). No two parts
// may have the same name.
type Mix []Term

// Term is a part of a [Mix]. Weight is > 0.
type Term struct {
	Weight    float64
	Objective Objective
}

// mixName begins the name of every Mix.
const mixName = "mix"

// Name implements [Objective]: the parts' names and weights.
func (m Mix) Name() string {
	var parts []string
	for _, t := range m {
		name := "nothing"
		if t.Objective != nil {
			name = t.Objective.Name()
		}
		parts = append(parts, fmt.Sprintf("%g %s", t.Weight, name))
	}
	return mixName + "(" + strings.Join(parts, " + ") + ")"
}

// Needs implements [Objective]: what any part needs.
func (m Mix) Needs() Needs {
	n, ignorant := Needs{NoPooled: true}, false
	for _, t := range m {
		if t.Objective == nil {
			continue
		}
		p := t.Objective.Needs()
		n.Twin, n.Masks, n.Anchors = n.Twin || p.Twin, n.Masks || p.Masks, n.Anchors || p.Anchors
		n.Project, n.NoPooled = n.Project || p.Project, n.NoPooled && p.NoPooled
		n.Start, n.Cells, n.Metric = n.Start || p.Start, n.Cells || p.Cells, n.Metric || p.Metric
		n.WithinSpread = n.WithinSpread || p.WithinSpread
		if p.Tied == TiedUnknown {
			ignorant = true
		}
		n.Tied = max(n.Tied, p.Tied)
		for _, l := range p.Stages {
			if !slices.Contains(n.Stages, l) {
				n.Stages = append(n.Stages, l)
			}
		}
	}
	if ignorant {
		n.Tied = TiedUnknown
	}
	slices.Sort(n.Stages)
	return n
}

// Validate checks the weights and the parts that have a Validate of their own.
func (m Mix) Validate() error {
	if len(m) == 0 {
		return fmt.Errorf("tab: Mix is empty: %w: want objectives with weights", ErrConfig)
	}
	seen := map[string]bool{}
	for i, t := range m {
		if t.Objective == nil {
			return fmt.Errorf("tab: Mix[%d].Objective is nil: %w", i, ErrConfig)
		}
		if err := positive(fmt.Sprintf("Mix[%d].Weight", i), t.Weight); err != nil {
			return err
		}
		name := t.Objective.Name()
		if seen[name] {
			return fmt.Errorf("tab: Mix: %w: objective %s comes twice; give it once with the sum of the weights", ErrConfig, name)
		}
		seen[name] = true
		if v, ok := t.Objective.(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Setup implements [Objective].
func (m Mix) Setup(s *tensor.Scope, p *tensor.Params, d Dims, rng *rand.Rand) error {
	if err := m.Validate(); err != nil {
		return err
	}
	for _, t := range m {
		if err := t.Objective.Setup(s, p, d, rng); err != nil {
			return err
		}
	}
	return nil
}

// Loss implements [Objective].
func (m Mix) Loss(s *tensor.Scope, v View) (loss, accuracy *tensor.Tensor) {
	total := 0.0
	for _, t := range m {
		total += t.Weight
	}
	var losses, right []*tensor.Tensor
	for _, t := range m {
		l, a := t.Objective.Loss(s, v)
		if v.Note != nil {
			v.Note(t.Objective.Name(), s.Detach(l))
		}
		losses, right = append(losses, s.MulScalar(l, t.Weight)), append(right, s.MulScalar(a, t.Weight/total))
	}
	return sum(s, losses), sum(s, right)
}

// term is the form of a Term in a checkpoint.
type term struct {
	Weight    float64         `json:"weight"`
	Objective string          `json:"objective"`
	Settings  json.RawMessage `json:"settings"`
}

// MarshalJSON writes each part with its name, weight and settings.
func (m Mix) MarshalJSON() ([]byte, error) {
	terms := make([]term, len(m))
	for i, t := range m {
		if t.Objective == nil {
			return nil, fmt.Errorf("tab: Mix[%d].Objective is nil: %w", i, ErrConfig)
		}
		b, err := json.Marshal(t.Objective)
		if err != nil {
			return nil, err
		}
		terms[i] = term{t.Weight, t.Objective.Name(), b}
	}
	return json.Marshal(terms)
}

// UnmarshalJSON reads what MarshalJSON wrote. An objective that is not of this
// package is an error of the first use.
func (m *Mix) UnmarshalJSON(b []byte) error {
	var terms []term
	if err := json.Unmarshal(b, &terms); err != nil {
		return err
	}
	*m = nil
	for _, t := range terms {
		o, err := builtin(t.Objective, t.Settings)
		if err != nil {
			return err
		}
		*m = append(*m, Term{t.Weight, o})
	}
	return nil
}
