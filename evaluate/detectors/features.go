package detectors

import (
	"context"
	"fmt"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

// Features are the means over each image of the maps of some layers, side by side, a row for each sample that order names
// (nil: all): [n][sum of channels]. [backbone.Pooled] gives the network's own. They are what is put on a plane or told apart by
// neighbours. cfg says how images reach the network. It returns an error that wraps [downstream.ErrConfig] if there is no network or no layer,
// and what reading and the network return.
func Features(ctx context.Context, net *backbone.ResNet, ds dataset.Dataset, cfg dataset.LoaderConfig, order []int, layers ...backbone.Layer) ([][]float64, error) {
	if net == nil || len(layers) == 0 {
		return nil, fmt.Errorf("detectors: features: %w: network and layers must be given", downstream.ErrConfig)
	}
	loader, err := dataset.NewLoader(ds, cfg)
	if err != nil {
		return nil, err
	}
	var out [][]float64
	for b, err := range loader.Batches(ctx, order) {
		if err != nil {
			return nil, err
		}
		rows := make([][]float64, b.N)
		if err := tensor.Run(ctx, net.Params().Device(), tensor.Evaluation, func(s *tensor.Scope) error {
			for _, f := range net.Forward(s, s.FromNHWC(b.Pixels, b.N, b.H, b.W, 3), layers...) {
				if len(f.Shape()) == 4 {
					f = s.Mean(f, false, 2, 3)
				}
				v, err := s.Floats(f)
				if err != nil {
					return err
				}
				for i := range rows {
					for _, x := range v[i*len(v)/b.N : (i+1)*len(v)/b.N] {
						rows[i] = append(rows[i], float64(x))
					}
				}
			}
			return s.Err()
		}); err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	return out, nil
}
