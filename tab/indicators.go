package tab

import (
	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// notes gathers what a step tells about itself.
type notes struct {
	names  []string
	values []*tensor.Tensor
}

func (n *notes) add(name string, value *tensor.Tensor) {
	n.names, n.values = append(n.names, name), append(n.values, value)
}

// measures reads the values.
func (n *notes) measures(s *tensor.Scope) ([]Measure, error) {
	var out []Measure
	for i, name := range n.names {
		v, err := s.Float(n.values[i])
		if err != nil {
			return nil, err
		}
		out = append(out, Measure{Name: name, Value: v})
	}
	return out, nil
}

// tells says whether a step has indicators: the first and every so many.
func (c Config) tells(step int64) bool {
	return c.IndicatorsEvery > 0 && (step == 1 || step%int64(c.IndicatorsEvery) == 0)
}

// noteGain tells how far the damaged cells of a stage have been pushed: the mean of
// ln(q/q0) with their weights, 0 at the start.
func noteGain(s *tensor.Scope, v View, l backbone.Layer, q, q0, weight *tensor.Tensor) {
	if v.Note == nil {
		return
	}
	s.NoGrad(func() {
		gain := s.Minus(s.Log(s.AddScalar(s.Detach(q), faint)), s.Log(s.AddScalar(q0, faint)))
		v.Note("ln q/q0 "+l.String(), v.Total(s, s.Sum(s.Mul(gain, weight), false))[0])
	})
}
