package downstream

import (
	"context"

	"github.com/gotab/gotab/internal/testutil"
)

// NewTrainee begins what Fit does.
func NewTrainee(ctx context.Context, c *Classifier, data *Labelled) (*testutil.Trainee, error) {
	size, err := c.core.in.inputSize(ctx, c.upright(data))
	if err != nil {
		return nil, err
	}
	t := &training{c: c, data: data, size: size}
	if err := t.begin(ctx); err != nil {
		return nil, err
	}
	if c.cfg.Frozen {
		if err := t.compute(ctx); err != nil {
			return nil, err
		}
	}
	return &testutil.Trainee{Sets: t.trained(), Rules: t.opt, Close: func() error { t.close(false); return nil },
		Step: func(ctx context.Context) (float64, error) {
			b, err := t.load(ctx, t.plan(0)[0])
			if err != nil {
				return 0, err
			}
			o, err := t.advance(ctx, 0, 0, b)
			return o.loss, err
		}}, nil
}
