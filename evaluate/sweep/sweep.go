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

// sweep is a plan that is carried out.
type sweep struct {
	plan   Plan
	runner *study.Runner
	old    oldResults
}

func open(p Plan, cfg Config) (*sweep, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	old, err := openOld(filepath.Join(cfg.Out, "results.jsonl"))
	if err != nil {
		return nil, err
	}
	return &sweep{p, &study.Runner{Start: p.Start, Out: cfg.Out, Pretrain: cfg.Pretrain, Trainer: cfg.Trainer, Device: cfg.Device, Log: cfg.Log, Done: old.has}, old}, nil
}

func recordsOf(out string) string { return filepath.Join(out, "records.jsonl") }

// Run does what a plan wants and is not done yet, and writes the table after each network.
// It returns all that failed, which is noted, and goes on; what keeps everything from going on ends
// it at once: an error that wraps [ErrPlan], [study.ErrProgram], evaluate.ErrStore, or that of ctx.
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
	return s.all(ctx)
}

// WriteTable writes the table of what is there and does nothing else. It may be called
// beside a [Run] that goes on.
func WriteTable(ctx context.Context, p Plan, cfg Config) error {
	s, err := open(p, cfg)
	if err != nil {
		return err
	}
	records, err := readRecords(recordsOf(cfg.Out))
	if err != nil {
		return err
	}
	return s.table(ctx, records)
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

func (s *sweep) all(ctx context.Context) error {
	if slices.ContainsFunc(s.plan.Networks, func(n Network) bool { return n.trained() }) {
		if err := s.runner.FindPretrain(); err != nil {
			return err
		}
	}
	sets, err := openSets(ctx, s.plan)
	if err != nil {
		return err
	}
	byName := map[string]Network{}
	for _, n := range s.plan.Networks {
		byName[n.Name] = n
	}
	var failures error
	bad := map[string]bool{} // files that could not be made
	for _, v := range append([]study.Variant{study.StartOf(s.plan.Start)}, s.plan.variants(s.runner)...) {
		n := byName[v.Name]
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
		if err := s.judge(ctx, n, v, sets); errors.Is(err, study.ErrTrials) {
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

// judge fits and scores all classes on the weights of a variant, which may be other ones
// for each class.
func (s *sweep) judge(ctx context.Context, n Network, v study.Variant, sets []study.Set) error {
	if n.Control == nil || !n.Control.Remeasure {
		_, err := s.runner.Judge(ctx, v, sets, s.plan.fits())
		return err
	}
	var failures error
	for _, set := range sets {
		own := v
		own.File = classFile(v, set)
		if _, err := s.runner.Judge(ctx, own, []study.Set{set}, s.plan.fits()); errors.Is(err, study.ErrTrials) {
			failures = errors.Join(failures, err)
		} else if err != nil {
			return err
		}
	}
	return failures
}

// train trains a network of the plan, unless its weights are there.
func (s *sweep) train(ctx context.Context, n Network, v study.Variant) error {
	if _, err := os.Stat(v.File); err == nil {
		return nil
	}
	roots := n.Data
	if len(roots) == 0 {
		roots = s.plan.Data
	}
	folders, err := s.folders(ctx, n, roots)
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

// table writes the table of records, old ones first.
func (s *sweep) table(ctx context.Context, records []evaluate.Record) error {
	r := results{slices.Concat(s.old.records, records), s.old.failures}
	groups := []string{startName}
	for _, v := range s.plan.variants(s.runner) {
		if !slices.Contains(groups, v.Group()) {
			groups = append(groups, v.Group())
		}
		if v.Share != 1 {
			continue
		}
		reason, err := study.Failure(v)
		if err != nil {
			return err
		}
		if reason != "" {
			r.failures = append(r.failures, failedLine(v.Name, v.Seed, strings.TrimSpace(reason)))
		}
	}
	return atomicfile.Write(filepath.Join(s.runner.Out, "table.md"), func(w io.Writer) error {
		return tables(ctx, w, s.plan, r, groups)
	})
}
