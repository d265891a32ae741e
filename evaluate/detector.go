package evaluate

import (
	"context"
	"fmt"
	"image"
	"iter"
	"time"

	"github.com/gotab/gotab/dataset"
)

// Detector is what is evaluated: it is fitted on good images and scores others. To
// evaluate one that is fitted already, such as one that was read from a file, wrap it in
// a type whose Fit does nothing.
type Detector interface {
	// Fit learns what good images look like.
	Fit(ctx context.Context, good dataset.Dataset) error
	// Score judges one image of any size.
	Score(ctx context.Context, img image.Image) (Result, error)
	// Close frees what the detector holds.
	Close() error
}

// Result is what a detector says about one image.
type Result struct {
	// Score is higher for more abnormal images, and a finite number.
	Score float64
	// Map says where. A detector without maps leaves it empty: it has figures of
	// images alone.
	Map Map
}

// Map is a map of abnormality: W columns and H rows, Data[y*W+x], higher for more
// abnormal. Its size is that of an image after [Protocol.Transform]. Rect is the part
// of the input image that the map covers, in pixels of the input; figures need no
// Rect. A Map converts to and from downstream.Map.
type Map struct {
	W, H int
	Data []float32
	Rect dataset.Rect
}

// Scored is the result of one sample of a data set.
type Scored struct {
	dataset.Item
	// Mask is the sample's mask as the data set gave it, nil where it has none.
	Mask *image.Gray
	Result
}

// SetScorer is a [Detector] that scores data sets faster than image by image. Results
// come in the order of the samples.
type SetScorer interface {
	Detector
	ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[Scored, error]
}

// Learner is a [Detector] that learns from more than the good images of its class,
// such as from those of other classes. [Run] calls Learn in place of Fit.
type Learner interface {
	Detector
	Learn(ctx context.Context, m Material) (Learnt, error)
}

// Material is what a detector of one class may learn from.
type Material struct {
	Data, Class string
	Seed        Seed
	Good        dataset.Dataset // images of the class for training
	// Others are the images of other classes for training; nil unless the method asks
	// for them ([Method.Others]).
	Others dataset.Dataset
	// Test is the test set, for a method whose name says that it chooses by it. Every
	// other method leaves it alone.
	Test dataset.Dataset
	// Checkpoint is the path of a file that a long training may go on from; empty for
	// none.
	Checkpoint string
}

// Support draws k of the good images; the seed decides which. It returns
// dataset.ErrConfig if there are fewer.
func (m Material) Support(k int) (dataset.Dataset, error) {
	if m.Good == nil {
		return nil, fmt.Errorf("evaluate: support set of %s: %w: there are no good images", m.Class, ErrConfig)
	}
	items, err := dataset.Support(dataset.Items(m.Good), k, nil, m.Seed.rand(forSupport))
	if err != nil {
		return nil, fmt.Errorf("support set of %s: %w", m.Class, err)
	}
	return dataset.Apply(m.Good, items)
}

// Learnt says what a detector learnt from.
type Learnt struct {
	Images int // of its class
	// Others is how many images of other classes went through the network in a training
	// before the fit; 0 where there was none.
	Others int
	// Training is how long that training took.
	Training time.Duration
}

// ScoreSet scores the samples of a data set, in their order, by the detector's own
// ScoreSet if it is a [SetScorer] and else one after the other. It ends with the first
// error.
func ScoreSet(ctx context.Context, d Detector, ds dataset.Dataset) iter.Seq2[Scored, error] {
	if s, ok := d.(SetScorer); ok && ds != nil && ctx != nil {
		return s.ScoreSet(ctx, ds)
	}
	return func(yield func(Scored, error) bool) {
		if d == nil || ds == nil || ctx == nil {
			yield(Scored{}, fmt.Errorf("evaluate: score: %w: context, detector or data set is nil", ErrConfig))
			return
		}
		for i := range ds.Len() {
			sc, err := scoreOne(ctx, d, ds, i)
			if !yield(sc, err) || err != nil {
				return
			}
		}
	}
}

func scoreOne(ctx context.Context, d Detector, ds dataset.Dataset, i int) (Scored, error) {
	if err := ctx.Err(); err != nil {
		return Scored{}, err
	}
	s, err := ds.Sample(ctx, i)
	if err != nil {
		return Scored{}, err
	}
	if s.Image == nil {
		return Scored{}, fmt.Errorf("evaluate: score %s: %w: it has no image", s.Name, ErrConfig)
	}
	r, err := d.Score(ctx, s.Image)
	if err != nil {
		return Scored{}, fmt.Errorf("score %s: %w", s.Name, err)
	}
	return Scored{Item: s.Item, Mask: s.Mask, Result: r}, nil
}
