package tab

import "iter"

// Scalars yields the figures of the step by name, for a log such as package scalars
// writes: loss, accuracy, lr, grad_norm, and images_sec and redrawn where they are not 0; then
// "indicators/" and "probe/" with the names of the measures.
func (st Step) Scalars() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		own := []Measure{{"loss", st.Loss}, {"accuracy", st.Accuracy}, {"lr", st.LR}, {"grad_norm", st.GradNorm}}
		if st.ImagesSec != 0 {
			own = append(own, Measure{"images_sec", st.ImagesSec})
		}
		if st.Redrawn != 0 {
			own = append(own, Measure{"redrawn", float64(st.Redrawn)})
		}
		for _, g := range []struct {
			prefix   string
			measures []Measure
		}{{"", own}, {"indicators/", st.Indicators}, {"probe/", st.Probe}} {
			for _, m := range g.measures {
				if !yield(g.prefix+m.Name, m.Value) {
					return
				}
			}
		}
	}
}

// Taken returns how many steps the run has had, those before a checkpoint included.
func (p *Pretrainer) Taken() int64 { return p.step }
