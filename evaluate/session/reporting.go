package session

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/evaluate/report"
	"github.com/gotab/gotab/metrics"
)

// exhibit is a class on its way into the report.
type exhibit struct {
	place
	report.Exhibit
	failed  []string // jobs
	stopped bool     // before its last job
}

// class is the exhibit as the report takes it, with what is missing.
func (x *exhibit) class() (report.Class, error) {
	c, err := x.Class()
	if len(x.failed) > 0 {
		c.Notes = append(c.Notes, "Failed, and not in what follows: "+strings.Join(x.failed, "; ")+".")
	}
	if x.stopped {
		c.Notes = append(c.Notes, "The run was stopped before it was done with this class.")
	}
	return c, err
}

// beginReport makes the folder of the report.
func (s *session) beginReport() (err error) {
	if s.o.Report == "" {
		return nil
	}
	h := report.Head{Title: "Evaluation", Command: s.o.Command, Gallery: report.DefaultGallery(),
		Intro: []string{fmt.Sprintf("Weights %s.", s.net.about())}}
	if s.compare != nil {
		h.Intro = append(h.Intro, fmt.Sprintf("Compared with weights %s.", s.compare.about()))
	}
	switch {
	case s.o.SameScale:
		h.Intro = append(h.Intro, "The second network's maps are on the scale of the first one's, which begins where maps of good test images end on that: "+
			"a colour is the same value on both.")
	case s.compare != nil || len(s.o.Methods) > 1:
		h.Intro = append(h.Intro, "Each detector's maps are on a scale of its own, which begins where maps of good test images end: "+
			"scores of two detectors are not on one scale, the colours say the same.")
	}
	h.Notes = []string{evaluate.MeaningOfCut(s.o.Rule), evaluate.MeaningOfAUPRO(metrics.LimitMVTec)}

	s.pages, err = report.Create(s.o.Report, h)
	return err
}

// endReport writes the page; a report without a class is none. What is done of a
// class that was not finished is in it.
func (s *session) endReport(ctx context.Context) (err error) {
	if s.pages == nil {
		return nil
	}
	if s.exhibit != nil {
		s.exhibit.stopped = true
		err = s.endClass(ctx)
	}
	if s.added == 0 {
		return errors.Join(err, s.pages.Close())
	}
	return errors.Join(err, s.pages.Finish())
}

// beginClass makes room for a class, unless it is there.
func (s *session) beginClass(p place) {
	if s.pages != nil && s.exhibit == nil {
		s.exhibit = &exhibit{place: p, Exhibit: report.Exhibit{Name: s.className(p), Rule: s.o.Rule, Gallery: report.DefaultGallery(), SharedScale: s.o.SameScale}}
	}
}

// endClass puts the class into the report and writes the page as it is by then: a
// run of hours may end otherwise than by its end. An interrupt does not stop it: it
// takes seconds, and what it shows has taken longer.
func (s *session) endClass(ctx context.Context) error {
	x := s.exhibit
	s.exhibit = nil
	switch {
	case x == nil:
		return nil
	case x.Len() == 0 && x.stopped:
		s.pages.Say("The run was stopped in class " + x.Name + ", which is not shown.")
		return nil
	case x.Len() == 0:
		s.pages.Say("Class " + x.Name + " failed and is not shown.")
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	c, err := x.class()
	if err != nil {
		return err
	}
	fmt.Fprintf(s.log, "%s: write to the report\n", x.Name)
	if err := s.pages.Add(ctx, c); err != nil {
		s.pages.Say("Class " + x.Name + " could not be drawn and is not shown.")
		return err
	}
	s.added++
	lines, err := c.Differences()
	s.differences = append(s.differences, lines...)
	return errors.Join(err, s.pages.Save())
}

// report keeps what the page shows of a job, whose detector is open.
func (s *session) report(ctx context.Context, j *judged) error {
	if s.exhibit == nil {
		return nil
	}
	return s.exhibit.Add(ctx, report.Shown{Name: s.detectorName(j.job), Method: j.of.Name, Second: j.second, Protocol: j.method.Protocol,
		Test: j.trial.Test, Outcome: j.Outcome, Detector: j.detector, Good: j.good})
}

// detectorName tells the detectors of a class apart.
func (s *session) detectorName(j job) string {
	if s.compare == nil {
		return j.of.Name
	}
	return j.of.Name + ", " + s.network(j).label
}

// sameMethods says which methods cannot be compared on another network; a
// support set, for one, would be drawn anew.
func sameMethods(methods []detectors.Kind) error {
	var bad []string
	for _, m := range methods {
		if m.Shots {
			bad = append(bad, m.Name)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("session: %w: a second network does not go with %s, which trains a network of its own: make a report for each of the weights", ErrConfig, strings.Join(bad, ", "))
}
