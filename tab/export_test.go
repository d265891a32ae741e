package tab

import "github.com/gotab/gotab/tensor"

// Contents is what a checkpoint would hold.
func (p *Pretrainer) Contents() (state any, arrays []tensor.Array, err error) { return p.contents() }

// SumAfterwards sums gradients when the backward pass is over.
func SumAfterwards() Option { return func(p *Pretrainer) { p.ranks.afterwards = true } }
