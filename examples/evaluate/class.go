package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/metrics"
)

// job is one line of the results: a class, a method, a seed.
type job struct {
	root, class string
	of          method
	plan        plan
	seed        seed
	second      bool // on the network of -compare: for the report alone
}

// judged is everything that is known of a job while its detector is open: what
// pictures and reports are made of.
type judged struct {
	record   record
	plan     plan
	detector detector
	test     dataset.Dataset
	masked   bool           // every defect has a mask
	items    []dataset.Item // of the test set, in its order; scores and labels likewise
	scores   []float64
	positive []bool
	good     heatmap.Good // maps of the good images, for the scale of pictures
}

// maps scores the test set once more and yields its samples in their order, with
// the same maps to the last bit: keeping them would take as much memory as the
// test set.
func (j *judged) maps(ctx context.Context) iter.Seq2[downstream.Scored, error] {
	return j.detector.ScoreSet(ctx, j.test)
}

// mask brings a sample's mask to the size of its map, by the rule of the method.
func (j *judged) mask(sc downstream.Scored) (*image.Gray, error) {
	m, err := j.plan.mask.of(j.plan.shown(sc.Map), sc.Mask)
	if err != nil {
		return nil, fmt.Errorf("mask of %s: %w", sc.Name, err)
	}
	return m, nil
}

// opened is a job whose data are open.
type opened struct {
	job
	train, test dataset.Dataset // without broken samples, where those are skipped
	issues      []dataset.Issue
	others      dataset.Dataset // images for training of the other classes, where the plan asks for them
	masked      bool
	record      record // all that is known beforehand
}

// prepare opens the data of a job and says what is to be found.
func (s *session) prepare(j job) (o opened, err error) {
	o.job = j
	for _, part := range []struct {
		split string
		ds    *dataset.Dataset
	}{{dataset.Train, &o.train}, {dataset.Test, &o.test}} {
		files, err := s.open(j.root, j.class, part.split)
		if err != nil {
			return o, err
		}
		o.issues = append(o.issues, files.Issues()...)
		*part.ds = s.whole(j.root, files)
	}
	if o.masked, err = checkTest(o.test); err != nil {
		return o, err
	}
	if j.plan.others {
		all, err := s.open(j.root, "", dataset.Train)
		if err != nil {
			return o, err
		}
		o.others = dataset.Filter(s.whole(j.root, all), func(it dataset.Item) bool { return it.Class != j.class })
		if o.others.Len() == 0 {
			return o, fmt.Errorf("%w: %s learns from other classes, and %s is the only one of %s", dataset.ErrLayout, j.of.name, j.class, j.root)
		}
	}
	o.record, err = s.known(o, s.network(j))
	return o, err
}

// known is what is known of a job beforehand.
func (s *session) known(o opened, net network) (record, error) {
	settings, err := json.Marshal(o.plan.settings)
	if err != nil {
		return record{}, fmt.Errorf("settings of %s: %w", o.of.name, err)
	}
	r := record{
		Version: recordVersion, Data: baseOf(o.root), Class: o.class, Method: o.of.name, Seed: o.seed.String(),
		ScoreImages: o.test.Len(), Chance: o.plan.chance, Arch: net.arch.String(), Weights: net.weights, WeightsSHA256: net.sha256,
		Epochs: o.plan.epochs, Shots: o.plan.shots, Transform: o.plan.seen(), Mask: o.plan.mask.name, Epoch: o.plan.epoch, Score: o.plan.score,
		Settings: settings, Made: s.made,
	}
	for _, l := range o.plan.layers {
		r.Layers = append(r.Layers, l.String())
	}
	r.Skipped = s.skipped[o.place()]
	r.Unseen = s.unseen[o.root+"\x00"+o.class+"\x00"+o.plan.transform.Fingerprint()]
	o.record = r
	r.Hash, err = hashOf(o, s.o.rule, s.o.reading)
	return r, err
}

// evaluate fits and scores one job and draws what is asked for. what begins its
// lines on the standard error.
func (s *session) evaluate(ctx context.Context, o opened, what string) (r record, err error) {
	j, err := s.judge(ctx, o, s.network(o.job), what)
	if err != nil {
		return o.record, err
	}
	defer func() { err = errors.Join(err, j.detector.Close()) }()
	if o.second {
		return j.record, s.report(ctx, o, j)
	}
	if err := s.store.add(j.record); err != nil { // before the pictures: what is known is known
		return j.record, fmt.Errorf("%w: %w", errStore, err)
	}
	if err := s.report(ctx, o, j); err != nil {
		return j.record, err
	}
	return j.record, s.draw(ctx, j, what)
}

// judge fits and scores one job on a network. The detector is open unless there is
// an error.
func (s *session) judge(ctx context.Context, o opened, net network, what string) (_ *judged, err error) {
	r := o.record
	j := &judged{plan: o.plan, test: o.test, masked: o.masked}
	peakKnown := resetPeak()
	s.tell.start()
	if n := o.plan.shots; n > 0 {
		fmt.Fprintf(s.stderr, "%s: train on the other classes, fit on %d of %d good images\n", what, n, o.train.Len())
	} else {
		fmt.Fprintf(s.stderr, "%s: fit on %d good images\n", what, o.train.Len())
	}
	start := time.Now()
	j.detector, err = o.plan.make(net.ResNet, o.seed, downstream.WithProgress(func(p downstream.Progress) { s.tell.tell(what, p) }))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.detector.Close())
		}
	}()
	learnt, err := s.fit(ctx, o, j.detector)
	if err != nil {
		return nil, err
	}
	r.FitImages, r.TrainImages, r.TrainSeconds = learnt.images, learnt.others, learnt.training.Seconds()
	r.FitSeconds = (time.Since(start) - learnt.training).Seconds()

	s.tell.start()
	fmt.Fprintf(s.stderr, "%s: score %d images\n", what, o.test.Len())
	found := newPixels()
	start = time.Now()
	if err := s.score(ctx, j, found, &r); err != nil {
		return nil, err
	}
	r.ScoreSeconds = time.Since(start).Seconds()

	start = time.Now()
	if err := judgeImages(ctx, &r, j.scores, j.positive, s.o.rule); err != nil {
		return nil, err
	}
	if o.masked {
		if err := found.judge(ctx, &r); err != nil {
			return nil, err
		}
	}
	r.MetricsSeconds = time.Since(start).Seconds()
	r.FitSpeed = float64(r.FitImages) / r.FitSeconds
	if !o.plan.others {
		r.FitSpeed *= float64(max(1, r.Epochs))
	}
	r.ScoreSpeed = float64(r.ScoreImages) / r.ScoreSeconds
	if peakKnown {
		if r.PeakRSS, err = peakRSS(); err != nil {
			return nil, err
		}
	}
	j.record = r
	return j, nil
}

// fit teaches the detector of a job and says by what.
func (s *session) fit(ctx context.Context, o opened, d detector) (learnt, error) {
	if o.plan.fit == nil {
		return learnt{images: o.train.Len()}, d.Fit(ctx, o.train)
	}
	m := material{root: o.root, class: o.class, seed: o.seed, good: o.train, others: o.others, test: o.test}
	if s.o.json != "" {
		m.checkpoint = fmt.Sprintf("%s.%s-%s-%s.ckpt", s.o.json, o.of.name, baseOf(o.root), o.class)
	}
	return o.plan.fit(ctx, d, m)
}

// score runs the detector over the test set and gathers scores and pixels.
func (s *session) score(ctx context.Context, j *judged, found *pixels, r *record) error {
	for sc, err := range j.maps(ctx) {
		if err != nil {
			return err
		}
		if len(j.scores) == 0 {
			r.Width, r.Height = sc.Map.W, sc.Map.H
		}
		if math.IsNaN(sc.Score) {
			return fmt.Errorf("image %s: %w", sc.Name, metrics.ErrNaN)
		}
		defective, err := sc.Truth()
		if err != nil {
			return err
		}
		j.items, j.scores, j.positive = append(j.items, sc.Item), append(j.scores, sc.Score), append(j.positive, defective)
		if (s.o.maps != "" || s.pages != nil) && sc.IsGood() {
			if err := j.good.Add(sc.Map); err != nil {
				return err
			}
		}
		if j.masked {
			mask, err := j.mask(sc)
			if err != nil {
				return err
			}
			if err := found.add(pixelMap{sc.Name, sc.Map.Data, mask}); err != nil {
				return err
			}
		}
	}
	return nil
}

// draw makes the pictures of -maps.
func (s *session) draw(ctx context.Context, j *judged, what string) error {
	if s.o.maps == "" {
		return nil
	}
	dir := s.mapsOf(j.record.Data, j.record.Class)
	if s.runs > 1 { // of the same class
		dir = filepath.Join(dir, j.record.Method+"-"+j.record.Seed)
	}
	v, err := viewOf(&j.good)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.stderr, "%s: draw %d maps, colours from %.4g to %.4g\n", what, j.test.Len(), v.Scale.Low, v.Scale.High)
	return drawAll(ctx, dir, j.record.Class, j.detector, j.test, j.plan, v)
}

// checkTest says whether every defect has a mask, and refuses a test set that
// cannot be judged before anything is fitted.
func checkTest(test dataset.Dataset) (masked bool, err error) {
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
		return false, fmt.Errorf("%w: none of the %d test images is good; put some under test/good", metrics.ErrOneClass, test.Len())
	case masks > 0 && masks < defects:
		return false, fmt.Errorf("%w: %d of %d defective test images have no mask; give all of them one, or none", dataset.ErrMask, defects-masks, defects)
	}
	return masks > 0, nil
}

// resetPeak makes peakRSS begin anew with what is resident now, so that a job is not
// charged with the memory of one before it. It is false where the system does not
// let a process do so.
func resetPeak() bool { return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) == nil }

// peakRSS is the largest resident memory of this process since resetPeak, in bytes.
func peakRSS() (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("peak memory: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("peak memory: %w", err)
			}
			return kb << 10, nil
		}
	}
	return 0, fmt.Errorf("peak memory: /proc/self/status has no VmHWM")
}
