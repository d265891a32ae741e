package downstream_test

import (
	"errors"
	"image"
	"iter"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
)

func TestSupportSets(t *testing.T) {
	draw := func(seed uint64) (names [][]string) {
		sets, err := downstream.SupportSets(products(), "cloth", 3, 20, rand.New(rand.NewPCG(seed, 1)))
		require.NoError(t, err)
		require.Len(t, sets, 20)
		for _, s := range sets {
			require.Equal(t, []string{"cloth"}, s.Classes())
			var of []string
			for _, it := range dataset.Items(s) {
				require.NotContains(t, of, it.Name)
				of = append(of, it.Name)
			}
			require.Len(t, of, 3)
			names = append(names, of)
		}
		return names
	}
	require.Equal(t, draw(1), draw(1))
	require.NotEqual(t, draw(1), draw(2))

	rng := rand.New(rand.NewPCG(1, 1))
	_, err := downstream.SupportSets(products(), "felt", 5, 1, rng)
	require.ErrorIs(t, err, downstream.ErrTooFewImages)
	require.ErrorContains(t, err, `"felt"`)
	require.ErrorContains(t, err, "there are 4, 5 shots need as many")
	_, err = downstream.SupportSets(products(), "silk", 1, 1, rng)
	require.ErrorIs(t, err, downstream.ErrTooFewImages)
	for _, bad := range []func() error{
		func() error { _, err := downstream.SupportSets(nil, "felt", 1, 1, rng); return err },
		func() error { _, err := downstream.SupportSets(products(), "felt", 0, 1, rng); return err },
		func() error { _, err := downstream.SupportSets(products(), "felt", 1, 0, rng); return err },
		func() error { _, err := downstream.SupportSets(products(), "felt", 1, 1, nil); return err },
	} {
		require.ErrorIs(t, bad(), downstream.ErrConfig)
	}
}

// Where training and test images are told apart, only the former are drawn.
func TestSupportSetsLeaveTestImagesOut(t *testing.T) {
	split := func(of func(i int) string) dataset.Dataset {
		var samples []dataset.Sample
		for i, img := range textures(12, 33, 8) {
			samples = append(samples, dataset.Sample{Item: dataset.Item{Name: string(rune('a' + i)), Class: "felt", Split: of(i), Label: dataset.LabelGood}, Image: img.(*image.RGBA)})
		}
		ds, err := dataset.NewMemory(samples)
		require.NoError(t, err)
		return ds
	}
	mixed := split(func(i int) string { return []string{dataset.Test, dataset.Train}[i%2] })
	sets, err := downstream.SupportSets(mixed, "felt", 3, 20, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	for _, s := range sets {
		for _, it := range dataset.Items(s) {
			require.Equal(t, dataset.Train, it.Split)
		}
	}
	_, err = downstream.SupportSets(mixed, "felt", 7, 1, rand.New(rand.NewPCG(1, 1)))
	require.ErrorIs(t, err, downstream.ErrTooFewImages)
	require.ErrorContains(t, err, "there are 6")
	// A set that is all of another split is taken as it is.
	_, err = downstream.SupportSets(split(func(int) string { return "reserve" }), "felt", 7, 1, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
}

func TestOverSupports(t *testing.T) {
	noLeak(t)
	r := trainedTiny(t, regadConfig(), nil)
	good := memory(t, textures(6, 70, fakeSide))
	sets, err := downstream.SupportSets(good, "texture", 2, 3, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	test := memory(t, textures(4, 71, fakeSide))
	var first []float64
	judge := func(set int, results iter.Seq2[downstream.Scored, error]) ([]float64, error) {
		sum := 0.0
		for sc, err := range results {
			if err != nil {
				return nil, err
			}
			sum += sc.Score
		}
		first = append(first, sum)
		return []float64{sum, float64(set)}, nil
	}
	got, err := downstream.OverSupports(t.Context(), r, sets, test, judge)
	require.NoError(t, err)
	want, err := metrics.OverSeeds(first)
	require.NoError(t, err)
	require.Equal(t, []metrics.Spread{want, {N: 3, Mean: 1, Deviation: 1, Min: 0, Max: 2}}, got)
	require.Greater(t, want.Deviation, 0.0, "sets differ")

	_, err = downstream.OverSupports(t.Context(), r, nil, test, judge)
	require.ErrorIs(t, err, downstream.ErrTooFewImages)
	empty, err := dataset.Subset(good, nil)
	require.NoError(t, err)
	_, err = downstream.OverSupports(t.Context(), r, []dataset.Dataset{sets[0], empty}, test, judge)
	require.ErrorIs(t, err, downstream.ErrTooFewImages)
	require.ErrorContains(t, err, "support set 2 of 2")
	boom := errors.New("boom")
	for name, f := range map[string]func(set int) ([]float64, error){
		"error":  func(int) ([]float64, error) { return nil, boom },
		"number": func(int) ([]float64, error) { return []float64{math.NaN()}, nil },
		"count":  func(set int) ([]float64, error) { return make([]float64, set+1), nil },
	} {
		_, err = downstream.OverSupports(t.Context(), r, sets, test,
			func(set int, _ iter.Seq2[downstream.Scored, error]) ([]float64, error) { return f(set) })
		require.ErrorIs(t, err, map[string]error{"error": boom, "number": metrics.ErrNaN, "count": downstream.ErrConfig}[name])
	}
}
