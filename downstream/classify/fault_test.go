package classify

import (
	"context"
	"image"
	"image/color"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// Wherever in a step memory runs out, nothing has moved.
func TestStepsAreWholeOrNotAtAll(t *testing.T) {
	const side = 32
	imgs := make([]image.Image, 8)
	for i := range imgs {
		img := image.NewRGBA(image.Rect(0, 0, side, side))
		for p := range side * side {
			img.SetRGBA(p%side, p/side, color.RGBA{uint8(31*i + p), uint8(7 * p), uint8(50 * (i % 2)), 255})
		}
		imgs[i] = img
	}
	ds, err := dataset.NewImages("part", imgs...)
	require.NoError(t, err)
	data, err := LabelOne(ds, []string{"even", "odd"}, func(i int, _ dataset.Item) (int, error) { return i % 2, nil })
	require.NoError(t, err)
	base := Default()
	base.Epochs, base.LR, base.Warmup, base.Batch = 60, 0.05, 0, 8
	base.Transform = dataset.Square(side)
	frozen, trained := base, base
	frozen.Frozen, frozen.Rule, frozen.SGD.Nesterov, frozen.SGD.WeightDecay = true, "sgd", true, 0.1
	trained.Batch = 4
	for name, c := range map[string]struct {
		cfg    Config
		stride int64
	}{"frozen": {frozen, 1}, "trained": {trained, 211}} {
		t.Run(name, func(t *testing.T) {
			testutil.NoLeak(t)
			testutil.RequireWholeSteps(t, c.stride, func() (*testutil.Trainee, error) {
				net, err := backbone.NewResNet18(tensor.CPU, seeded(7))
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, net.Close()) })
				cls, err := New(net, c.cfg, seeded(1))
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, cls.Close()) })
				return trainee(t.Context(), cls, data)
			})
		})
	}
}

// trainee begins what Fit does.
func trainee(ctx context.Context, c *Classifier, data *Labelled) (*testutil.Trainee, error) {
	size, err := c.core.In.InputSize(ctx, c.upright(data))
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
			return o.Loss, err
		}}, nil
}
