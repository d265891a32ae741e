package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/examples/evaluate/internal/report"
)

// session is one run of the program.
type session struct {
	o              options
	net            network
	compare        *network       // of -compare, or nil
	pages          *report.Writer // of -report, or nil
	store          *store
	made           origin
	runs           int // jobs of each class
	noted          map[string]bool
	tell           *teller
	stdout, stderr io.Writer
}

// place is a class of a root.
type place struct{ root, class string }

// classesOf lists the classes to evaluate and says what was passed over.
func classesOf(o options, stderr io.Writer) (out []place, err error) {
	for _, root := range o.data {
		if o.classes != nil {
			break
		}
		all, err := dataset.OpenMVTecAD(root, "", "")
		if err != nil {
			return nil, err
		}
		for _, issue := range all.Issues() {
			fmt.Fprintf(stderr, "note: %s\n", issue)
		}
		for _, class := range all.Classes() {
			out = append(out, place{root, class})
		}
	}
	for _, class := range o.classes {
		found := false
		for _, root := range o.data {
			if st, err := os.Stat(filepath.Join(root, class)); err == nil && st.IsDir() || baseOf(root) == class {
				out, found = append(out, place{root, class}), true
			}
		}
		if !found { // opening it says what is missing
			out = append(out, place{o.data[0], class})
		}
	}
	return out, nil
}

// jobs lists what is to be done: every method and every seed for each class.
func (s *session) jobs(classes []place) (out []job, err error) {
	type way struct {
		job
		seeds []seed
	}
	var ways []way
	for _, m := range s.o.methods {
		p, err := m.plan(s.choice(m, s.net))
		if err != nil {
			return nil, err
		}
		w := way{job{of: m, plan: p}, s.o.seeds}
		if w.seeds == nil {
			w.seeds = []seed{p.seed}
		}
		if p.chance == "" && len(w.seeds) > 1 {
			fmt.Fprintf(s.stderr, "note: %s draws nothing at random with these settings: one seed is enough\n", m.name)
			w.seeds = w.seeds[:1]
		}
		s.runs += len(w.seeds)
		ways = append(ways, w)
	}
	for _, w := range ways {
		for _, c := range classes {
			for _, sd := range w.seeds {
				j := w.job
				j.root, j.class, j.seed = c.root, c.class, sd
				out = append(out, j)
			}
		}
	}
	return out, nil
}

// choice is what the flags ask of a method on a network.
func (s *session) choice(m method, net network) choice {
	c := choice{arch: net.arch, layers: s.o.layers}
	if m.trains {
		c.epochs = s.o.epochs
	}
	if m.shots {
		c.shots = s.o.shots
	}
	return c
}

// all goes on after a job that fails, so that one broken folder does not cost the
// others their figures, and reports all failures at the end. What is done is
// printed, whatever happens.
func (s *session) all(ctx context.Context, jobs []job) (err error) {
	if err := s.beginReport(); err != nil {
		return err
	}
	var done []record
	defer func() {
		if e := s.endReport(len(done)); e != nil {
			err = errors.Join(err, e)
		}
		if len(done) > 0 {
			if e := printResults(s.stdout, done, s.o); e != nil {
				err = errors.Join(err, fmt.Errorf("write the table: %w", e))
			}
		}
	}()
	var failed []string
	var first error
	for i, j := range jobs {
		what := s.name(j)
		line := fmt.Sprintf("[%d/%d] %s", i+1, len(jobs), what)
		r, err := s.one(ctx, j, line)
		if ctx.Err() != nil {
			return fmt.Errorf("stopped in class %s: %w", what, ctx.Err())
		}
		if errors.Is(err, errStore) {
			return err
		}
		if err != nil {
			if len(jobs) > 1 {
				fmt.Fprintf(s.stderr, "class %s failed: %v\n", what, err)
			}
			failed = append(failed, what)
			if first == nil {
				first = err
			}
			continue
		}
		done = append(done, r)
	}
	switch {
	case len(failed) == 0:
		return nil
	case len(jobs) == 1:
		return fmt.Errorf("class %s: %w", failed[0], first)
	}
	things := "classes"
	if s.runs > 1 {
		things = "runs"
	}
	return fmt.Errorf("%d of %d %s failed (%s), the first one because: %w", len(failed), len(jobs), things, strings.Join(failed, "; "), first)
}

// note says what is odd about the data, once for each root.
func (s *session) note(root string, issue dataset.Issue) {
	text := fmt.Sprintf("note: %s (in %s)\n", issue, baseOf(root))
	if !s.noted[text] {
		s.noted[text] = true
		fmt.Fprint(s.stderr, text)
	}
}

// name is what a job is called where people read it.
func (s *session) name(j job) string {
	name := j.class
	if len(s.o.methods) > 1 {
		name += ", " + j.of.name
	}
	if s.runs > len(s.o.methods) {
		name += ", seed " + j.seed.String()
	}
	return name
}

// one does one job, unless the -json file has it.
func (s *session) one(ctx context.Context, j job, line string) (record, error) {
	o, err := s.prepare(j)
	if err != nil {
		return record{}, err
	}
	if r, ok := s.store.find(o.record.key()); ok {
		fmt.Fprintf(s.stderr, "%s: is in %s\n", line, s.o.json)
		return r, nil
	}
	if s.o.classes != nil { // else they were listed with all classes
		for _, issue := range append(o.train.Issues(), o.test.Issues()...) {
			s.note(j.root, issue)
		}
	}
	return s.evaluate(ctx, o, line)
}
