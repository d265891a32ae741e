// Package sweep trains networks by several recipes and seeds, makes controls that no
// training has touched, fits detectors on all of them with many draws, and writes one
// table of paired differences from the weights that all began with.
//
// What is done stands in a [Plan], a file that can be written before its results. [Run] does
// what is not done yet, in a folder: weights/ with logs and checkpoints, records.jsonl
// (evaluate.Store) and table.md. A sweep that was stopped goes on where it was, within a
// training at its last checkpoint. What fails is noted in the table, and the rest goes on.
//
// With [Synthetic] in the plan no test image is read: good images that neither training nor
// detectors see are held against damaged twins of their own. That is what recipes, steps
// and shares may be chosen by.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/study"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/tensor"
)

// Config says where a sweep runs.
type Config struct {
	// Out is the folder of weights, logs, records and the table.
	Out string
	// Pretrain is the program that trains ([study.Runner]); empty looks for it. Trainer
	// trains in its place, where it is not nil.
	Pretrain string
	Trainer  study.Trainer
	Device   tensor.Device
	// Log gets a line for what is done; nil for nowhere.
	Log io.Writer
}

// ErrConfig reports settings that make no sense.
var ErrConfig = errors.New("wrong settings")

// Validate names the first field that makes no sense; the error wraps [ErrConfig].
func (c Config) Validate() error {
	if c.Out == "" {
		return fmt.Errorf("sweep: %w: Out is empty, the folder of weights, records and the table", ErrConfig)
	}
	return nil
}

// sweep is a plan that is carried out.
type sweep struct {
	plan   Plan
	runner *study.Runner
	old    oldResults
	judged []evaluate.Record // of the weights, images and settings as they are now
	start  string            // checksum of the start's weights, once it is known
}

func open(p Plan, cfg Config) (*sweep, error) {
	if err := errors.Join(p.Validate(), cfg.Validate()); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	old, err := openOld(filepath.Join(cfg.Out, "results.jsonl"))
	if err != nil {
		return nil, err
	}
	r := &study.Runner{Start: p.Start, Out: cfg.Out, Pretrain: cfg.Pretrain, Trainer: cfg.Trainer, Device: cfg.Device, Log: cfg.Log, Done: old.find}
	return &sweep{plan: p, runner: r, old: old}, nil
}

func recordsOf(out string) string { return filepath.Join(out, "records.jsonl") }

// Run does what a plan wants and is not done yet, and writes the table after each network: of what was judged of
// the weights, images and settings as they are now.
// It returns all that failed, which is noted, and goes on; what keeps everything from going on ends
// it at once: an error that wraps [ErrPlan], [ErrConfig], [study.ErrProgram], evaluate.ErrStore, or that of ctx.
func Run(ctx context.Context, p Plan, cfg Config) (err error) {
	s, err := open(p, cfg)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.Out, 0o755); err != nil {
		return err
	}
	if s.runner.Store, err = evaluate.OpenStore(recordsOf(cfg.Out), true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.runner.Store.Close()) }()
	if err := s.runner.Store.Unlocked(); err != nil {
		fmt.Fprintf(s.runner.Log, "note: two that write these results at once would not be kept apart: %v\n", err)
	}
	return s.carryOut(ctx)
}

// WriteTable writes the table of what is there and fits nothing. It may be called beside a [Run] that goes
// on. What is not of the weights, images and settings as they are now is left out, so that data and weights
// must be there as for Run; a network whose weights are not there yet has no figures.
func WriteTable(ctx context.Context, p Plan, cfg Config) error {
	s, err := open(p, cfg)
	if err != nil {
		return err
	}
	records, err := readRecords(recordsOf(cfg.Out))
	if err != nil {
		return err
	}
	if len(records)+len(s.old.done) > 0 {
		sets, err := openSets(ctx, p)
		if err != nil {
			return err
		}
		if err := s.find(ctx, sets, records); err != nil {
			return err
		}
	}
	return s.table(ctx, records)
}

// find looks for all that the plan wants among records.
func (s *sweep) find(ctx context.Context, sets []study.Set, records []evaluate.Record) error {
	for _, v := range s.all() {
		if err := s.sameRecipe(s.network(v), v); errors.Is(err, errRecipe) { // the table says so
			continue
		} else if err != nil {
			return err
		}
		err := s.each(v, sets, func(v study.Variant, sets []study.Set) error {
			of, err := s.runner.Found(ctx, v, sets, s.plan.fits(), records)
			s.keep(of)
			if v.Name != startName && errors.Is(err, fs.ErrNotExist) { // not made yet
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readRecords reads a file of records, which need not be there.
func readRecords(path string) ([]evaluate.Record, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return evaluate.ReadRecords(f)
}

// all are the weights that are judged, the start first.
func (s *sweep) all() []study.Variant {
	return append([]study.Variant{study.StartOf(s.plan.Start)}, s.plan.variants(s.runner)...)
}

// network is the one of the plan that a variant is of; the zero value for the start.
func (s *sweep) network(v study.Variant) Network {
	i := slices.IndexFunc(s.plan.Networks, func(n Network) bool { return n.Name == v.Name })
	if i < 0 {
		return Network{}
	}
	return s.plan.Networks[i]
}

// carryOut makes and judges all weights.
func (s *sweep) carryOut(ctx context.Context) error {
	if slices.ContainsFunc(s.plan.Networks, func(n Network) bool { return n.trained() }) {
		if err := s.runner.FindPretrain(); err != nil {
			return err
		}
	}
	sets, err := openSets(ctx, s.plan)
	if err != nil {
		return err
	}
	// What an earlier call has done is in the table from the beginning.
	if records := s.runner.Store.Records(); len(records)+len(s.old.done) > 0 {
		if err := s.find(ctx, sets, records); err != nil {
			return err
		}
	}
	var failures error
	bad := map[string]bool{} // files that could not be made
	for _, v := range s.all() {
		n := s.network(v)
		s.forget(v)
		var err error
		switch own := v.Name != startName && !bad[v.File]; {
		case own && n.Control != nil:
			err = s.control(ctx, n, v, sets)
		case own && n.trained():
			err = s.train(ctx, n, v)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("stopped: %w", ctx.Err())
		}
		if err != nil {
			bad[v.File] = true
			failures = errors.Join(failures, err)
			fmt.Fprintf(s.runner.Log, "%v\n", err)
		}
		if bad[v.File] {
			continue
		}
		if err := s.judge(ctx, v, sets); errors.Is(err, study.ErrTrials) {
			failures = errors.Join(failures, err)
		} else if err != nil {
			return err
		}
		if err := s.table(ctx, s.runner.Store.Records()); err != nil {
			return err
		}
	}
	return errors.Join(failures, s.table(ctx, s.runner.Store.Records()))
}

// judge fits and scores all classes on the weights of a variant.
func (s *sweep) judge(ctx context.Context, v study.Variant, sets []study.Set) error {
	return s.each(v, sets, func(v study.Variant, sets []study.Set) error {
		of, err := s.runner.Judge(ctx, v, sets, s.plan.fits())
		s.keep(of)
		return err
	})
}

// forget takes a variant out of the table, whose weights may be made anew.
func (s *sweep) forget(v study.Variant) {
	s.judged = slices.DeleteFunc(s.judged, func(r evaluate.Record) bool { return r.Training != nil && *r.Training == v.Training })
}

// keep puts what was judged into the table.
func (s *sweep) keep(of []study.Judged) {
	for _, j := range of {
		s.judged = append(s.judged, j.Record)
	}
}

// each calls do with the weights of a variant and the classes that are judged on them: all, or
// each on weights of its own. It goes on after study.ErrTrials.
func (s *sweep) each(v study.Variant, sets []study.Set, do func(study.Variant, []study.Set) error) error {
	if c := s.network(v).Control; c == nil || !c.Remeasure {
		return do(v, sets)
	}
	var failures error
	for _, set := range sets {
		own := v
		own.File = classFile(v, set)
		if err := do(own, []study.Set{set}); errors.Is(err, study.ErrTrials) {
			failures = errors.Join(failures, err)
		} else if err != nil {
			return err
		}
	}
	return failures
}

// train trains a network of the plan, unless its weights are there.
func (s *sweep) train(ctx context.Context, n Network, v study.Variant) error {
	if err := s.sameRecipe(n, v); err != nil {
		return err
	}
	if _, err := os.Stat(v.File); err == nil {
		return nil
	}
	if err := s.noteRecipe(n, v); err != nil {
		return err
	}
	folders, err := s.folders(ctx, n, s.roots(n))
	if err != nil {
		return err
	}
	args := append(slices.Clone(s.plan.Pretrain), n.Pretrain...)
	for _, d := range folders {
		args = append(args, "-data", d)
	}
	return s.runner.Train(ctx, v, args)
}

// folders are what a training reads: the roots as they are, or, where classes are left
// out or good images are kept apart, a folder with copies of the images that remain.
func (s *sweep) folders(ctx context.Context, n Network, roots []string) ([]string, error) {
	if len(n.Without) == 0 && s.plan.Synthetic == nil {
		return roots, nil
	}
	dir := filepath.Join(s.runner.Out, "data", n.Name)
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	met := map[string]bool{}
	for _, root := range roots {
		classes, err := study.CopyGood(ctx, root, dir, func(class string, good dataset.Dataset) []int {
			if slices.Contains(n.Without, class) {
				return nil
			}
			if s.plan.Synthetic != nil {
				train, _ := s.plan.Synthetic.kept(good, class)
				return train
			}
			all := make([]int, good.Len())
			for i := range all {
				all[i] = i
			}
			return all
		})
		if err != nil {
			return nil, err
		}
		for _, c := range classes {
			met[c] = true
		}
	}
	for _, c := range n.Without {
		if !met[c] {
			return nil, fmt.Errorf("%w: network %q: \"without\" names class %q, which is not there", ErrPlan, n.Name, c)
		}
	}
	return []string{dir}, nil
}

// table writes the table of what was judged, and the failures among records.
func (s *sweep) table(ctx context.Context, records []evaluate.Record) error {
	r := results{s.judged, slices.Clone(s.old.failures)}
	groups := []string{startName}
	told := map[string]bool{} // files, which several shares have in common
	for _, v := range s.plan.variants(s.runner) {
		if !slices.Contains(groups, v.Group()) {
			groups = append(groups, v.Group())
		}
		if told[v.File] {
			continue
		}
		told[v.File] = true
		reason, err := study.Failure(v)
		if other := s.sameRecipe(s.network(v), v); err == nil && errors.Is(other, errRecipe) {
			reason = other.Error()
		} else {
			err = errors.Join(err, other)
		}
		if err != nil {
			return err
		}
		if reason != "" {
			r.failures = append(r.failures, failedLine(v.Name, v.Seed, strings.TrimSpace(reason)))
		}
	}
	for _, x := range records {
		if x.Failed == "" || x.Training == nil || s.done(x) {
			continue
		}
		line := failedLine(x.Training.Name, x.Training.Seed, fmt.Sprintf("%s by %s, seed %s: %s", x.Class, x.Method, x.Seed, x.Failed))
		if !slices.Contains(r.failures, line) { // each call tries again
			r.failures = append(r.failures, line)
		}
	}
	return atomicfile.Write(filepath.Join(s.runner.Out, "table.md"), func(w io.Writer) error {
		return tables(ctx, w, s.plan, r, groups)
	})
}

// done says whether a fit that failed once has succeeded since.
func (s *sweep) done(x evaluate.Record) bool {
	return slices.ContainsFunc(s.judged, func(r evaluate.Record) bool {
		return r.Training != nil && *r.Training == *x.Training && r.Class == x.Class && r.Method == x.Method && r.Seed == x.Seed
	})
}
