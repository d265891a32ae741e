// Package program is what the programs under bench share: how they begin and end, and on what they run.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// Main runs a program until it ends or is interrupted, and exits with 1 and its error if it fails.
func Main(name string, run func(ctx context.Context, args []string, stdout, stderr io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Flags say how a network is measured beside another program: on which device, with how many threads, how exactly, and for how long.
type Flags struct {
	Threads    int
	Device     string
	TF32, BF16 bool
	Seconds    float64
	Profile    string
}

// Add defines the flags; before names what is done before the time counts.
func (f *Flags) Add(fs *flag.FlagSet, before string) {
	fs.Float64Var(&f.Seconds, "seconds", 3, "how long to measure, after "+before)
	fs.IntVar(&f.Threads, "threads", 0, "`threads` (all processors that the process may use)")
	fs.StringVar(&f.Device, "device", "cpu", "auto, cpu, cuda or cuda:N")
	fs.BoolVar(&f.BF16, "bf16", false, "convolve in bfloat16")
	fs.BoolVar(&f.TF32, "tf32", false, "let CUDA multiply with 10 bits of mantissa")
	fs.StringVar(&f.Profile, "profile", "", "`file` for a profile of Go's processor time")
}

// Place is on what a program has run, as it prints that.
type Place struct {
	Device    string `json:"device"`
	Libtorch  string `json:"libtorch"`
	Threads   int    `json:"threads"`
	Precision string `json:"precision"`
}

// Begin sets the process up as the flags say. cuDNN chooses its kernels by trial, as the PyTorch side does.
func (f *Flags) Begin() (at Place, dev tensor.Device, precision backbone.Precision, err error) {
	if err := Seconds(f.Seconds); err != nil {
		return at, dev, precision, err
	}
	if err := Threads(f.Threads); err != nil {
		return at, dev, precision, err
	}
	settings := tensor.DefaultSettings()
	settings.TF32, settings.CuDNNBenchmark, settings.CuDNNNondeterministic = f.TF32, true, true
	if err := tensor.Configure(settings); err != nil {
		return at, dev, precision, err
	}
	if dev, err = tensor.ParseDevice(f.Device); err != nil {
		return at, dev, precision, err
	}
	precision = Precision(f.BF16)
	return Place{Device: dev.String(), Libtorch: tensor.LibtorchVersion(), Threads: tensor.GetThreads().PerRun, Precision: precision.String()}, dev, precision, nil
}

// Long is how long to measure.
func (f *Flags) Long() time.Duration { return time.Duration(f.Seconds * float64(time.Second)) }

// Seconds returns an error if s is no time of a measurement.
func Seconds(s float64) error {
	if !(s >= 0 && s <= 3600) {
		return fmt.Errorf("-seconds is %g, want 0 to 3600", s)
	}
	return nil
}

// Threads lets the process and each Run have n threads; 0 leaves what is set.
func Threads(n int) error {
	if n == 0 {
		return nil
	}
	return tensor.SetThreads(tensor.Threads{Cores: n, PerRun: n})
}

// Precision is bfloat16 if half, else float32.
func Precision(half bool) backbone.Precision {
	if half {
		return backbone.BFloat16
	}
	return backbone.Float32
}
