package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/evaluate/report"
)

// session is one evaluation.
type session struct {
	o           Config
	net         network
	sources     sources
	compare     *network       // the second, or nil
	pages       *report.Writer // nil for no report
	exhibit     *exhibit       // the class that the report is at, or nil
	added       int            // classes of the report
	differences []string       // of detectors of the report, a line each
	store       *evaluate.Store
	made        evaluate.Origin
	runs        int             // jobs of each class on the first network
	seeded      bool            // some method has several seeds
	shared      map[string]bool // classes whose name several roots have
	noted       map[string]bool
	broken      map[string]bool    // places and names of samples that are left out
	skipped     map[place][]string // their names
	unseen      map[string]float64 // share of an image that a job's transform cuts off, by class and transform
	tell        *teller
	curves      curves
	log         io.Writer
}

// sources are the roots of [Config.Data].
type sources map[string]*evaluate.Root

func openSources(ctx context.Context, roots []string, dec dataset.Decoder) (sources, error) {
	s := sources{}
	for _, root := range roots {
		r, err := evaluate.OpenRoot(ctx, root, dec)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s[root] = r
	}
	return s, nil
}

// Close closes all roots.
func (s sources) Close() (err error) {
	for _, r := range s {
		err = errors.Join(err, r.Close())
	}
	return err
}

// place is a class of a root.
type place struct{ root, class string }

func (j job) place() place { return place{j.root, j.class} }

// classesOf lists the classes to evaluate and says what was passed over.
func classesOf(o Config, from sources) (out []place, err error) {
	for _, root := range o.Data {
		if len(o.Classes) > 0 {
			break
		}
		all, issues, err := from[root].Classes()
		if err != nil {
			return nil, err
		}
		for _, issue := range issues {
			fmt.Fprintf(o.Log, "note: %s\n", issue)
		}
		for _, class := range all {
			out = append(out, place{root, class})
		}
	}
	for _, class := range o.Classes {
		found := false
		for _, root := range o.Data {
			if from[root].Has(class) {
				out, found = append(out, place{root, class}), true
			}
		}
		if !found { // opening it says what is missing
			out = append(out, place{o.Data[0], class})
		}
	}
	return out, nil
}

// jobs lists what is to be done: every class by every method, on both networks where
// there are two, and with every seed. All plans and seeds are checked here, before the
// first of them takes its time.
func (s *session) jobs(classes []place) (out []job, err error) {
	type way struct {
		job
		seeds []evaluate.Seed
	}
	var ways []way
	for _, m := range s.o.Methods {
		for _, second := range []bool{false, true} {
			if second && s.compare == nil {
				continue
			}
			w := way{job{of: m, second: second}, s.o.Seeds}
			net := s.network(w.job)
			if w.method, err = s.plan(m, net); err != nil {
				return nil, err
			}
			w.method.Protocol.Rule = s.o.Rule
			if len(w.seeds) == 0 {
				w.seeds = []evaluate.Seed{w.method.Seed}
			}
			if err := hasAll(w.method, w.seeds); err != nil {
				return nil, err
			}
			if w.method.Chance == "" && len(w.seeds) > 1 {
				fmt.Fprintf(s.log, "note: %s draws nothing at random with these settings: one seed is enough\n", m.Name)
				w.seeds = w.seeds[:1]
			}
			s.seeded = s.seeded || len(w.seeds) > 1
			if !second {
				s.runs += len(w.seeds)
			}
			ways = append(ways, w)
		}
	}
	s.shared = map[string]bool{}
	for i, c := range classes {
		if slices.ContainsFunc(classes[:i], func(o place) bool { return o.class == c.class }) {
			s.shared[c.class] = true
		}
	}
	for _, c := range classes {
		for _, w := range ways {
			for _, sd := range w.seeds {
				j := w.job
				j.root, j.class, j.seed = c.root, c.class, sd
				out = append(out, j)
			}
		}
	}
	return out, nil
}

// plan makes up the settings of a method, which sees tiles where these are asked for.
func (s *session) plan(k detectors.Kind, net network) (evaluate.Method, error) {
	m, err := k.Plan(s.choice(k, net))
	t, tiles := s.o.Reading.View.Tiles()
	switch {
	case err != nil || !tiles:
		return m, err
	case k.Chooses:
		return m, fmt.Errorf("session: %w: tiles do not go with %s, which chooses the images that it learns from; take padim, patchcore, rd4ad or simplenet", ErrConfig, k.Name)
	}
	return detectors.Tiled(m, t)
}

// hasAll refuses the draw of a reference program for a method that has none: those
// that have one take it where no seed is given.
func hasAll(m evaluate.Method, seeds []evaluate.Seed) error {
	for _, s := range seeds {
		if err := m.Has(s); err != nil {
			return fmt.Errorf("%w for %s of %s (%s): give it a number, or leave the seed out and each method takes its own",
				err, strings.Join(m.Layers, " "), m.Arch, m.Weights)
		}
	}
	return nil
}

// network is the one that a job is done on.
func (s *session) network(j job) network {
	if j.second {
		return *s.compare
	}
	return s.net
}

// choice is what the config asks of a method on a network.
func (s *session) choice(m detectors.Kind, net network) detectors.Choice {
	c := detectors.Choice{Net: net.Network, Layers: s.o.Layers, Tune: s.o.Reading.Transform, Progress: func(p downstream.Progress) { s.tell.tell(p); s.curves.add(p) }}
	if m.Trains {
		c.Epochs = s.o.Epochs
	}
	if m.Shots {
		c.Shots = s.o.Shots
	}
	return c
}

// all goes on after a job that fails, so that one broken folder does not cost the
// others their figures, and reports all failures at the end. What is done is
// returned, whatever happens.
func (s *session) all(ctx context.Context, jobs []job) (r Result, err error) {
	if err := s.beginReport(); err != nil {
		return r, err
	}
	var done []evaluate.Record
	defer func() {
		err = errors.Join(err, s.endReport(ctx))
		r.Records, r.Differences = done, s.differences
	}()
	var failed []string
	var first error
	fails := func(what string, err error) {
		if len(jobs) > 1 {
			fmt.Fprintf(s.log, "class %s failed: %v\n", what, err)
		}
		failed = append(failed, what)
		if first == nil {
			first = err
		}
	}
	for i, j := range jobs {
		what := s.name(j)
		s.beginClass(j.place())
		record, err := s.one(ctx, j, fmt.Sprintf("[%d/%d] %s", i+1, len(jobs), what))
		if ctx.Err() != nil {
			return r, fmt.Errorf("stopped in class %s: %w", what, ctx.Err())
		}
		if errors.Is(err, evaluate.ErrStore) {
			return r, err
		}
		switch {
		case err != nil:
			fails(what, err)
			if s.exhibit != nil && !s.exhibit.Has(j.of.Name, j.second, j.seed) { // it may be the pictures of Maps that failed
				s.exhibit.failed = append(s.exhibit.failed, what)
			}
		case !j.second:
			done = append(done, record)
		}
		if i+1 < len(jobs) && jobs[i+1].place() == j.place() {
			continue
		}
		if err := s.endClass(ctx); err != nil {
			fails(s.className(j.place())+" in the report", err)
		}
	}
	switch {
	case len(failed) == 0:
		return r, nil
	case len(jobs) == 1:
		return r, fmt.Errorf("class %s: %w", failed[0], first)
	}
	things := "classes"
	if s.runs > 1 || s.compare != nil {
		things = "runs"
	}
	return r, fmt.Errorf("%d of %d %s failed (%s), the first one because: %w", len(failed), len(jobs), things, strings.Join(failed, "; "), first)
}

// note says what is odd about the data, once for each root.
func (s *session) note(root string, issue dataset.Issue) {
	text := fmt.Sprintf("note: %s (in %s)\n", issue, baseOf(root))
	if !s.noted[text] {
		s.noted[text] = true
		fmt.Fprint(s.log, text)
	}
}

// className is what a class is called where people read it: with its root where
// several have one of that name.
func (s *session) className(p place) string {
	if s.shared[p.class] {
		return baseOf(p.root) + "/" + p.class
	}
	return p.class
}

// name is what a job is called where people read it.
func (s *session) name(j job) string {
	name := s.className(j.place())
	if len(s.o.Methods) > 1 {
		name += ", " + j.of.Name
	}
	if j.second {
		name += ", " + s.compare.label
	}
	if s.seeded {
		name += ", seed " + j.seed.String()
	}
	return name
}

// one does one job, unless the records have it.
func (s *session) one(ctx context.Context, j job, line string) (evaluate.Record, error) {
	o, err := s.prepare(j)
	if err != nil {
		return evaluate.Record{}, err
	}
	if r, ok := s.store.Find(o.record.Key()); ok {
		fmt.Fprintf(s.log, "%s: is in %s\n", line, s.o.Records)
		return r, nil
	}
	if len(s.o.Classes) > 0 { // else they were listed with all classes
		for _, issue := range o.issues {
			s.note(j.root, issue)
		}
	}
	return s.evaluate(ctx, o, line)
}
