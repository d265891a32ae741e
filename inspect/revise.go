package inspect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
)

// Revision is what a bundle's threshold would become if what people said counted, and
// what that would change. Nothing is in force by it: [Bundle.Recalibrated] writes a
// bundle with Calibration, and [Inspector.Replace] puts that in force.
type Revision struct {
	Before, After metrics.OperatingPoint
	// Calibration is the one of After.
	Calibration *downstream.Calibration
	// Good and Defective are parts of the journal that count. Of several entries of one
	// part the last counts.
	Good, Defective int
	// Rescored of them were scored anew, from their images.
	Rescored int
	// Skipped entries are of another scorer or product and have no image that can be read.
	Skipped int
	// RejectedBefore and RejectedAfter of the Good parts, MissedBefore and MissedAfter of
	// the Defective ones.
	RejectedBefore, RejectedAfter, MissedBefore, MissedAfter int
}

// String says in a few lines what would change.
func (r *Revision) String() string {
	return fmt.Sprintf(`threshold %.6g would become %.6g
of %d parts that people call good, %d are rejected, %d would be
of %d parts that people call defective, %d pass, %d would
before: %s
after:  %s
%d parts were scored anew, %d entries do not count`,
		r.Before.Cut.Threshold, r.After.Cut.Threshold, r.Good, r.RejectedBefore, r.RejectedAfter,
		r.Defective, r.MissedBefore, r.MissedAfter, r.Before, r.After, r.Rescored, r.Skipped)
}

// Revise adds the scores of parts that people spoke of to those of the bundle's
// calibration, chooses the threshold anew, by rule or, if it is nil, by the bundle's own,
// and reports what would change.
//
// An entry of the bundle's own scorer counts with the score that it has; another one is
// scored anew if it has its image in it, which takes time, else it does not count.
//
// People speak of parts because of their verdicts. Good parts that were rejected are more of those than so
// many parts drawn at random: the threshold rises further than its rule says, and the
// counts of After are no rates of the line. Where a rate is to be promised, calibrate on
// parts that were drawn whatever their verdict was.
//
// Errors are those of the rule ([downstream.NewCalibration]), of scoring or of ctx; it returns
// [downstream.ErrTooFewImages] if no entry counts.
func (b *Bundle) Revise(ctx context.Context, entries []Entry, rule *metrics.Rule) (*Revision, error) {
	r, err := b.revise(ctx, entries, rule)
	if err != nil {
		return nil, fmt.Errorf("inspect: revise bundle %s of %s: %w", b.info.Bundle, b.info.Product, err)
	}
	return r, nil
}

func (b *Bundle) revise(ctx context.Context, entries []Entry, rule *metrics.Rule) (*Revision, error) {
	switch {
	case ctx == nil:
		return nil, errNoContext
	case b.calibration == nil:
		return nil, ErrClosed
	}
	r := &Revision{Before: b.calibration.Point()}
	by := r.Before.Rule
	if rule != nil {
		by = *rule
	}
	good, defective := b.calibration.Good(), b.calibration.Defective()
	nGood, nDefective := len(good), len(defective)
	for _, e := range lastOfEach(entries) {
		score, ok, err := b.scoreOf(ctx, e, r)
		switch {
		case err != nil:
			return nil, err
		case !ok:
			r.Skipped++
		case e.Said == GoodAfterAll:
			good = append(good, score)
		default:
			defective = append(defective, score)
		}
	}
	if r.Good, r.Defective = len(good)-nGood, len(defective)-nDefective; r.Good+r.Defective == 0 {
		return nil, fmt.Errorf("%w: none of %d entries counts", downstream.ErrTooFewImages, len(entries))
	}
	c, err := downstream.NewCalibration(good, defective, b.calibration.Scale(), by)
	if err != nil {
		return nil, err
	}
	r.Calibration, r.After = c, c.Point()
	for _, s := range good[nGood:] {
		r.RejectedBefore += count(s >= b.calibration.Threshold())
		r.RejectedAfter += count(s >= c.Threshold())
	}
	for _, s := range defective[nDefective:] {
		r.MissedBefore += count(s < b.calibration.Threshold())
		r.MissedAfter += count(s < c.Threshold())
	}
	return r, nil
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// lastOfEach leaves out what was said of a part before something else was said of it.
// Entries without a Picture are of a part each.
func lastOfEach(entries []Entry) []Entry {
	last := make(map[[2]string]int)
	for i, e := range entries {
		if e.Picture != "" {
			last[[2]string{e.Product, e.Picture}] = i
		}
	}
	var out []Entry
	for i, e := range entries {
		if e.Picture == "" || last[[2]string{e.Product, e.Picture}] == i {
			out = append(out, e)
		}
	}
	return out
}

// scoreOf returns the score that the bundle gives to the part of an entry, and false if
// that cannot be known.
func (b *Bundle) scoreOf(ctx context.Context, e Entry, r *Revision) (float64, bool, error) {
	switch {
	case e.check() != nil || e.Product != b.info.Product:
		return 0, false, nil
	case e.Scorer == b.info.Scorer:
		return e.Score, true, nil
	case len(e.Image) == 0:
		return 0, false, nil
	}
	img, err := b.Decoder().Image(bytes.NewReader(e.Image))
	if err != nil {
		return 0, false, nil // counted as skipped
	}
	v, err := b.decide(ctx, []image.Image{img})
	switch {
	case errors.Is(err, downstream.ErrImage) || errors.Is(err, dataset.ErrSize):
		return 0, false, nil
	case err != nil:
		return 0, false, err
	}
	r.Rescored++
	return v[0].Score, true, nil
}
