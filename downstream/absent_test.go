package downstream_test

import (
	"context"
	"image"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
)

// hollow gives sample 1 without its image.
type hollow struct{ dataset.Dataset }

func (d hollow) Sample(ctx context.Context, i int) (dataset.Sample, error) {
	s, err := d.Dataset.Sample(ctx, i)
	if i == 1 {
		s.Image = nil
	}
	return s, err
}

// A sample without an image is an error that names it wherever samples are read,
// and so is a nil *image.RGBA, which as an image.Image is not nil.
func TestSampleWithoutImage(t *testing.T) {
	noLeak(t)
	good := textures(3, 90, fakeSide)
	without := hollow{memory(t, good)}
	name := without.Item(1).Name
	requireNames := func(what string, err error) {
		require.ErrorIs(t, err, downstream.ErrImage, what)
		require.ErrorContains(t, err, "image "+name, what)
	}
	for what, d := range map[string]detector{
		"PaDiM":     fitted(t, &fake{scale: 1}, fakeConfig(), good),
		"RD4AD":     fittedRD4AD(t, rd4adConfig(), good),
		"PatchCore": fittedPatchCore(t, &fake{scale: 1}, patchConfig(), good),
		"SimpleNet": fittedSimpleNet(t, &fake{scale: 1}, simpleConfig(), good),
		"RegAD":     trainedTiny(t, regadConfig(), good),
	} {
		requireNames(what, d.Fit(t.Context(), without))
		failures := 0
		for _, err := range d.ScoreSet(t.Context(), without) {
			if err != nil {
				requireNames(what, err)
				failures++
			}
		}
		require.Equal(t, 1, failures, what)
		_, err := d.Score(t.Context(), good[0], (*image.RGBA)(nil))
		require.ErrorIs(t, err, downstream.ErrImage, what)
	}
	requireNames("Train", newTiny(t, &fake{}, regadConfig()).Train(t.Context(), hollow{products()}))

	labelled, err := classify.LabelOne(without, []string{"a", "b"}, func(i int, _ dataset.Item) (int, error) { return i % 2, nil })
	require.NoError(t, err)
	for _, e := range []classify.Encoding{classify.Colours, classify.Dies} {
		cfg := frozenConfig(classify.MultiClass)
		cfg.Encoding, cfg.Epochs = e, 1
		frozen := newClassifier(t, &pooler{scale: 1}, cfg)
		requireNames("frozen", frozen.Fit(t.Context(), labelled))
		cfg.Frozen = false
		requireNames("trained", newClassifier(t, smallNet(t), cfg).Fit(t.Context(), labelled))
		require.NoError(t, frozen.Fit(t.Context(), kinds(t, 8, 1)))
		_, err := frozen.Predict(t.Context(), (*image.RGBA)(nil))
		require.ErrorIs(t, err, downstream.ErrImage)
		failures := 0
		for _, err := range frozen.PredictSet(t.Context(), without) {
			if err != nil {
				requireNames("predict", err)
				failures++
			}
		}
		require.Equal(t, 1, failures)
	}
}
