package downstream

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/metrics"
)

// FitBestOnTest is Fit, but keeps the weights that do best on a test set: after
// every TestEvery epochs, and the last, it scores test and remembers the weights
// if the image AUROC is higher than ever before, or as high and the pixel AUROC
// higher, where every defect of test has a mask. Masks are brought to the size of
// the maps bilinearly, and only what is whole counts as a defect, as there.
//
// This is how the published numbers of SimpleNet were made, and it flatters: the
// test set chooses the weights that are then judged on it. Figures of a detector
// that was fitted so must say so, and say nothing about images that are not in
// test. Use Fit for all else. The detector remembers it, its file too: see
// [SimpleNet.BestOnTest].
//
// A test set without good images, or without defective ones, is
// [metrics.ErrOneClass], one with an unlabelled image [dataset.ErrLabel], before
// anything is trained.
func (p *SimpleNet) FitBestOnTest(ctx context.Context, normal, test dataset.Dataset) error {
	return p.core.Refit(ctx, "fit", func(ctx context.Context) (*simpleModel, error) {
		judge, err := newSimpleJudge(test)
		if err != nil {
			return nil, err
		}
		return p.fit(ctx, normal, judge)
	})
}

// simpleJudge keeps the model that does best on a test set.
type simpleJudge struct {
	test         dataset.Dataset
	masked       bool            // every defect has a mask
	seen         *feed.Sightings // of test: it has a say in the weights
	best         *simpleModel
	image, pixel float64 // AUROC of the best
}

func newSimpleJudge(test dataset.Dataset) (*simpleJudge, error) {
	if test == nil {
		return nil, fmt.Errorf("test set: %w: the data set is nil", ErrTooFewImages)
	}
	if err := dataset.RequireLabels(test); err != nil {
		return nil, fmt.Errorf("test set: %w", err)
	}
	defects, masks := 0, 0
	for i := range test.Len() {
		if it := test.Item(i); it.IsDefective() {
			defects++
			if it.MaskName != "" {
				masks++
			}
		}
	}
	if defects == 0 || defects == test.Len() {
		return nil, fmt.Errorf("test set: %w: %d of %d images are defective", metrics.ErrOneClass, defects, test.Len())
	}
	return &simpleJudge{test: test, masked: masks == defects, seen: feed.NewSightings(test.Len()), image: math.Inf(-1)}, nil
}

// testPixels is how many bytes the pixels of a test set may take before their
// AUROC is counted in bins.
const testPixels = 128 << 20

// look scores the test set with g and keeps g if it is the best so far.
func (j *simpleJudge) look(ctx context.Context, p *SimpleNet, g *simpleModel) (err error) {
	defer func() {
		if j.best != g {
			err = errors.Join(err, g.Params.Close())
		}
	}()
	var scores []float64
	var positive []bool
	pixels := metrics.NewPixelAUROC(testPixels)
	applied := p.core.In.Transform.AppliedTo(j.test) // to the masks too
	for sc, err := range scored(ctx, &p.core, p, g, "score", j.test, j.seen) {
		if err != nil {
			return err
		}
		defective, err := sc.Truth()
		if err != nil {
			return err
		}
		scores, positive = append(scores, sc.Score), append(positive, defective)
		if !j.masked {
			continue
		}
		mask := sc.Mask
		if !applied {
			if mask, err = p.core.In.Transform.MaskBilinear(sc.Mask, 255); err != nil {
				return fmt.Errorf("mask of %s: %w", sc.Name, err)
			}
		}
		if err := pixels.AddMask(sc.Map.Data, mask); err != nil {
			return fmt.Errorf("pixels of %s: %w", sc.Name, err)
		}
	}
	image, err := metrics.AUROC(scores, positive)
	if err != nil {
		return err
	}
	pixel := 0.0
	if j.masked {
		r, err := pixels.Result()
		if err != nil {
			return err
		}
		pixel = r.AUROC
	}
	if image < j.image || image == j.image && pixel <= j.pixel {
		return nil
	}
	j.image, j.pixel = image, pixel
	if j.best != nil {
		err = j.best.Params.Close()
	}
	j.best = g
	return err
}

// forget frees the best model of a training that failed.
func (j *simpleJudge) forget(failed error) error {
	if failed == nil || j.best == nil {
		return nil
	}
	return j.best.Params.Close()
}
