package tab

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/gotab/gotab/dataset"
)

// Steps trains on ds from where the run stands (the beginning, or where a
// checkpoint was written) to the last epoch and yields each step. Leaving the
// loop early leaves no goroutine, and a later call goes on with the next step.
// The first error ends the sequence. If a checkpoint file is set
// ([WithCheckpoint]) it is written after each epoch and when ctx ends.
func (p *Pretrainer) Steps(ctx context.Context, ds dataset.Dataset) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		err := p.begin(ctx, ds)
		for err == nil && !p.complete(p.epoch) {
			var more bool
			if more, err = p.epochSteps(ctx, ds, yield); !more {
				return
			}
		}
		if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) && p.checkpoint != "" && p.classes != nil {
			err = errors.Join(err, p.SaveCheckpoint(p.checkpoint))
		}
		if err != nil {
			yield(Step{}, err)
		}
	}
}

// begin prepares on first use and checks that the data are those of the run.
func (p *Pretrainer) begin(ctx context.Context, ds dataset.Dataset) error {
	if p.closed {
		return fmt.Errorf("tab: steps: %w", ErrClosed)
	}
	if ds == nil || ds.Len() == 0 {
		return fmt.Errorf("tab: steps: %w: the data set is empty", ErrConfig)
	}
	if p.classes == nil {
		if err := p.Prepare(ctx, ds.Classes()); err != nil {
			return err
		}
	}
	hash := dataHash(ds)
	if p.data != "" && p.data != hash {
		return fmt.Errorf("tab: steps: %w: the run was begun with other images (or another order of them)", ErrCheckpoint)
	}
	p.data = hash
	return p.MeasureProducts(ctx, ds)
}

// epochSteps trains what is left of the present epoch. It returns false when the
// loop was left.
func (p *Pretrainer) epochSteps(ctx context.Context, ds dataset.Dataset, yield func(Step, error) bool) (bool, error) {
	f, err := p.newFeed(ds, p.epoch)
	if err != nil {
		return true, err
	}
	n := p.left(f.batches())
	asked := time.Now()
	for b, err := range f.run(ctx, p.batch) {
		if err != nil {
			return true, err
		}
		st, err := p.trainStep(ctx, b, n)
		if err != nil {
			return true, err
		}
		images := len(b.Class)
		if p.needs.Twin {
			images *= 2
		}
		st.ImagesSec = float64(images) / time.Since(asked).Seconds()
		p.batch++
		if p.batch == n {
			if st.Probe, err = p.EndEpoch(ctx); err != nil {
				return true, err
			}
		}
		if p.progress != nil {
			p.progress(st)
		}
		if !yield(st, nil) {
			return false, nil
		}
		asked = time.Now()
		if p.batch == 0 {
			return true, nil
		}
	}
	return true, nil
}

// EndEpoch goes on to the next epoch: it runs the probe if one is due and writes
// the checkpoint if a file is set. Steps and Fit call it; a caller who drives
// Step does so after each epoch of his own.
func (p *Pretrainer) EndEpoch(ctx context.Context) ([]Measure, error) {
	done := p.epoch + 1
	var measures []Measure
	due := p.complete(done) || p.cfg.ProbeEvery > 0 && done%p.cfg.ProbeEvery == 0
	if p.parts.Probe != nil && due {
		var err error
		if measures, err = p.parts.Probe.Probe(ctx, p.parts.Visual); err != nil {
			return nil, fmt.Errorf("tab: probe after epoch %d: %w", p.epoch, err)
		}
		p.log.Info("probe", "epoch", p.epoch, "measures", measures)
	}
	p.epoch, p.batch = done, 0
	if p.checkpoint != "" {
		if err := p.SaveCheckpoint(p.checkpoint); err != nil {
			return measures, err
		}
	}
	return measures, nil
}

// EpochReport sums one epoch up.
type EpochReport struct {
	Epoch     int       `json:"epoch"`
	Steps     int       `json:"steps"`
	Loss      float64   `json:"loss"`       // mean over the steps
	Accuracy  float64   `json:"accuracy"`   // mean over the steps
	ImagesSec float64   `json:"images_sec"` // images of the epoch by the time of its steps
	Redrawn   int       `json:"redrawn,omitempty"`
	Probe     []Measure `json:"probe,omitempty"`
}

// Report sums a run up, epoch by epoch, from where Fit took it over.
type Report struct {
	Epochs []EpochReport `json:"epochs"`
	Steps  int64         `json:"steps"`
}

// Fit runs Steps to the end. On error the report holds the epochs so far.
func (p *Pretrainer) Fit(ctx context.Context, ds dataset.Dataset) (Report, error) {
	var r Report
	seconds := 0.0
	for st, err := range p.Steps(ctx, ds) {
		if err != nil {
			return r, err
		}
		if len(r.Epochs) == 0 || r.Epochs[len(r.Epochs)-1].Epoch != st.Epoch {
			r.Epochs = append(r.Epochs, EpochReport{Epoch: st.Epoch})
			seconds = 0
		}
		e := &r.Epochs[len(r.Epochs)-1]
		e.Steps++
		k := 1 / float64(e.Steps)
		e.Loss += (st.Loss - e.Loss) * k
		e.Accuracy += (st.Accuracy - e.Accuracy) * k
		seconds += 1 / st.ImagesSec
		e.ImagesSec = float64(e.Steps) / seconds
		e.Redrawn += st.Redrawn
		e.Probe = st.Probe
		r.Steps = st.Number
		if st.Batch+1 == st.Batches {
			p.log.Info("epoch", "epoch", e.Epoch, "loss", e.Loss, "accuracy", e.Accuracy, "images/s", e.ImagesSec)
		}
	}
	return r, nil
}
