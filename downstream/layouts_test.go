package downstream_test

import (
	"context"
	"image"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// scorer is a fitted detector, or a classifier, on a ResNet-18.
type scorer struct {
	name string
	make func(t testing.TB, net *backbone.ResNet18, side int) (score func(ctx context.Context, imgs ...image.Image) error, done func() error)
}

// scorers are all of them, fitted to a few images of side x side.
var scorers = []scorer{
	{"padim", func(t testing.TB, net *backbone.ResNet18, side int) (func(context.Context, ...image.Image) error, func() error) {
		c := downstream.DefaultPaDiM()
		c.Transform = dataset.Square(side)
		d, err := downstream.NewPaDiM(net, c, rand.New(rand.NewPCG(1, 1)))
		return fittedScorer(t, d, err, side)
	}},
	{"patchcore", func(t testing.TB, net *backbone.ResNet18, side int) (func(context.Context, ...image.Image) error, func() error) {
		c := downstream.DefaultPatchCore()
		c.Transform = dataset.Square(side)
		d, err := downstream.NewPatchCore(net, c, rand.New(rand.NewPCG(1, 1)))
		return fittedScorer(t, d, err, side)
	}},
	{"rd4ad", func(t testing.TB, net *backbone.ResNet18, side int) (func(context.Context, ...image.Image) error, func() error) {
		c := downstream.DefaultRD4AD()
		c.Epochs, c.TrainBatch, c.Transform = 1, 4, dataset.Square(side)
		d, err := downstream.NewRD4AD(net, c, rand.New(rand.NewPCG(1, 1)))
		return fittedScorer(t, d, err, side)
	}},
	{"simplenet", func(t testing.TB, net *backbone.ResNet18, side int) (func(context.Context, ...image.Image) error, func() error) {
		c := downstream.DefaultSimpleNet()
		c.Epochs, c.TrainBatch, c.Transform = 1, 4, dataset.Square(side)
		d, err := downstream.NewSimpleNet(net, c, rand.New(rand.NewPCG(1, 1)))
		return fittedScorer(t, d, err, side)
	}},
	{"regad", func(t testing.TB, net *backbone.ResNet18, side int) (func(context.Context, ...image.Image) error, func() error) {
		c := regadConfig()
		c.Epochs, c.Rate, c.Batch, c.Transform = 1, 1e-5, 8, dataset.Square(side)
		d, err := downstream.NewRegAD(net, c, rand.New(rand.NewPCG(1, 1)))
		require.NoError(t, err)
		require.NoError(t, d.Train(t.Context(), products()))
		return fittedScorer(t, d, nil, side)
	}},
	{"classifier", func(t testing.TB, net *backbone.ResNet18, side int) (func(context.Context, ...image.Image) error, func() error) {
		c := classify.Default()
		c.Task, c.Epochs, c.Warmup, c.Batch, c.Transform = classify.MultiClass, 1, 0, 8, dataset.Square(side)
		d, err := classify.New(net, c, rand.New(rand.NewPCG(1, 1)))
		require.NoError(t, err)
		require.NoError(t, d.Fit(t.Context(), kinds(t, 8, 1)))
		return func(ctx context.Context, imgs ...image.Image) error {
			_, err := d.Predict(ctx, imgs...)
			return err
		}, d.Close
	}},
}

func fittedScorer(t testing.TB, d detector, err error, side int) (func(context.Context, ...image.Image) error, func() error) {
	t.Helper()
	require.NoError(t, err)
	require.NoError(t, d.Fit(t.Context(), memory(t, textures(4, 1, side))))
	return func(ctx context.Context, imgs ...image.Image) error {
		_, err := d.Score(ctx, imgs...)
		return err
	}, d.Close
}

// A detector that has scored batches and single images turns no weights when they
// come again, in whatever order and on however many threads.
func TestMixedBatchesTurnNoWeights(t *testing.T) {
	if !tensor.HasOneDNN() {
		t.Skip("this libtorch has no oneDNN")
	}
	const side = 128
	testutil.NoReorders(t, func() func() {
		require.NoError(t, tensor.SetThreads(tensor.Threads{Cores: 2, PerRun: 2}))
		net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 1)))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, net.Close()) })
		var all []func(context.Context, ...image.Image) error
		for _, s := range scorers {
			score, done := s.make(t, net, side)
			t.Cleanup(func() { require.NoError(t, done()) })
			all = append(all, score)
		}
		imgs := textures(4, 2, side)
		return func() {
			for _, n := range []int{4, 1} {
				for _, score := range all {
					for _, threads := range []int{1, 2} {
						require.NoError(t, score(tensor.WithThreads(t.Context(), threads), imgs[:n]...))
					}
					require.NoError(t, score(t.Context(), imgs[:n]...))
				}
			}
		}
	})
}
