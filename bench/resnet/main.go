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
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/bench/internal/program"
	"github.com/gotab/gotab/internal/profile"
	"github.com/gotab/gotab/tensor"
)

func main() { program.Main("resnet", run) }

// result is what is printed.
type result struct {
	Mode   string `json:"mode"`
	Batch  int    `json:"batch"`
	Side   int    `json:"side"`
	Passes int    `json:"passes"`
	program.Place
	ImagesPerSecond float64 `json:"images_per_second"`
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var r result
	var f program.Flags
	fs := flag.NewFlagSet("resnet", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&r.Mode, "mode", "eval", "eval or train")
	fs.IntVar(&r.Batch, "batch", 1, "`images` a pass")
	fs.IntVar(&r.Side, "side", 224, "height and width of an image in `pixels`")
	f.Add(fs, "two passes that are not")
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
	}
	at, dev, precision, err := f.Begin()
	if err != nil {
		return err
	}
	r.Place = at
	if err := measure(ctx, &r, precision, dev, f.Long(), f.Profile); err != nil {
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
