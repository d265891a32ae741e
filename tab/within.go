package tab

import (
	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// setApart takes out of the damaged cells those that are no damage for the product:
// where the frozen copy displaces a cell by no more than 95 % of good parts, and
// the same at every other stage, in all cells that overlap it. A table of twins
// judges by kind, size and strength before training; this judges the very cell.
func setApart(s *tensor.Scope, v *View, layers []backbone.Layer) {
	s.NoGrad(func() {
		out := map[backbone.Layer]*tensor.Tensor{} // 1 where a cell stands out
		for _, l := range layers {
			c := v.Cells[l]
			c.Displacement = v.Metric.Square(s, l, s.Minus(v.AbnormalStart.Stages[l], v.NormalStart.Stages[l]), v.Class)
			q95, _ := v.Metric.Quantiles(s, l, v.Class)
			out[l] = s.AddScalar(s.Neg(reaches(s, s.Reshape(q95, -1, 1, 1), c.Displacement)), 1)
			v.Cells[l] = c
		}
		for _, l := range layers {
			c := v.Cells[l]
			if s.Err() != nil {
				return
			}
			h, w := int(c.Inner.Size(1)), int(c.Inner.Size(2))
			var seen []*tensor.Tensor
			for _, m := range layers {
				hm, wm := int(out[m].Size(1)), int(out[m].Size(2))
				rows := s.FromFloats(overlaps(h, hm), int64(h), int64(hm))
				columns := s.FromFloats(overlaps(w, wm), int64(w), int64(wm))
				seen = append(seen, s.MatMul(s.MatMul(rows, out[m]), s.Transpose(columns, 0, 1)))
			}
			quiet := s.Cast(s.Equal(sum(s, seen), s.Zeros(1)), tensor.Float32)
			c.Within = s.Mul(c.Anomalous, quiet)
			c.Anomalous = s.Minus(c.Anomalous, c.Within)
			within, err := s.Floats(c.Within)
			if err != nil {
				s.Fail(err)
				return
			}
			c.WithinCount = make([]int, len(c.AnomalousCount))
			left := make([]int, len(c.AnomalousCount))
			for i, n := range c.AnomalousCount {
				for _, x := range within[i*h*w : (i+1)*h*w] {
					c.WithinCount[i] += int(x)
				}
				left[i] = n - c.WithinCount[i]
			}
			c.AnomalousCount = left
			v.Cells[l] = c
		}
	})
}

// overlaps is [n, m], 1 where interval i of n equal ones and j of m over the same
// length have a part in common.
func overlaps(n, m int) []float32 {
	r := make([]float32, n*m)
	for i := range n {
		for j := i * m / n; j < ((i+1)*m+n-1)/n; j++ {
			r[i*m+j] = 1
		}
	}
	return r
}
