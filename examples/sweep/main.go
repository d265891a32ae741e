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

	"github.com/gotab/gotab/evaluate/study"
	"github.com/gotab/gotab/evaluate/sweep"
	"github.com/gotab/gotab/examples/internal/process"
	"github.com/gotab/gotab/tensor"
)

func main() {
	process.Main("sweep: ", errUsage, func(ctx context.Context, args []string, _, stderr io.Writer) error { return run(ctx, args, stderr) })
}

var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, stderr io.Writer) (err error) {
	fs := flag.NewFlagSet("sweep", flag.ContinueOnError)
	fs.SetOutput(stderr)
	cfg := sweep.Config{Log: stderr}
	planFile := fs.String("plan", "", "`file` with the plan (JSON; required)")
	fs.StringVar(&cfg.Out, "out", "", "`folder` for weights, logs, results and the table (required)")
	fs.StringVar(&cfg.Pretrain, "pretrain", "", "the `program` pretrain; default: beside this one or in the PATH")
	device := fs.String("device", "auto", "auto, cpu, cuda or cuda:N")
	threads := fs.Int("threads", 0, "largest `number` of threads; 0: as many as processors")
	only := fs.Bool("table", false, "write the table of what is there, and do nothing else")
	if err := fs.Parse(args); err != nil {
		return err
	}
	switch {
	case fs.NArg() > 0:
		return fmt.Errorf("%w: %q is not a flag", errUsage, fs.Arg(0))
	case *planFile == "" || cfg.Out == "":
		return fmt.Errorf("%w: -plan and -out are both needed", errUsage)
	case *threads < 0:
		return fmt.Errorf("%w: -threads is %d, want 0 or more", errUsage, *threads)
	}
	p, err := sweep.ReadPlan(*planFile)
	if err != nil {
		return err
	}
	if *threads > 0 {
		if err := tensor.SetThreads(tensor.Threads{Cores: *threads, PerRun: *threads}); err != nil {
			return err
		}
	}
	if cfg.Device, err = tensor.ParseDevice(*device); err != nil {
		return err
	}
	if *only {
		return sweep.WriteTable(ctx, p, cfg)
	}
	if err = sweep.Run(ctx, p, cfg); errors.Is(err, study.ErrProgram) {
		err = fmt.Errorf("%w: %w; or name it with -pretrain", errUsage, err)
	}
	return err
}
