package evaluate

import (
	"context"
	"errors"
	"image"
	"iter"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/metrics"
)

func TestSupportSets(t *testing.T) {
	draw := func(seed uint64) (names [][]string) {
		sets, err := SupportSets(products(t), "cloth", 3, 20, rand.New(rand.NewPCG(seed, 1)))
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
	_, err := SupportSets(products(t), "felt", 5, 1, rng)
	require.ErrorIs(t, err, ErrTooFewImages)
	require.ErrorContains(t, err, `"felt"`)
	require.ErrorContains(t, err, "there are 4, 5 shots need as many")
	_, err = SupportSets(products(t), "silk", 1, 1, rng)
	require.ErrorIs(t, err, ErrTooFewImages)
	for _, bad := range []func() error{
		func() error { _, err := SupportSets(nil, "felt", 1, 1, rng); return err },
		func() error { _, err := SupportSets(products(t), "felt", 0, 1, rng); return err },
		func() error { _, err := SupportSets(products(t), "felt", 1, 0, rng); return err },
		func() error { _, err := SupportSets(products(t), "felt", 1, 1, nil); return err },
	} {
		require.ErrorIs(t, bad(), ErrConfig)
	}
}

// Where training and test images are told apart, only the former are drawn.
func TestSupportSetsLeaveTestImagesOut(t *testing.T) {
	split := func(of func(i int) string) dataset.Dataset { return goods(t, "felt", 12, of) }
	mixed := split(func(i int) string { return []string{dataset.Test, dataset.Train}[i%2] })
	sets, err := SupportSets(mixed, "felt", 3, 20, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	require.Len(t, sets, 20)
	for _, s := range sets {
		require.Equal(t, 3, s.Len())
		for _, it := range dataset.Items(s) {
			require.Equal(t, dataset.Train, it.Split)
		}
	}
	_, err = SupportSets(mixed, "felt", 7, 1, rand.New(rand.NewPCG(1, 1)))
	require.ErrorIs(t, err, ErrTooFewImages)
	require.ErrorContains(t, err, "there are 6")
	// A set that is all of another split is taken as it is.
	_, err = SupportSets(split(func(int) string { return "reserve" }), "felt", 7, 1, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
}

// Images without a label are in no support set.
func TestSupportSetsLeaveUnlabelledImagesOut(t *testing.T) {
	var items []dataset.Sample
	for i := range 6 {
		s := mustSample(t, goods(t, "felt", 6, func(int) string { return "" }), i)
		if i >= 3 {
			s.Label, s.Defect = dataset.LabelUnknown, dataset.Unknown
		}
		items = append(items, s)
	}
	ds, err := dataset.NewMemory(items)
	require.NoError(t, err)
	sets, err := SupportSets(ds, "felt", 2, 20, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	for _, s := range sets {
		for _, it := range dataset.Items(s) {
			require.True(t, it.IsGood())
		}
	}
}

// fond is a detector that scores how bright an image is beside those of its fit.
type fond struct{ usual float64 }

func (f *fond) Fit(ctx context.Context, good dataset.Dataset) error {
	f.usual = 0
	if good.Len() == 0 {
		return ErrTooFewImages
	}
	for i := range good.Len() {
		s, err := good.Sample(ctx, i)
		if err != nil {
			return err
		}
		f.usual += float64(s.Image.Pix[0]) / float64(good.Len())
	}
	return nil
}

func (f *fond) Score(_ context.Context, img image.Image) (Result, error) {
	return Result{Score: float64(img.(*image.RGBA).Pix[0]) - f.usual}, nil
}

func (f *fond) Close() error { return nil }

func TestOverSupports(t *testing.T) {
	good := goods(t, "texture", 6, func(int) string { return "" })
	test := goods(t, "texture", 4, func(int) string { return dataset.Test })
	sets, err := SupportSets(good, "texture", 2, 3, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	r := &fond{}
	var first []float64
	judge := func(set int, results iter.Seq2[Scored, error]) ([]float64, error) {
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
	got, err := OverSupports(t.Context(), r, sets, test, judge)
	require.NoError(t, err)
	want, err := metrics.OverSeeds(first)
	require.NoError(t, err)
	require.Equal(t, []metrics.Spread{want, {N: 3, Mean: 1, Deviation: 1, Min: 0, Max: 2}}, got)
	require.Greater(t, want.Deviation, 0.0, "sets differ")

	_, err = OverSupports(t.Context(), r, nil, test, judge)
	require.ErrorIs(t, err, ErrTooFewImages)
	empty, err := dataset.Subset(good, nil)
	require.NoError(t, err)
	_, err = OverSupports(t.Context(), r, []dataset.Dataset{sets[0], empty}, test, judge)
	require.ErrorIs(t, err, ErrTooFewImages)
	require.ErrorContains(t, err, "support set 2 of 2")
	boom := errors.New("boom")
	for name, f := range map[string]func(set int) ([]float64, error){
		"error":  func(int) ([]float64, error) { return nil, boom },
		"number": func(int) ([]float64, error) { return []float64{math.NaN()}, nil },
		"count":  func(set int) ([]float64, error) { return make([]float64, set+1), nil },
	} {
		_, err = OverSupports(t.Context(), r, sets, test,
			func(set int, _ iter.Seq2[Scored, error]) ([]float64, error) { return f(set) })
		require.ErrorIs(t, err, map[string]error{"error": boom, "number": metrics.ErrNaN, "count": ErrConfig}[name])
	}
}

// goods are good images of a class, each of its own grey.
func goods(t *testing.T, class string, n int, split func(i int) string) *dataset.Memory {
	t.Helper()
	var samples []dataset.Sample
	for i := range n {
		s := dataset.Sample{Image: image.NewRGBA(image.Rect(0, 0, 4, 4)),
			Item: dataset.Item{Name: class + string(rune('a'+i)), Class: class, Split: split(i), Defect: dataset.Good, Label: dataset.LabelGood}}
		for p := range s.Image.Pix {
			s.Image.Pix[p] = uint8(7 * i * i)
			if p%4 == 3 {
				s.Image.Pix[p] = 255
			}
		}
		samples = append(samples, s)
	}
	ds, err := dataset.NewMemory(samples)
	require.NoError(t, err)
	return ds
}

// products are two classes of good images, of which felt has four.
func products(t *testing.T) dataset.Dataset {
	none := func(int) string { return "" }
	return dataset.Concat(goods(t, "cloth", 8, none), goods(t, "felt", 4, none))
}
