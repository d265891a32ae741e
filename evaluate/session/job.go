package session

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/evaluate/report"
	"github.com/gotab/gotab/internal/apart"
)

// job is one line of the results: a class, a method, a seed.
type job struct {
	root, class string
	of          detectors.Kind
	method      evaluate.Method
	seed        evaluate.Seed
	second      bool // on the second network: for the report alone
}

// opened is a job whose data are open.
type opened struct {
	job
	trial  evaluate.Trial
	issues []dataset.Issue
	record evaluate.Record // all that is known beforehand
}

// judged is what is known of a job while its detector is open: what pictures and
// reports are made of.
type judged struct {
	opened
	*evaluate.Outcome
	detector evaluate.Detector
	good     *heatmap.Good // maps of the good images, for the scale of pictures
}

// prepare opens the data of a job and says what is to be found.
func (s *session) prepare(j job) (o opened, err error) {
	o.job = j
	o.trial = evaluate.Trial{Method: j.method, Seed: j.seed, Data: baseOf(j.root), Class: j.class, Decoder: s.o.Reading.Decoder, Made: s.made,
		Skipped: s.skipped[j.place()], Unseen: s.unseen[j.root+"\x00"+j.class+"\x00"+j.method.Protocol.Transform.Fingerprint()]}
	for _, part := range []struct {
		split string
		ds    *dataset.Dataset
	}{{dataset.Train, &o.trial.Train}, {dataset.Test, &o.trial.Test}} {
		ds, issues, err := s.sources[j.root].Split(j.class, part.split)
		if err != nil {
			return o, err
		}
		o.issues = append(o.issues, issues...)
		*part.ds = s.whole(j.root, ds)
	}
	if j.method.Others {
		all, _, err := s.sources[j.root].Split("", dataset.Train)
		if err != nil {
			return o, err
		}
		o.trial.Others = dataset.Filter(s.whole(j.root, all), func(it dataset.Item) bool { return it.Class != j.class })
		if o.trial.Others.Len() == 0 {
			return o, fmt.Errorf("%w: %s learns from other classes, and %s is the only one of %s", dataset.ErrLayout, j.of.Name, j.class, j.root)
		}
	}
	if s.o.Records != "" {
		// The plus sign is in neither name, so that no two places share a file.
		o.trial.Checkpoint = fmt.Sprintf("%s.%s-%s+%s.ckpt", s.o.Records, apart.FileName(j.of.Name), apart.FileName(baseOf(j.root)), apart.FileName(j.class))
	}
	o.record, err = o.trial.Known()
	return o, err
}

// evaluate fits and scores one job and draws what is asked for. what begins its
// lines on the standard error.
func (s *session) evaluate(ctx context.Context, o opened, what string) (evaluate.Record, error) {
	var good heatmap.Good
	s.curves.begin(o.job)
	out, err := evaluate.Run(ctx, o.trial, evaluate.WithPeakMemory(),
		evaluate.WithProgress(func(p evaluate.Progress) { s.announce(o, p, what) }),
		evaluate.WithScored(func(sc evaluate.Scored) error {
			if s.o.Maps == "" && s.pages == nil || !sc.IsGood() {
				return nil
			}
			return good.Add(downstream.Map(sc.Map))
		}),
		evaluate.WithDetector(func(ctx context.Context, d evaluate.Detector, out *evaluate.Outcome) error {
			j := &judged{opened: o, Outcome: out, detector: d, good: &good}
			if o.second {
				return s.report(ctx, j)
			}
			if err := s.save(ctx, d, out); err != nil { // before the line that says it is there
				return err
			}
			if err := s.store.Add(out.Record); err != nil { // before the pictures: what is known is known
				return err
			}
			if err := s.report(ctx, j); err != nil {
				return err
			}
			return s.draw(ctx, j, what)
		}))
	err = errors.Join(err, s.curves.end())
	if out == nil {
		return o.record, err
	}
	return out.Record, err
}

// announce says that a stage of a job begins.
func (s *session) announce(o opened, p evaluate.Progress, what string) {
	if p.Done > 0 {
		return
	}
	s.tell.start(what)
	switch {
	case p.Stage == evaluate.StageScore:
		fmt.Fprintf(s.log, "%s: score %d images\n", what, p.Total)
	case o.method.Shots > 0:
		fmt.Fprintf(s.log, "%s: train on the other classes, fit on %d of %d good images\n", what, o.method.Shots, p.Total)
	default:
		fmt.Fprintf(s.log, "%s: fit on %d good images\n", what, p.Total)
	}
}

// draw makes the pictures of [Config.Maps].
func (s *session) draw(ctx context.Context, j *judged, what string) error {
	if s.o.Maps == "" {
		return nil
	}
	r := j.Record
	dir := s.mapsOf(r.Data, r.Class)
	if s.runs > 1 { // of the same class
		dir = filepath.Join(dir, r.Method+"-"+r.Seed)
	}
	// On the scale that follows from the good test images, with the line where the colours begin: a
	// threshold would be of scores.
	scale, err := j.good.Scale(heatmap.DefaultGood())
	if err != nil {
		return err
	}
	v := heatmap.View{Scale: scale, Threshold: scale.Low}
	fmt.Fprintf(s.log, "%s: draw %d maps, colours from %.4g to %.4g\n", what, j.trial.Test.Len(), v.Scale.Low, v.Scale.High)
	return report.WriteMaps(ctx, filepath.Join(dir, apart.FileName(r.Class)), j.detector, j.trial.Test, j.method.Protocol, v)
}

// mapsOf is the folder of the maps of a class: where roots share its name, one in a
// folder of its root.
func (s *session) mapsOf(data, class string) string {
	if s.shared[class] {
		return filepath.Join(s.o.Maps, data)
	}
	return s.o.Maps
}
