// Sweep trains networks by several recipes and seeds, fits detectors on all of them with
// many draws, and writes one table of paired differences from the weights that all began
// with.
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
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/tab/card"
	"github.com/gotab/gotab/tensor"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "sweep: %v\n", err)
		os.Exit(1)
	}
}

type sweep struct {
	plan             plan
	out              string
	pretrain, device string
	store            *store
	stderr           io.Writer
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
	s := &sweep{plan: p, out: *out, pretrain: *pretrain, device: *device, stderr: stderr}
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return err
	}
	if s.store, err = openStore(filepath.Join(s.out, "results.jsonl")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.store.close()) }()
	if *only {
		return s.table(ctx)
	}
	return s.all(ctx)
}

// findPretrain is done before the first hour is spent.
func (s *sweep) findPretrain() error {
	needed := false
	for _, n := range s.plan.Networks {
		needed = needed || n.File == ""
	}
	if s.pretrain != "" || !needed {
		return nil
	}
	if own, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(own), "pretrain")
		if st, err := os.Stat(beside); err == nil && st.Mode().IsRegular() {
			s.pretrain = beside
			return nil
		}
	}
	path, err := exec.LookPath("pretrain")
	if err != nil {
		return fmt.Errorf("%w: the program pretrain is neither beside this one nor in the PATH: build both into one folder (go build -o FOLDER ./examples/sweep ./examples/pretrain), or name it with -pretrain", errUsage)
	}
	s.pretrain = path
	return nil
}

func (s *sweep) all(ctx context.Context) error {
	if err := s.findPretrain(); err != nil {
		return err
	}
	sets, err := openSets(ctx, s.plan)
	if err != nil {
		return err
	}
	start := variant{Network: startName, Share: 1, file: s.plan.Start}
	if err := s.evaluate(ctx, start, sets); err != nil {
		return err
	}
	var failures error
	byName := map[string]network{}
	for _, n := range s.plan.Networks {
		byName[n.Name] = n
	}
	bad := map[string]bool{}
	for _, v := range s.plan.variants(s.out) {
		n := byName[v.Network]
		what := fmt.Sprintf("%s-%d", n.Name, v.Seed)
		if n.File == "" && !bad[what] {
			err := s.train(ctx, n, v.Seed, v.file)
			if ctx.Err() != nil {
				return fmt.Errorf("stopped: %w", ctx.Err())
			}
			if err != nil {
				bad[what] = true
				failures = errors.Join(failures, err)
				fmt.Fprintf(s.stderr, "%v\n", err)
				if err := s.store.add(record{Network: n.Name, Seed: v.Seed, Share: v.Share, Failed: err.Error()}); err != nil {
					return err
				}
			}
		}
		if bad[what] {
			continue
		}
		if err := s.evaluate(ctx, v, sets); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("stopped: %w", ctx.Err())
			}
			return err
		}
		if err := s.table(ctx); err != nil {
			return err
		}
	}
	return errors.Join(failures, s.table(ctx))
}

// evaluate fits what is not in the results yet.
func (s *sweep) evaluate(ctx context.Context, v variant, sets []set) (err error) {
	fits := s.plan.fittings()
	weights, err := card.FileAt(v.file)
	if err != nil {
		return err
	}
	sha := weights.SHA256
	var net *backbone.ResNet
	defer func() {
		if net != nil {
			err = errors.Join(err, net.Close())
		}
	}()
	for _, st := range sets {
		has := func(f fitting) bool { return s.store.has(v, sha, st.id, f.detector, f.draw) }
		missing := 0
		for _, f := range fits {
			if !has(f) {
				missing++
			}
		}
		if missing == 0 {
			continue
		}
		if net == nil {
			if net, err = s.open(ctx, v); err != nil {
				return fmt.Errorf("%s: %w", v.name(), err)
			}
		}
		begin := time.Now()
		err := judge(ctx, net, st, fits, has, func(f fitting, r record) error {
			r.Network, r.Seed, r.Share, r.SHA256, r.Set, r.Class = v.Network, v.Seed, v.Share, sha, st.id, st.class
			return s.store.add(r)
		})
		if err != nil {
			return fmt.Errorf("%s, class %s: %w", v.name(), st.class, err)
		}
		fmt.Fprintf(s.stderr, "%s, %s: %d fits in %s\n", v.name(), st.class, missing, time.Since(begin).Round(time.Second/10))
	}
	return nil
}

func (s *sweep) table(ctx context.Context) error {
	return atomicfile.Write(filepath.Join(s.out, "table.md"), func(w io.Writer) error {
		return tables(ctx, w, s.plan, s.store.records, s.plan.variants(s.out))
	})
}
