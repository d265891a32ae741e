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
// The first error ends the sequence. Where an epoch has been trained to its end
// and what follows fails, the checkpoint or the probe, the last step comes with
// that error (its Number is not 0), and a later call goes on with the next epoch.
// If a checkpoint file is set ([WithCheckpoint]) it is written after each epoch,
// before the probe, and when ctx ends.
func (p *Pretrainer) Steps(ctx context.Context, ds dataset.Dataset) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		err := p.begin(ctx, ds)
		var last Step // taken, but its epoch did not end well
		for err == nil && !p.complete(p.epoch) {
			var more bool
			if last, more, err = p.epochSteps(ctx, ds, yield); !more {
				return
			}
		}
		if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) && p.checkpoint != "" && p.classes != nil {
			err = errors.Join(err, p.SaveCheckpoint(p.checkpoint))
		}
		if err != nil {
			yield(last, err)
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

// epochSteps trains what is left of the present epoch. more is false when the loop
// was left; with an error, last is a step that was taken and has not been yielded.
func (p *Pretrainer) epochSteps(ctx context.Context, ds dataset.Dataset, yield func(Step, error) bool) (last Step, more bool, err error) {
	f, err := p.newFeed(ds, p.epoch)
	if err != nil {
		return Step{}, true, err
	}
	n := p.left(f.batches())
	if p.batch >= n {
		return Step{}, true, fmt.Errorf("tab: steps: %w: it stands before batch %d of an epoch of %d", ErrCheckpoint, p.batch+1, n)
	}
	asked := time.Now()
	for b, err := range f.run(ctx, p.batch) {
		if err != nil {
			return Step{}, true, err
		}
		st, err := p.trainStep(ctx, b, p.batch, n)
		if err != nil {
			return Step{}, true, err
		}
		images := len(b.Class)
		if p.needs.Twin {
			images *= 2
		}
		st.ImagesSec = float64(images) / time.Since(asked).Seconds()
		p.batch++
		ended := p.batch == n
		if ended {
			st.Probe, err = p.EndEpoch(ctx)
		}
		if p.progress != nil {
			p.progress(st)
		}
		if err != nil {
			return st, true, err
		}
		if !yield(st, nil) {
			return Step{}, false, nil
		}
		asked = time.Now()
		if ended {
			return Step{}, true, nil
		}
	}
	return Step{}, true, fmt.Errorf("tab: steps: the batches of epoch %d ended before its last", p.epoch)
}

// EndEpoch goes on to the next epoch, writes the checkpoint if a file is set, and
// runs the probe if one is due. The run stands at the next epoch also where it
// returns an error, the probe's or that of writing; after the last epoch there is
// no next one, which is ErrConfig. Steps and Fit call it; a caller who drives Step
// does so after each epoch of his own.
func (p *Pretrainer) EndEpoch(ctx context.Context) ([]Measure, error) {
	switch {
	case p.closed:
		return nil, fmt.Errorf("tab: end of epoch: %w", ErrClosed)
	case p.classes == nil:
		return nil, fmt.Errorf("tab: end of epoch: %w: call Prepare first", ErrNotPrepared)
	case p.over():
		return nil, fmt.Errorf("tab: end of epoch: %w: the run has had all of its %d epochs", ErrConfig, p.epoch)
	}
	ended := p.epoch
	p.epoch, p.batch, p.own = ended+1, 0, 0
	if p.checkpoint != "" {
		if err := p.SaveCheckpoint(p.checkpoint); err != nil {
			return nil, err
		}
	}
	due := p.complete(p.epoch) || p.cfg.ProbeEvery > 0 && p.epoch%p.cfg.ProbeEvery == 0
	if p.parts.Probe == nil || !due {
		return nil, nil
	}
	measures, err := p.parts.Probe.Probe(ctx, p.parts.Visual)
	if err != nil {
		return nil, fmt.Errorf("tab: probe after epoch %d: %w", ended, err)
	}
	p.log.Info("probe", "epoch", ended, "measures", measures)
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

// Fit runs Steps to the end. On error the report holds what was trained so far.
func (p *Pretrainer) Fit(ctx context.Context, ds dataset.Dataset) (Report, error) {
	var r Report
	seconds := 0.0
	for st, err := range p.Steps(ctx, ds) {
		if st.Number == 0 {
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
		if err != nil {
			return r, err
		}
	}
	return r, nil
}
