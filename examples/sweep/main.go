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
	"io"

	"github.com/gotab/gotab/evaluate/study"
	"github.com/gotab/gotab/evaluate/sweep"
	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/examples/internal/process"
)

func main() {
	process.Main("sweep: ", errUsage, func(ctx context.Context, args []string, _, stderr io.Writer) error { return run(ctx, args, stderr) })
}

var (
	errUsage = errors.New("usage")
	wrong    = process.Wrong(errUsage)
)

func run(ctx context.Context, args []string, stderr io.Writer) (err error) {
	fs := flag.NewFlagSet("sweep", flag.ContinueOnError)
	fs.SetOutput(stderr)
	cfg := sweep.Config{Log: stderr}
	planFile := fs.String("plan", "", "`file` with the plan (JSON; required)")
	fs.StringVar(&cfg.Out, "out", "", "`folder` for weights, logs, results and the table (required)")
	fs.StringVar(&cfg.Pretrain, "pretrain", "", "the `program` pretrain; default: beside this one or in the PATH")
	var reading inputs.Flags
	reading.AddDevice(fs)
	reading.AddThreads(fs)
	only := fs.Bool("table", false, "write the table of what is there, and do nothing else")
	if err := fs.Parse(args); err != nil {
		return err
	}
	switch {
	case fs.NArg() > 0:
		return wrong("%q is not a flag", fs.Arg(0))
	case *planFile == "" || cfg.Out == "":
		return wrong("-plan and -out are both needed")
	case reading.Threads < 0:
		return wrong("-threads is %d, want 0 or more", reading.Threads)
	}
	p, err := sweep.ReadPlan(*planFile)
	if err != nil {
		return err
	}
	if cfg.Device, err = reading.Start(); err != nil {
		return err
	}
	if *only {
		return sweep.WriteTable(ctx, p, cfg)
	}
	if err = sweep.Run(ctx, p, cfg); errors.Is(err, study.ErrProgram) {
		err = wrong("%w; or name it with -pretrain", err)
	}
	return err
}
