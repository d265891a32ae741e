package downstream_test

import (
	"context"
	"image"
	"io"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
)

// subject is a detector or the classifier in the form in which tests of what all
// have in common ask them.
type subject struct {
	learner
	fit       func(ctx context.Context, ds dataset.Dataset) error
	answer    func(ctx context.Context, imgs ...image.Image) ([][]float32, error) // maps, or logits
	answerSet func(ctx context.Context, ds dataset.Dataset) iter.Seq2[[]float32, error]
}

// learner is what all of them are.
type learner interface {
	io.Closer
	io.WriterTo
	Save(path string) error
	Reset(ctx context.Context) error
}

// subjects are makers of all kinds; none is fitted, RegAD is trained.
func subjects() map[string]func(t testing.TB, opts ...downstream.Option) subject {
	return map[string]func(t testing.TB, opts ...downstream.Option) subject{
		"PaDiM": func(t testing.TB, opts ...downstream.Option) subject {
			p, err := downstream.NewPaDiM(&fake{scale: 1}, fakeConfig(), nil, opts...)
			return detectorSubject(t, p, err)
		},
		"PatchCore": func(t testing.TB, opts ...downstream.Option) subject {
			p, err := downstream.NewPatchCore(&fake{scale: 1}, patchConfig(), patchRand(), opts...)
			return detectorSubject(t, p, err)
		},
		"RD4AD": func(t testing.TB, opts ...downstream.Option) subject {
			p, err := downstream.NewRD4AD(&fake{scale: 1}, rd4adConfig(), seeded(1), opts...)
			return detectorSubject(t, p, err)
		},
		"SimpleNet": func(t testing.TB, opts ...downstream.Option) subject {
			p, err := downstream.NewSimpleNet(&fake{scale: 1}, simpleConfig(), simpleRand(), opts...)
			return detectorSubject(t, p, err)
		},
		"RegAD": func(t testing.TB, opts ...downstream.Option) subject {
			r := newTiny(t, &fake{}, regadConfig(), opts...)
			require.NoError(t, r.Train(t.Context(), products()))
			return detectorSubject(t, r, nil)
		},
		"classifier": func(t testing.TB, opts ...downstream.Option) subject {
			c, err := classify.New(&pooler{scale: 1}, frozenConfig(classify.MultiClass), seeded(1), opts...)
			return classifierSubject(t, c, err)
		},
		"trained classifier": func(t testing.TB, opts ...downstream.Option) subject {
			cfg := frozenConfig(classify.MultiClass)
			cfg.Frozen, cfg.Epochs, cfg.Batch = false, 1, 4
			c, err := classify.New(smallNet(t), cfg, seeded(1), opts...)
			return classifierSubject(t, c, err)
		},
	}
}

// resettable is a detector with Reset, as all of this package are.
type resettable interface {
	detector
	Reset(ctx context.Context) error
}

func detectorSubject(t testing.TB, d resettable, err error) subject {
	t.Helper()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return subject{
		learner: d,
		fit:     d.Fit,
		answer: func(ctx context.Context, imgs ...image.Image) (out [][]float32, err error) {
			results, err := d.Score(ctx, imgs...)
			for _, r := range results {
				out = append(out, r.Map.Data)
			}
			return out, err
		},
		answerSet: func(ctx context.Context, ds dataset.Dataset) iter.Seq2[[]float32, error] {
			return func(yield func([]float32, error) bool) {
				for sc, err := range d.ScoreSet(ctx, ds) {
					if !yield(sc.Map.Data, err) {
						return
					}
				}
			}
		},
	}
}

func classifierSubject(t testing.TB, c *classify.Classifier, err error) subject {
	t.Helper()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return subject{
		learner: c,
		fit: func(ctx context.Context, ds dataset.Dataset) error {
			l, err := classify.LabelOne(ds, []string{"even", "odd"}, func(i int, _ dataset.Item) (int, error) { return i % 2, nil })
			if err != nil {
				return err
			}
			return c.Fit(ctx, l)
		},
		answer: func(ctx context.Context, imgs ...image.Image) (out [][]float32, err error) {
			predictions, err := c.Predict(ctx, imgs...)
			for _, p := range predictions {
				out = append(out, p.Logits)
			}
			return out, err
		},
		answerSet: func(ctx context.Context, ds dataset.Dataset) iter.Seq2[[]float32, error] {
			return func(yield func([]float32, error) bool) {
				for p, err := range c.PredictSet(ctx, ds) {
					if !yield(p.Logits, err) {
						return
					}
				}
			}
		},
	}
}

// requireAnswers holds what s says now of img against want.
func requireAnswers(t testing.TB, s subject, want []float32, img image.Image) {
	t.Helper()
	got, err := s.answer(t.Context(), img)
	require.NoError(t, err)
	require.LessOrEqual(t, relative(t, want, got[0]), batchTolerance)
}

// quiet is what a model of its own, fitted on ds while nothing else goes on, says
// of img.
func quiet(t testing.TB, make func(t testing.TB, opts ...downstream.Option) subject, ds dataset.Dataset, img image.Image) []float32 {
	t.Helper()
	s := make(t)
	defer s.Close()
	require.NoError(t, s.fit(t.Context(), ds))
	got, err := s.answer(t.Context(), img)
	require.NoError(t, err)
	return got[0]
}
