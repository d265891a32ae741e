package evaluate

import (
	"context"
	"errors"
	"fmt"
	"image"

	"github.com/gotab/gotab/metrics"
)

const (
	// binBudget bounds the histograms that the intervals are drawn from: some
	// 6,000 images.
	binBudget = 64 << 20
	// waitBudget is how many bytes of maps may wait for being counted: 330 of
	// 224x224.
	waitBudget = 64 << 20
)

// MeaningOfAUPRO says what AUPRO up to a limit is, for the foot of a table that has
// it.
func MeaningOfAUPRO(limit float64) string {
	return fmt.Sprintf("AUPRO: area under the per-region overlap curve up to a false positive rate of %g.", limit)
}

// pixels gathers the maps and masks of a test set. Counting them takes a few
// percent of the processor time that scoring takes, and would be measured with
// it: so maps wait, as far as budget goes, until the scoring is over.
type pixels struct {
	roc *metrics.PixelAUROC
	pro *metrics.AUPRO
	set *metrics.PixelBootstrap
	// marked says that a mask marked something. Masks that mark nothing at all, such as
	// those that another program writes for parts that nobody has drawn yet, tell no more
	// than none.
	marked bool
	// counted says that some maps no longer wait.
	counted bool

	waiting       []pixelMap
	bytes, budget int
}

// pixelMap is a map with its mask of the same size; nil for no defect.
type pixelMap struct {
	name   string
	scores []float32
	mask   *image.Gray
}

func newPixels(budget int64) *pixels {
	return &pixels{roc: metrics.NewPixelAUROC(budget), pro: metrics.NewAUPRO(budget), set: metrics.NewPixelBootstrap(binBudget), budget: waitBudget}
}

// add takes a map, which it keeps.
func (p *pixels) add(m pixelMap) error {
	p.waiting = append(p.waiting, m)
	if p.bytes += 4 * len(m.scores); p.bytes < p.budget {
		return nil
	}
	return p.count()
}

// count lets all of them count what waits.
func (p *pixels) count() error {
	p.look()
	for _, add := range []adder{p.roc.AddMask, p.pro.AddMask, p.set.AddMask} {
		if err := p.tell(add); err != nil {
			return err
		}
	}
	p.waiting, p.bytes, p.counted = nil, 0, true
	return nil
}

// adder takes the map of an image with its mask.
type adder func(scores []float32, mask *image.Gray) error

// tell adds what waits to one of those that count.
func (p *pixels) tell(add adder) error {
	for _, m := range p.waiting {
		if err := add(m.scores, m.mask); err != nil {
			return fmt.Errorf("pixels of %s: %w", m.name, err)
		}
	}
	return nil
}

// look sees whether a mask that waits marks anything, and how many pixels of each kind there are at most: masks of all sizes of their own
// are refused later.
func (p *pixels) look() (bad, good int) {
	for _, m := range p.waiting {
		n := 0
		if m.mask != nil {
			for _, v := range m.mask.Pix {
				if v != 0 {
					n++
				}
			}
		}
		p.marked = p.marked || n > 0
		bad, good = bad+n, good+len(m.scores)
	}
	return bad, good
}

// judge computes the figures of pixels and their intervals; none where no mask marks
// anything. What has waited until now is counted for one figure after the other, and each counter is given up when its figure is there:
// with all of them at once the scores of a small class, which have all waited, would lie in memory three times.
func (p *pixels) judge(ctx context.Context, r *Record, by Protocol) error {
	bad, good := p.look()
	room := !p.counted && sure(by.PixelBytes, bad, good)
	if room {
		p.roc.Reserve(bad, good)
	}
	if err := p.tell(p.roc.AddMask); err != nil {
		return err
	}
	if !p.marked {
		return nil
	}
	roc, err := p.roc.Result()
	if err != nil {
		return err
	}
	ap, err := p.roc.AveragePrecision()
	if err != nil {
		return err
	}
	f1, _, err := p.roc.F1Max()
	if err != nil {
		return err
	}
	p.roc = nil
	if room {
		p.pro.Reserve(bad, good)
	}
	if err := p.tell(p.pro.AddMask); err != nil {
		return err
	}
	limit := by.Limit
	pro, err := p.pro.Result(limit)
	if err != nil {
		return err
	}
	r.PixelAUROC, r.Exact, r.PixelBound = &roc.AUROC, &roc.Exact, &roc.Bound
	r.PixelAP, r.PixelAPBound = &ap.AP, &ap.Bound
	r.PixelF1 = &f1
	r.AUPRO, r.AUPROLimit, r.AUPROBound = &pro.AUPRO, &limit, &pro.Bound
	p.pro = nil
	if err := p.tell(p.set.AddMask); err != nil {
		return err
	}
	p.waiting, p.bytes = nil, 0
	sets, err := p.set.Intervals(ctx, limit, by.Bootstrap, Seed{Number: 1}.rand(forPixels))
	if errors.Is(err, metrics.ErrOneClass) { // every image has a defect's pixel
		return nil
	}
	if err != nil {
		return err
	}
	r.keep(PixelAUROC, sets.AUROC)
	r.keep(PixelAP, sets.AP)
	r.keep(AUPRO, sets.AUPRO)
	return nil
}

// sure says that a budget holds so many pixels exactly however the lists of scores come to their size, so that making room for all of them
// at once changes no figure.
func sure(budget int64, bad, good int) bool {
	return budget >= 2<<20+18*int64(bad)+9*int64(good)
}

// judgeImages computes the figures of images, their intervals, and what the rule's
// threshold does.
func judgeImages(ctx context.Context, r *Record, scores []float64, positive []bool, by Protocol) (err error) {
	if r.ImageAUROC, err = metrics.AUROC(scores, positive); err != nil {
		return err
	}
	if r.ImageAP, err = metrics.AveragePrecision(scores, positive); err != nil {
		return err
	}
	if r.ImageF1, r.F1Threshold, err = metrics.F1Max(scores, positive); err != nil {
		return err
	}
	area, err := metrics.DeLong(scores, positive, by.Bootstrap.Level)
	switch {
	case err == nil:
		r.keep(ImageAUROC, area)
	case !errors.Is(err, metrics.ErrOneClass): // a kind of one image has no variance
		return err
	}
	// F1-max gets none: a maximum that every drawn set finds anew lies above the
	// truth, and so would a bootstrap interval (wholly so in 23 % of the cases that a
	// 95 % one should miss in 2.5 %, for 50 good and 50 bad at d' 1.5).
	ap, err := metrics.Bootstrap(ctx, scores, positive, metrics.AveragePrecision, by.Bootstrap, Seed{Number: 1}.rand(forImages))
	if err != nil {
		return err
	}
	r.keep(ImageAP, ap)
	if r.Cut, err = NewCrossFit(by.Rule, scores, positive); err != nil {
		return fmt.Errorf("threshold %s: %w", by.Rule, err)
	}
	if r.Cut == nil {
		return nil
	}
	for key, n := range map[FigureKey][2]int{Escape: {r.Cut.Escaped, r.Cut.Defects}, Overkill: {r.Cut.Overkilled, r.Cut.Good}} {
		i, err := metrics.Wilson(n[0], n[1], by.Bootstrap.Level)
		if err != nil {
			return err
		}
		r.keep(key, i)
	}
	return nil
}
