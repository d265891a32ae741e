package evaluate

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"time"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/metrics"
)

// Outcome is a record with the scores of the test images that it was made of.
type Outcome struct {
	Record    Record
	Items     []dataset.Item // of the test set, in its order; Scores and Defective likewise
	Scores    []float64
	Defective []bool
}

// Progress is how far a trial has come. Detectors may report more by ways of their
// own.
type Progress struct {
	Stage Stage
	// Done of Total images, 0 when the stage begins. While a detector is fitted, Done is
	// 0.
	Done, Total int
}

// Stage is a part of a trial.
type Stage string

// Stages of a trial, in their order.
const (
	StageFit   Stage = "fit"
	StageScore Stage = "score"
)

// Option is a wish of the caller of [Run].
type Option func(*options)

type options struct {
	progress []func(Progress)
	scored   []func(Scored) error
	detector []func(context.Context, Detector, *Outcome) error
	peak     bool
	scores   bool
	noPixels bool
}

// WithProgress calls f at the beginning of each stage and after each image that is
// scored, on the goroutine of Run.
func WithProgress(f func(Progress)) Option {
	return func(o *options) {
		if f != nil {
			o.progress = append(o.progress, f)
		}
	}
}

// WithScored calls f for each test image in its order, on the goroutine of Run. An
// error ends Run. The map is the caller's to read, not to change.
func WithScored(f func(Scored) error) Option {
	return func(o *options) {
		if f != nil {
			o.scored = append(o.scored, f)
		}
	}
}

// WithDetector calls f when the record is complete and before the detector is
// closed, such as to save it or to draw maps. Several are called in their order. The
// first error ends Run, which returns it together with the outcome.
func WithDetector(f func(ctx context.Context, d Detector, o *Outcome) error) Option {
	return func(o *options) {
		if f != nil {
			o.detector = append(o.detector, f)
		}
	}
}

// WithPeakMemory measures [Record.PeakRSS]. It starts the system's count of the
// process's largest resident memory anew (/proc/self/clear_refs), which every other
// reader of that count sees. Trials that run at once are charged together.
func WithPeakMemory() Option { return func(o *options) { o.peak = true } }

// WithScores keeps what each test image scored in the record ([Record.Images]), so that
// [Pair] can be made of records.
func WithScores() Option { return func(o *options) { o.scores = true } }

// WithoutPixels counts no pixels although there are maps and masks, which takes as long
// as a quick fit.
func WithoutPixels() Option { return func(o *options) { o.noPixels = true } }

// Run makes the detector of a trial, fits it, scores the test images, computes all
// figures with their intervals, and closes the detector. Figures of pixels are there only where the detector
// gives maps and the defects have masks.
//
// Errors are those of [Trial.Known] and of the detector and the data set, wrapped. It
// returns metrics.ErrNaN for a score or a map that is NaN, metrics.ErrRange for a
// score that is infinite, [ErrMaps] for maps of some images only, and metrics.ErrSize
// for a map that has another size than its mask after the transform. The outcome is
// nil then, unless the error is of a [WithDetector].
//
// The generators of intervals are fixed: equal scores and maps give equal records,
// but for the times. Memory is that of one batch of the detector, 64 MiB of waiting
// maps, 64 MiB of histograms and twice Protocol.PixelBytes. Trials may run
// concurrently, if their detectors may; images per second are then shared.
func Run(ctx context.Context, t Trial, opts ...Option) (_ *Outcome, err error) {
	var o options
	for _, set := range opts {
		if set != nil {
			set(&o)
		}
	}
	if ctx == nil {
		return nil, fmt.Errorf("evaluate: run: %w: the context is nil", ErrConfig)
	}
	r, masked, err := t.known()
	if err != nil {
		return nil, err
	}
	if masked = masked && !o.noPixels; !masked && !o.noPixels {
		if masked, err = hasMask(ctx, t.Test); err != nil {
			return nil, err
		}
	}
	peakKnown := o.peak && resetPeak()
	o.report(Progress{Stage: StageFit, Total: t.Train.Len()})
	start := time.Now()
	d, err := t.Method.New(t.Seed)
	if err != nil {
		return nil, err
	}
	if d == nil {
		return nil, fmt.Errorf("evaluate: method %s: %w: New returned no detector", t.Method.Name, ErrConfig)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	learnt, err := t.fit(ctx, d, r.Class)
	if err != nil {
		return nil, err
	}
	r.FitImages, r.TrainImages, r.TrainSeconds = learnt.Images, learnt.Others, learnt.Training.Seconds()
	r.FitSeconds = (time.Since(start) - learnt.Training).Seconds()

	out := &Outcome{Record: r}
	if err := t.judge(ctx, d, &o, out, masked); err != nil {
		return nil, err
	}
	if o.scores {
		if out.Record.Images, err = newImages(out.Items, out.Scores, out.Defective); err != nil {
			return nil, err
		}
	}
	if peakKnown {
		if out.Record.PeakRSS, err = peakRSS(); err != nil {
			return nil, err
		}
	}
	for _, f := range o.detector {
		if err := f(ctx, d, out); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (o *options) report(p Progress) {
	for _, f := range o.progress {
		f(p)
	}
}

// fit teaches the detector and says by what.
func (t Trial) fit(ctx context.Context, d Detector, class string) (Learnt, error) {
	l, ok := d.(Learner)
	if !ok {
		return Learnt{Images: t.Train.Len()}, d.Fit(ctx, t.Train)
	}
	m := Material{Data: t.Data, Class: class, Seed: t.Seed, Good: t.Train, Test: t.Test, Checkpoint: t.Checkpoint}
	if t.Method.Others {
		m.Others = t.Others
	}
	return l.Learn(ctx, m)
}

// judge scores the test images and completes the record.
func (t Trial) judge(ctx context.Context, d Detector, o *options, out *Outcome, masked bool) error {
	r, by := &out.Record, t.Method.Protocol
	o.report(Progress{Stage: StageScore, Total: t.Test.Len()})
	g := &gathering{trial: t, masked: masked, out: out}
	start := time.Now()
	if err := g.score(ctx, d, o); err != nil {
		return err
	}
	r.ScoreSeconds = time.Since(start).Seconds()

	start = time.Now()
	if err := judgeImages(ctx, r, out.Scores, out.Defective, by); err != nil {
		return err
	}
	if g.pixels != nil {
		if err := g.pixels.judge(ctx, r, by); err != nil {
			return err
		}
	}
	r.MetricsSeconds = time.Since(start).Seconds()
	fitted := r.FitImages
	if !t.Method.Others {
		fitted *= max(1, r.Epochs)
	}
	r.FitSpeed, r.ScoreSpeed = speed(fitted, r.FitSeconds), speed(r.ScoreImages, r.ScoreSeconds)
	return r.Validate()
}

// speed is images a second; 0 where the clock saw no time pass.
func speed(images int, seconds float64) float64 {
	if !(seconds > 0) {
		return 0
	}
	return float64(images) / seconds
}

// gathering takes what a detector says of the test images.
type gathering struct {
	trial  Trial
	masked bool // every defect has a mask
	maps   bool // the detector gives maps
	pixels *pixels
	out    *Outcome
}

// score runs the detector over the test set.
func (g *gathering) score(ctx context.Context, d Detector, o *options) error {
	total := g.trial.Test.Len()
	for sc, err := range ScoreSet(ctx, d, g.trial.Test) {
		if err != nil {
			return err
		}
		if len(g.out.Scores) == total {
			return fmt.Errorf("evaluate: score: %w: the detector gave more than %d results", ErrConfig, total)
		}
		if err := g.take(sc); err != nil {
			return err
		}
		for _, f := range o.scored {
			if err := f(sc); err != nil {
				return err
			}
		}
		o.report(Progress{Stage: StageScore, Done: len(g.out.Scores), Total: total})
	}
	if n := len(g.out.Scores); n < total {
		return fmt.Errorf("evaluate: score: %w: the detector gave %d results for %d images", ErrConfig, n, total)
	}
	return nil
}

// take takes one result.
func (g *gathering) take(sc Scored) error {
	switch {
	case math.IsNaN(sc.Score):
		return fmt.Errorf("image %s: %w", sc.Name, metrics.ErrNaN)
	case math.IsInf(sc.Score, 0):
		return fmt.Errorf("image %s: %w: its score is %v", sc.Name, metrics.ErrRange, sc.Score)
	}
	defective, err := sc.Truth()
	if err != nil {
		return err
	}
	if err := g.fits(sc); err != nil {
		return err
	}
	if g.pixels != nil && defective && sc.Mask == nil {
		return fmt.Errorf("evaluate: image %s: %w: it is defective and has no mask, and others have one", sc.Name, dataset.ErrMask)
	}
	g.out.Items, g.out.Scores, g.out.Defective = append(g.out.Items, sc.Item), append(g.out.Scores, sc.Score), append(g.out.Defective, defective)
	if g.pixels == nil {
		return nil
	}
	mask, err := g.mask(sc)
	if err != nil {
		return err
	}
	return g.pixels.add(pixelMap{sc.Name, sc.Map.Data, mask})
}

// fits says whether a map is there like the others, or missing like them. The first
// one decides, and its size is that of the record.
func (g *gathering) fits(sc Scored) error {
	r, none := &g.out.Record, len(sc.Map.Data) == 0
	switch first := len(g.out.Scores) == 0; {
	case first && none && (r.Width < 1 || r.Height < 1):
		return fmt.Errorf("evaluate: %w: the detector gives none, so the protocol must state Width and Height", ErrMaps)
	case first && none:
	case first:
		g.maps = true
		r.Width, r.Height = sc.Map.W, sc.Map.H
		if g.masked {
			g.pixels = newPixels(g.trial.Method.Protocol.PixelBytes)
		}
	case g.maps == none:
		return fmt.Errorf("evaluate: image %s: %w: there are maps of some images and not of others", sc.Name, ErrMaps)
	}
	return nil
}

// mask brings the mask of a sample to the size of its map. Where the data set is
// transformed already its masks are too, by the nearest neighbour.
func (g *gathering) mask(sc Scored) (*image.Gray, error) {
	by := g.trial.Method.Protocol
	if by.Tiles == nil && by.Transform.AppliedTo(g.trial.Test) {
		if by.Mask != metrics.MaskNearest {
			return nil, fmt.Errorf("evaluate: mask of %s: %w: the data set is transformed already, and so its masks are not %q", sc.Name, ErrConfig, by.Mask)
		}
		return sc.Mask, nil
	}
	m, err := by.MaskOf(sc.Mask, sc.Map)
	if err != nil {
		return nil, fmt.Errorf("mask of %s: %w", sc.Name, err)
	}
	return m, nil
}

// hasMask says whether the first defect has a mask, for data sets whose items name
// none: images in memory have masks and no files.
func hasMask(ctx context.Context, test dataset.Dataset) (bool, error) {
	for i := range test.Len() {
		if test.Item(i).IsDefective() {
			s, err := test.Sample(ctx, i)
			return s.Mask != nil, err
		}
	}
	return false, nil
}

// CheckTest returns whether every defect of a test set names a mask. It refuses a set
// that cannot be judged: images without a label (dataset.ErrLabel), of one kind only
// (metrics.ErrOneClass), and masks for some defects only (dataset.ErrMask).
func CheckTest(test dataset.Dataset) (masked bool, err error) {
	if test == nil {
		return false, fmt.Errorf("evaluate: test set: %w: it is nil", ErrConfig)
	}
	if err := dataset.RequireLabels(test); err != nil {
		return false, err
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
	switch {
	case defects == 0:
		return false, fmt.Errorf("%w: all %d test images are good, there is nothing to find", metrics.ErrOneClass, test.Len())
	case defects == test.Len():
		return false, fmt.Errorf("%w: none of the %d test images is good", metrics.ErrOneClass, test.Len())
	case masks > 0 && masks < defects:
		return false, fmt.Errorf("%w: %d of %d defective test images have no mask; give all of them one, or none", dataset.ErrMask, defects-masks, defects)
	}
	return masks > 0, nil
}
