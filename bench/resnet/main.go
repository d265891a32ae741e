// Command resnet measures one network as bench/resnet.py measures it in PyTorch: forward passes, or steps of training,
// of a ResNet-18 with random weights on batches of images that lie on the host. It prints one JSON object.
//
//	resnet [-mode eval|train] [-batch N] [-side N] [-seconds S] [-threads N] [-device D] [-tf32] [-bf16] [-profile FILE]
//
// Each pass begins with the images on the host and ends with its result there. The loss of a training is the mean of the
// squared features, its optimizer SGD with momentum.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/profile"
	"github.com/gotab/gotab/tensor"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "resnet: %v\n", err)
		os.Exit(1)
	}
}

// result is what is printed.
type result struct {
	Mode            string  `json:"mode"`
	Batch           int     `json:"batch"`
	Side            int     `json:"side"`
	Device          string  `json:"device"`
	Libtorch        string  `json:"libtorch"`
	Threads         int     `json:"threads"`
	Precision       string  `json:"precision"`
	Passes          int     `json:"passes"`
	ImagesPerSecond float64 `json:"images_per_second"`
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var r result
	var device string
	fs := flag.NewFlagSet("resnet", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&r.Mode, "mode", "eval", "eval or train")
	fs.IntVar(&r.Batch, "batch", 1, "`images` a pass")
	fs.IntVar(&r.Side, "side", 224, "height and width of an image in `pixels`")
	seconds := fs.Float64("seconds", 3, "how long to measure, after two passes that are not")
	fs.IntVar(&r.Threads, "threads", 0, "`threads` (all processors that the process may use)")
	fs.StringVar(&device, "device", "cpu", "auto, cpu, cuda or cuda:N")
	bf16 := fs.Bool("bf16", false, "convolve in bfloat16")
	tf32 := fs.Bool("tf32", false, "let CUDA multiply with 10 bits of mantissa")
	profiled := fs.String("profile", "", "`file` for a profile of Go's processor time")
	if err := fs.Parse(args); err != nil {
		return err
	}
	switch {
	case fs.NArg() > 0:
		return fmt.Errorf("%q is too much", fs.Arg(0))
	case r.Mode != "eval" && r.Mode != "train":
		return fmt.Errorf("-mode is %q, want eval or train", r.Mode)
	case r.Batch < 1 || r.Batch > 4096 || r.Side < 32 || r.Side > 4096 || int64(r.Batch)*int64(r.Side)*int64(r.Side) > 1<<28:
		return fmt.Errorf("-batch %d of side %d: want 1 to 4096 images of 32 to 4096 pixels, and %d pixels in all at most", r.Batch, r.Side, 1<<28)
	case !(*seconds >= 0 && *seconds <= 3600):
		return fmt.Errorf("-seconds is %g, want 0 to 3600", *seconds)
	}
	t := tensor.GetThreads()
	if r.Threads != 0 {
		t = tensor.Threads{Cores: r.Threads, PerRun: r.Threads}
		if err := tensor.SetThreads(t); err != nil {
			return err
		}
	}
	r.Threads = t.PerRun
	settings := tensor.DefaultSettings()
	settings.TF32, settings.CuDNNBenchmark, settings.CuDNNNondeterministic = *tf32, true, true // as bench/resnet.py
	if err := tensor.Configure(settings); err != nil {
		return err
	}
	dev, err := tensor.ParseDevice(device)
	if err != nil {
		return err
	}
	r.Device, r.Libtorch = dev.String(), tensor.LibtorchVersion()
	precision := backbone.Float32
	if *bf16 {
		precision = backbone.BFloat16
	}
	r.Precision = precision.String()
	if err := measure(ctx, &r, precision, dev, time.Duration(*seconds*float64(time.Second)), *profiled); err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(r)
}

// measure fills in Passes and ImagesPerSecond, and writes the passes' profile to the file profiled unless that is empty.
func measure(ctx context.Context, r *result, precision backbone.Precision, dev tensor.Device, long time.Duration, profiled string) (err error) {
	rng := rand.New(rand.NewPCG(1, 1))
	net, err := backbone.NewResNet18(dev, rng)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	if err := errors.Join(net.SetPrecision(precision), net.SetTrainingPrecision(precision)); err != nil {
		return err
	}
	opt, err := tensor.NewSGD(tensor.DefaultSGD(), dev)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opt.Close()) }()
	x := make([]float32, r.Batch*r.Side*r.Side*3)
	for i := range x {
		x[i] = rng.Float32()*2 - 1
	}
	mode := tensor.Evaluation
	if r.Mode == "train" {
		mode = tensor.Training
	}
	pass := func() error {
		return tensor.Run(ctx, dev, mode, func(s *tensor.Scope) error {
			f := net.Forward(s, s.FromNHWC(x, r.Batch, r.Side, r.Side, 3), backbone.Pooled)[0]
			if mode == tensor.Evaluation {
				_, err := s.Floats(f)
				return err
			}
			loss := s.Mean(s.Square(f), false)
			s.Backward(loss)
			if err := opt.Step(s, net.Params(), func(string) float64 { return 1e-3 }); err != nil {
				return err
			}
			if _, err := s.Float(loss); err != nil { // ends where the device has ended
				return err
			}
			return net.Params().ZeroGrad()
		})
	}
	for range 2 { // folds, packs, chooses kernels
		if err := pass(); err != nil {
			return err
		}
	}
	return profile.CPU(profiled, func() error {
		start := time.Now()
		for r.Passes == 0 || time.Since(start) < long {
			if err := pass(); err != nil {
				return err
			}
			r.Passes++
		}
		r.ImagesPerSecond = float64(r.Batch*r.Passes) / time.Since(start).Seconds()
		return nil
	})
}
