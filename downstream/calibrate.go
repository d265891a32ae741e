package downstream

import (
	"context"
	"fmt"
	"slices"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/internal/usual"
	"github.com/gotab/gotab/metrics"
)

// calibrate is Calibrate of a detector: a change that gives the model in force a
// calibration.
func calibrate[M fitted](ctx context.Context, d *engine.Core[M], by method[M], parts dataset.Dataset, rule metrics.Rule) (*Calibration, error) {
	return recalibrated(ctx, d, "calibrate", func(ctx context.Context, g M) (*Calibration, error) {
		if err := checkParts(parts, rule); err != nil {
			return nil, err
		}
		if err := d.In.Transform.Agrees(parts); err != nil {
			return nil, err
		}
		good, defective, scale, err := survey(ctx, d, by, g, parts)
		if err != nil {
			return nil, err
		}
		return newCalibration(good, defective, scale, rule)
	})
}

// recalibrate is Recalibrate of a detector.
func recalibrate[M fitted](ctx context.Context, d *engine.Core[M], rule metrics.Rule) (*Calibration, error) {
	return recalibrated(ctx, d, "recalibrate", func(_ context.Context, g M) (*Calibration, error) {
		now := g.own().calibration()
		if now == nil {
			return nil, ErrNotCalibrated
		}
		if err := rule.Validate(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
		return now.withRule(rule)
	})
}

// judging makes a calibration for a detector around another one. fitted tells the digests
// of the images that the model was fitted on.
type judging func(ctx context.Context, fitted func(digest uint64) bool) (*Calibration, error)

// judge makes the calibration of a detector around this one, in this one's turn.
func judge[M fitted](ctx context.Context, d *engine.Core[M], make judging) (*Calibration, error) {
	return recalibrated(ctx, d, "calibrate", func(ctx context.Context, g M) (*Calibration, error) {
		return make(ctx, func(digest uint64) bool {
			_, fitted := slices.BinarySearch(g.own().seen, digest)
			return fitted
		})
	})
}

// recalibrated is a change of the calibration of the model in force, to the one that
// make returns.
func recalibrated[M fitted](ctx context.Context, d *engine.Core[M], doing string, make func(ctx context.Context, g M) (*Calibration, error)) (c *Calibration, err error) {
	err = d.Change(ctx, doing, func(ctx context.Context) error {
		g, ok := d.Current.Hold()
		if !ok {
			return ErrNotFitted
		}
		defer d.Release(g)
		made, err := make(ctx, g)
		if err == nil {
			err = ctx.Err() // of a data set that does not obey it
		}
		if err != nil {
			return err
		}
		g.own().made.Store(made)
		c = made
		return nil
	})
	return c, err
}

// checkParts refuses parts that no calibration by a rule can be made of, before any of
// them is read.
func checkParts(parts dataset.Dataset, rule metrics.Rule) error {
	if err := rule.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if parts == nil || parts.Len() == 0 {
		return fmt.Errorf("%w: there is none", ErrTooFewImages)
	}
	if err := dataset.RequireLabels(parts); err != nil {
		return fmt.Errorf("%w: %w", ErrLabels, err)
	}
	good := 0
	for i := range parts.Len() {
		if parts.Item(i).IsGood() {
			good++
		}
	}
	switch {
	case good == 0:
		return fmt.Errorf("%w: none of the %d parts is labelled good", ErrTooFewImages, parts.Len())
	case good == parts.Len() && rule.NeedsDefects():
		return fmt.Errorf("%w: %w: %s needs parts that are labelled defective", ErrLabels, metrics.ErrOneClass, rule)
	}
	return nil
}

// survey scores parts that g was not fitted on and gathers what a calibration is made of.
func survey[M fitted](ctx context.Context, d *engine.Core[M], by method[M], g M, parts dataset.Dataset) (good, defective []float64, scale ColourScale, err error) {
	seen := feed.NewSightings(parts.Len())
	var maps usual.Values
	i := 0
	for sc, err := range scored(ctx, d, by, g, "calibrate", parts, seen) {
		if err != nil {
			return nil, nil, scale, err
		}
		if err := unseen(g, seen, i, sc.Name); err != nil {
			return nil, nil, scale, err
		}
		i++
		if sc.IsDefective() {
			defective = append(defective, sc.Score)
			continue
		}
		if v, ok := network.NotFinite(sc.Map.Data); ok {
			return nil, nil, scale, fmt.Errorf("map of image %s: %w: %v", sc.Name, ErrNotFinite, v)
		}
		good = append(good, sc.Score)
		maps.Add(sc.Map.Data)
	}
	scale.Low, scale.High = maps.Scale(usual.Quantile, usual.Reach)
	return good, defective, scale, nil
}

// unseen refuses an image that g was fitted on.
func unseen[M fitted](g M, seen *feed.Sightings, i int, name string) error {
	digest, ok := seen.At(i)
	if !ok {
		return nil
	}
	if _, fitted := slices.BinarySearch(g.own().seen, digest); fitted {
		return fmt.Errorf("image %s: %w: the detector was fitted on it, and knows it better than parts to come; hold some good parts back from the fit, for instance with dataset.SplitConfig", name, ErrSeen)
	}
	return nil
}

// calibrationNow is Calibration of a detector.
func calibrationNow[M fitted](d *engine.Core[M]) (*Calibration, error) {
	g, err := d.Acquire("calibration of")
	if err != nil {
		return nil, err
	}
	defer d.Release(g)
	if c := g.own().calibration(); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("%s: %w", d.Who.Doing("calibration of"), ErrNotCalibrated)
}
