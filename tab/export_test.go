package tab

import "github.com/gotab/gotab/tensor"

// Contents is what a checkpoint would hold.
func (p *Pretrainer) Contents() (state any, arrays []tensor.Array, err error) { return p.contents() }
