package detectors

import (
	"context"
	"fmt"
	"image"
	"iter"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate"
)

// Adapter is a detector of package downstream as an evaluate.SetScorer and
// evaluate.Learner. [Of] makes it.
type Adapter struct {
	downstream.SetScorer
	// learn teaches the detector and says by what; nil fits it on all good images of the
	// class.
	learn func(ctx context.Context, m evaluate.Material) (evaluate.Learnt, error)
}

// Of adapts a detector, which it does not copy: closing one closes the other.
func Of(d downstream.SetScorer) *Adapter { return &Adapter{SetScorer: d} }

// made is Of behind a constructor.
func made[D downstream.SetScorer](d D, err error) (evaluate.Detector, error) {
	if err != nil {
		return nil, err
	}
	return Of(d), nil
}

// Learn implements evaluate.Learner.
func (a *Adapter) Learn(ctx context.Context, m evaluate.Material) (evaluate.Learnt, error) {
	if a.learn != nil {
		return a.learn(ctx, m)
	}
	return evaluate.Learnt{Images: m.Good.Len()}, a.Fit(ctx, m.Good)
}

// Score implements evaluate.Detector.
func (a *Adapter) Score(ctx context.Context, img image.Image) (evaluate.Result, error) {
	results, err := a.SetScorer.Score(ctx, img)
	if err != nil {
		return evaluate.Result{}, err
	}
	if len(results) != 1 {
		return evaluate.Result{}, fmt.Errorf("detectors: score: %w: %d results for one image", downstream.ErrImage, len(results))
	}
	return evaluate.Result{Score: results[0].Score, Map: evaluate.Map(results[0].Map)}, nil
}

// ScoreSet implements evaluate.SetScorer.
func (a *Adapter) ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[evaluate.Scored, error] {
	return func(yield func(evaluate.Scored, error) bool) {
		for sc, err := range a.SetScorer.ScoreSet(ctx, ds) {
			if !yield(evaluate.Scored{Item: sc.Item, Mask: sc.Mask, Result: evaluate.Result{Score: sc.Score, Map: evaluate.Map(sc.Map)}}, err) {
				return
			}
		}
	}
}
