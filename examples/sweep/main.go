// Sweep trains networks by several recipes and seeds, makes controls that no training has
// touched, fits detectors on all of them with many draws, and writes one table of paired
// differences from the weights that all began with.
//
//	sweep -plan FILE.json -out FOLDER [-pretrain PROGRAM] [-device D] [-threads N] [-table]
//
// Trainings are runs of the program pretrain, one after the other; it is looked for beside
// this program and in the PATH. What is done is not done again: a sweep that was stopped
// goes on where it was, within a training at its last checkpoint. A training that fails is
// noted in the table, and the others go on.
//
// With "synthetic" in the plan no test image is read: good images that neither training
// nor detectors see are held against damaged twins of their own. That is what recipes,
// steps and shares may be chosen by.
//
// README.md describes the plan.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/examples/internal/process"
	"github.com/gotab/gotab/examples/internal/study"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/tensor"
)

func main() {
	process.Main("sweep: ", errUsage, func(ctx context.Context, args []string, _, stderr io.Writer) error { return run(ctx, args, stderr) })
}

type sweep struct {
	plan plan
	*study.Runner
	old oldResults
}

var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, stderr io.Writer) (err error) {
	fs := flag.NewFlagSet("sweep", flag.ContinueOnError)
	fs.SetOutput(stderr)
	planFile := fs.String("plan", "", "`file` with the plan (JSON; required)")
	out := fs.String("out", "", "`folder` for weights, logs, results and the table (required)")
	pretrain := fs.String("pretrain", "", "the `program` pretrain; default: beside this one or in the PATH")
	device := fs.String("device", "auto", "auto, cpu, cuda or cuda:N")
	threads := fs.Int("threads", 0, "largest `number` of threads; 0: as many as processors")
	only := fs.Bool("table", false, "write the table of what is there, and do nothing else")
	if err := fs.Parse(args); err != nil {
		return err
	}
	switch {
	case fs.NArg() > 0:
		return fmt.Errorf("%w: %q is not a flag", errUsage, fs.Arg(0))
	case *planFile == "" || *out == "":
		return fmt.Errorf("%w: -plan and -out are both needed", errUsage)
	case *threads < 0:
		return fmt.Errorf("%w: -threads is %d, want 0 or more", errUsage, *threads)
	}
	p, err := readPlan(*planFile)
	if err != nil {
		return err
	}
	if *threads > 0 {
		if err := tensor.SetThreads(tensor.Threads{Cores: *threads, PerRun: *threads}); err != nil {
			return err
		}
	}
	dev, err := tensor.ParseDevice(*device)
	if err != nil {
		return err
	}
	s := &sweep{plan: p, Runner: &study.Runner{Start: p.Start, Out: *out, Pretrain: *pretrain, Device: dev, Log: stderr}}
	if s.old, err = openOld(filepath.Join(*out, "results.jsonl")); err != nil {
		return err
	}
	s.Done = s.old.has
	file := filepath.Join(*out, "records.jsonl")
	if *only { // may go on beside a sweep that writes
		records, err := readRecords(file)
		if err != nil {
			return err
		}
		return s.table(ctx, records)
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	if s.Store, err = evaluate.OpenStore(file, true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Store.Close()) }()
	return s.all(ctx)
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
	if slices.ContainsFunc(s.plan.Networks, func(n network) bool { return n.trained() }) {
		if err := s.FindPretrain(); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	sets, err := openSets(ctx, s.plan)
	if err != nil {
		return err
	}
	byName := map[string]network{}
	for _, n := range s.plan.Networks {
		byName[n.Name] = n
	}
	var failures error
	bad := map[string]bool{} // files that could not be made
	for _, v := range append([]study.Variant{study.StartOf(s.plan.Start)}, s.plan.variants(s.Runner)...) {
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
			fmt.Fprintf(s.Log, "%v\n", err)
		}
		if bad[v.File] {
			continue
		}
		if err := s.judge(ctx, n, v, sets); errors.Is(err, study.ErrTrials) {
			failures = errors.Join(failures, err)
		} else if err != nil {
			return err
		}
		if err := s.table(ctx, s.Store.Records()); err != nil {
			return err
		}
	}
	return errors.Join(failures, s.table(ctx, s.Store.Records()))
}

// judge fits and scores all classes on the weights of a variant, which may be other ones
// for each class.
func (s *sweep) judge(ctx context.Context, n network, v study.Variant, sets []study.Set) error {
	if n.Control == nil || !n.Control.Remeasure {
		_, err := s.Judge(ctx, v, sets, s.plan.fits())
		return err
	}
	var failures error
	for _, set := range sets {
		own := v
		own.File = classFile(v, set)
		if _, err := s.Judge(ctx, own, []study.Set{set}, s.plan.fits()); errors.Is(err, study.ErrTrials) {
			failures = errors.Join(failures, err)
		} else if err != nil {
			return err
		}
	}
	return failures
}

// train trains a network of the plan, unless its weights are there.
func (s *sweep) train(ctx context.Context, n network, v study.Variant) error {
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
	return s.Train(ctx, v, args)
}

// folders are what a training reads: the roots as they are, or, where classes are left
// out or good images are kept apart, a folder with copies of the images that remain.
func (s *sweep) folders(ctx context.Context, n network, roots []string) ([]string, error) {
	if len(n.Without) == 0 && s.plan.Synthetic == nil {
		return roots, nil
	}
	dir := filepath.Join(s.Out, "data", n.Name)
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
			return nil, fmt.Errorf("%w: network %q: \"without\" names class %q, which is not there", errPlan, n.Name, c)
		}
	}
	return []string{dir}, nil
}

// table writes the table of records, old ones first.
func (s *sweep) table(ctx context.Context, records []evaluate.Record) error {
	r := results{slices.Concat(s.old.records, records), s.old.failures}
	groups := []string{startName}
	for _, v := range s.plan.variants(s.Runner) {
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
	return atomicfile.Write(filepath.Join(s.Out, "table.md"), func(w io.Writer) error {
		return tables(ctx, w, s.plan, r, groups)
	})
}
