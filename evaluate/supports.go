package evaluate

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/metrics"
)

// SupportSets draws so many support sets of shots normal images each from the
// images of one class in a training set, one after the other with
// [dataset.Support]: items of a set can be written as a manifest, and a manifest
// that is applied to the data set is a support set likewise. Where any item of
// the data set has the split [dataset.Train], only those that have it are drawn,
// so that test images beside them never are. It returns [ErrTooFewImages] for a class
// that has fewer images than shots.
func SupportSets(train dataset.Dataset, class string, shots, sets int, rng *rand.Rand) ([]dataset.Dataset, error) {
	fail := func(err error) ([]dataset.Dataset, error) {
		return nil, fmt.Errorf("evaluate: support sets of %q: %w", class, err)
	}
	if train == nil || shots < 1 || sets < 1 || rng == nil {
		return fail(fmt.Errorf("%w: %d sets of %d shots, data set and generator are there: %v, %v", ErrConfig, sets, shots, train != nil, rng != nil))
	}
	isTrain := func(it dataset.Item) bool { return it.Split == dataset.Train }
	split := slices.ContainsFunc(dataset.Items(train), isTrain)
	own := dataset.Filter(train, func(it dataset.Item) bool {
		return it.Class == class && it.IsGood() && (!split || isTrain(it))
	})
	if own.Len() < shots {
		return fail(fmt.Errorf("%w: there are %d, %d shots need as many", ErrTooFewImages, own.Len(), shots))
	}
	out := make([]dataset.Dataset, sets)
	items := dataset.Items(own)
	var splits []string
	for _, it := range items {
		splits = append(splits, it.Split)
	}
	for i := range out {
		drawn, err := dataset.Support(items, shots, splits, rng)
		if err != nil {
			return fail(err)
		}
		if out[i], err = dataset.Apply(own, drawn); err != nil {
			return fail(err)
		}
	}
	return out, nil
}

// OverSupports fits det on each of the support sets in turn, scores test with it
// and lets judge make numbers of the results, such as image and pixel AUROC, as
// many each time. It returns mean and deviation of each of them over the sets.
// RegAD's published numbers are such means over ten sets. det stays fitted on the
// last set. judge must read the results to their end, or return an error.
func OverSupports(ctx context.Context, det Detector, sets []dataset.Dataset, test dataset.Dataset,
	judge func(set int, results iter.Seq2[Scored, error]) ([]float64, error)) ([]metrics.Spread, error) {
	if ctx == nil || det == nil || test == nil || judge == nil {
		return nil, fmt.Errorf("evaluate: over support sets: %w: context, detector, test set or judge is nil", ErrConfig)
	}
	if len(sets) == 0 {
		return nil, fmt.Errorf("evaluate: over support sets: %w: there are none", ErrTooFewImages)
	}
	var values [][]float64 // a list over the sets for each number
	for i, set := range sets {
		if err := det.Fit(ctx, set); err != nil {
			return nil, fmt.Errorf("%w (support set %d of %d)", err, i+1, len(sets))
		}
		v, err := judge(i, ScoreSet(ctx, det, test))
		if err != nil {
			return nil, fmt.Errorf("%w (support set %d of %d)", err, i+1, len(sets))
		}
		if i == 0 {
			values = make([][]float64, len(v))
		}
		if len(v) != len(values) {
			return nil, fmt.Errorf("evaluate: over support sets: %w: judge gave %d numbers for set %d, before %d", ErrConfig, len(v), i+1, len(values))
		}
		for k, x := range v {
			values[k] = append(values[k], x)
		}
	}
	out := make([]metrics.Spread, len(values))
	for k, v := range values {
		s, err := metrics.OverSeeds(v)
		if err != nil {
			return nil, fmt.Errorf("evaluate: over support sets: number %d: %w", k+1, err)
		}
		out[k] = s
	}
	return out, nil
}
