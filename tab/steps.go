package tab

import (
	"context"
	"encoding/json"
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
// before the probe, and when ctx ends, that of another rank included, or another rank
// is lost.
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
		if p.stopped(ctx, err) && p.checkpoint != "" && p.classes != nil && p.ranks.first() {
			err = errors.Join(err, p.SaveCheckpoint(p.checkpoint))
		}
		if err != nil {
			yield(last, err)
		}
	}
}

// stopped says whether a run ended from outside: its context, that of another rank,
// or a group that has lost one.
func (p *Pretrainer) stopped(ctx context.Context, err error) bool {
	if err == nil {
		return false
	}
	return ctx.Err() != nil && errors.Is(err, ctx.Err()) || p.ranks.broken != nil || errors.Is(err, ErrPeer) && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}

// begin prepares on first use and checks that the data are those of the run.
func (p *Pretrainer) begin(ctx context.Context, ds dataset.Dataset) error {
	if p.closed {
		return fmt.Errorf("tab: steps: %w", ErrClosed)
	}
	p.ranks.begin()
	if ds == nil || ds.Len() == 0 {
		return p.ranks.end(ctx, "steps", fmt.Errorf("tab: steps: %w: the data set is empty", ErrConfig))
	}
	if p.classes == nil {
		if err := p.Prepare(ctx, ds.Classes()); err != nil {
			return err
		}
	}
	hash := dataHash(ds)
	var err error
	if p.data != "" && p.data != hash {
		err = fmt.Errorf("%w: the run was begun with other images (or another order of them)", ErrCheckpoint)
	}
	if err := p.ranks.same(ctx, "data", hash, err); err != nil {
		return fmt.Errorf("tab: steps: %w", err)
	}
	p.data = hash
	return p.MeasureProducts(ctx, ds)
}

// epochSteps trains what is left of the present epoch. more is false when the loop
// was left; with an error, last is a step that was taken and has not been yielded.
func (p *Pretrainer) epochSteps(ctx context.Context, ds dataset.Dataset, yield func(Step, error) bool) (last Step, more bool, err error) {
	p.ranks.begin()
	f, err := p.newFeed(ds, p.epoch)
	n := 0
	if err == nil {
		if n = p.left(f.batches()); p.batch >= n {
			err = fmt.Errorf("tab: steps: %w: it stands before batch %d of an epoch of %d", ErrCheckpoint, p.batch+1, n)
		}
	}
	if err != nil {
		return Step{}, true, p.ranks.end(ctx, "feed", err)
	}
	asked := time.Now()
	for b, err := range f.run(ctx, p.batch) {
		if err != nil {
			p.ranks.begin()
			return Step{}, true, p.ranks.end(ctx, "feed", err)
		}
		st, err := p.trainStep(ctx, b, p.batch, n)
		if err != nil {
			return Step{}, true, err
		}
		images := len(b.Class) * p.ranks.size()
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
	p.ranks.begin()
	p.epoch, p.batch, p.own = ended+1, 0, 0
	if err := p.sameContents(ctx, "end of epoch"); err != nil {
		return nil, fmt.Errorf("tab: end of epoch: %w", err)
	}
	var err error
	if p.checkpoint != "" && p.ranks.first() {
		err = p.SaveCheckpoint(p.checkpoint)
	}
	if _, err := p.ranks.exchange(ctx, "checkpoint", nil, err); err != nil {
		return nil, err
	}
	due := p.complete(p.epoch) || p.cfg.ProbeEvery > 0 && p.epoch%p.cfg.ProbeEvery == 0
	if !due {
		return nil, nil
	}
	measures, err := p.probe(ctx, ended)
	if err != nil || measures == nil {
		return nil, err
	}
	p.log.Info("probe", "epoch", ended, "measures", measures)
	return measures, nil
}

// probe measures, on the ranks that have a probe; what rank 0 measures is returned.
func (p *Pretrainer) probe(ctx context.Context, ended int) (measures []Measure, err error) {
	if p.parts.Probe != nil {
		if measures, err = p.parts.Probe.Probe(ctx, p.parts.Visual); err != nil {
			err = fmt.Errorf("tab: probe after epoch %d: %w", ended, err)
		}
	}
	if !p.ranks.many() {
		return measures, err
	}
	b, jsonErr := json.Marshal(measures)
	all, err := p.ranks.exchange(ctx, "probe", b, errors.Join(err, jsonErr))
	if err != nil {
		return nil, err
	}
	measures = nil
	if err := json.Unmarshal(all[0], &measures); err != nil {
		return nil, fmt.Errorf("tab: probe after epoch %d: %w: rank 0 tells no measures: %w", ended, ErrPeer, err)
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
