package downstream_test

import (
	"fmt"
	"image"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
)

// hidden are images whose labels the data set keeps to itself.
func hidden(t testing.TB, imgs []image.Image) *dataset.Memory {
	t.Helper()
	var samples []dataset.Sample
	for i, img := range imgs {
		it := dataset.Item{Name: fmt.Sprint("private/", i), Class: "texture", Split: dataset.TestPrivate, Defect: dataset.Unknown}
		samples = append(samples, dataset.Sample{Item: it, Image: img.(*image.RGBA)})
	}
	ds, err := dataset.NewMemory(samples)
	require.NoError(t, err)
	return ds
}

// requireUnlabelledRefused asks for an error that names the image and says what
// to do.
func requireUnlabelledRefused(t *testing.T, err error, is error, what string) {
	t.Helper()
	require.ErrorIs(t, err, is, what)
	require.ErrorContains(t, err, "private/0", what)
	require.ErrorContains(t, err, "IsGood", what)
}

// Images of which nobody says whether they are good can be scored, but no
// detector learns from them, among good ones neither.
func TestUnlabelledImagesAreScoredButNotLearntFrom(t *testing.T) {
	noLeak(t)
	good := textures(4, 71, fakeSide)
	secret := hidden(t, textures(3, 72, fakeSide))
	padim := fitted(t, &fake{scale: 1}, fakeConfig(), good)
	simple := fittedSimpleNet(t, &fake{scale: 1}, simpleConfig(), good)
	regad := trainedTiny(t, regadConfig(), good[:2])
	for name, d := range map[string]detector{
		"padim": padim, "patchcore": fittedPatchCore(t, &fake{scale: 1}, patchConfig(), good), "rd4ad": fittedRD4AD(t, rd4adConfig(), good),
		"simplenet": simple, "regad": regad,
	} {
		before, err := d.Score(t.Context(), good[0])
		require.NoError(t, err)
		n := 0
		for sc, err := range d.ScoreSet(t.Context(), secret) {
			require.NoError(t, err, name)
			require.Equal(t, dataset.Unknown, sc.Defect)
			n++
		}
		require.Equal(t, secret.Len(), n, name)
		for _, ds := range []dataset.Dataset{secret, dataset.Concat(memory(t, good), secret)} {
			requireUnlabelledRefused(t, d.Fit(t.Context(), ds), downstream.ErrNotNormal, name)
		}
		after, err := d.Score(t.Context(), good[0])
		require.NoError(t, err)
		require.Equal(t, before, after, name)
	}
	requireUnlabelledRefused(t, padim.Update(t.Context(), secret), downstream.ErrNotNormal, "update")
	requireUnlabelledRefused(t, regad.Train(t.Context(), dataset.Concat(products(), secret)), downstream.ErrNotNormal, "train")
}

// They count neither as good nor as defective where a test set chooses weights,
// give no class to learn, and are drawn into no support set.
func TestUnlabelledImagesAreNoTruth(t *testing.T) {
	noLeak(t)
	good, test := testSet(t, 73)
	secret := hidden(t, textures(3, 74, fakeSide))
	simple := fittedSimpleNet(t, &fake{scale: 1}, simpleConfig(), textures(4, 75, fakeSide))
	err := simple.FitBestOnTest(t.Context(), good, dataset.Concat(test, secret))
	require.ErrorContains(t, err, "private/0")
	require.ErrorIs(t, err, dataset.ErrLabel)

	_, err = classify.ByDefect(dataset.Concat(test, secret), nil)
	requireUnlabelledRefused(t, err, downstream.ErrLabels, "by defect")
	_, err = classify.ByDefects(dataset.Concat(test, secret), []string{"scratch", dataset.Unknown})
	requireUnlabelledRefused(t, err, downstream.ErrLabels, "by defects")
	_, err = classify.ByClass(dataset.Concat(test, secret), nil) // the class is known
	require.NoError(t, err)
}
