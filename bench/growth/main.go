// Command growth measures how time and memory of one kind of work grow with the number of images, for bench/growth.py.
//
//	growth -do padim-fit|padim-score|patchcore-fit|rd4ad-train|pretrain|figures|products -images N [-side N] [-threads N] [-profile FILE]
//
// Images are woven surfaces with noise, drawn when they are asked for and never kept; the network has random weights. pretrain is one epoch of
// objective amplify with NSA's twins. products fits and scores N detectors one after the other, PaDiM on 16 images each. It prints one
// JSON object: seconds of the work itself, and the most memory that the process had, before the work and in all.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/bench/internal/program"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/internal/profile"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

func main() { program.Main("growth", run) }

// result is what is printed. Memory is 0 where the system does not tell.
type result struct {
	Do      string  `json:"do"`
	Images  int     `json:"images"`
	Side    int     `json:"side"`
	Threads int     `json:"threads"`
	Seconds float64 `json:"seconds"`
	Before  float64 `json:"mb_before"`
	Peak    float64 `json:"mb_peak"`
}

// work is one kind of work on the network and n images; start is called when preparations have ended.
type work func(ctx context.Context, net *backbone.ResNet, n, side int, start func()) error

func works() map[string]work {
	return map[string]work{
		"padim-fit": func(ctx context.Context, net *backbone.ResNet, n, side int, start func()) error {
			d, err := padim(net, side)
			if err != nil {
				return err
			}
			start()
			return errors.Join(d.Fit(ctx, surfaces{n: n, side: side}), d.Close())
		},
		"padim-score": func(ctx context.Context, net *backbone.ResNet, n, side int, start func()) (err error) {
			d, err := padim(net, side)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.Close()) }()
			if err := d.Fit(ctx, surfaces{n: 16, side: side}); err != nil {
				return err
			}
			start()
			for _, err := range d.ScoreSet(ctx, surfaces{n: n, side: side}) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"patchcore-fit": func(ctx context.Context, net *backbone.ResNet, n, side int, start func()) error {
			cfg := downstream.DefaultPatchCore()
			cfg.Transform = dataset.Square(side)
			d, err := downstream.NewPatchCore(net, cfg, rand.New(rand.NewPCG(1, 1)))
			if err != nil {
				return err
			}
			start()
			return errors.Join(d.Fit(ctx, surfaces{n: n, side: side}), d.Close())
		},
		"rd4ad-train": func(ctx context.Context, net *backbone.ResNet, n, side int, start func()) error {
			cfg := downstream.DefaultRD4AD()
			cfg.Transform, cfg.Epochs = dataset.Square(side), 1
			d, err := downstream.NewRD4AD(net, cfg, rand.New(rand.NewPCG(1, 1)))
			if err != nil {
				return err
			}
			start()
			return errors.Join(d.Fit(ctx, surfaces{n: n, side: side}), d.Close())
		},
		"pretrain": pretrain,
		"figures":  figures,
		"products": func(ctx context.Context, net *backbone.ResNet, n, side int, start func()) error {
			start()
			for range n {
				if err := product(ctx, net, side); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// doings are the names of all works.
func doings() string { return strings.Join(slices.Sorted(maps.Keys(works())), ", ") }

func padim(net *backbone.ResNet, side int) (*downstream.PaDiM, error) {
	cfg := downstream.DefaultPaDiM()
	cfg.Transform = dataset.Square(side)
	return downstream.NewPaDiM(net, cfg, nil)
}

// product fits a PaDiM, scores as many images, and closes it.
func product(ctx context.Context, net *backbone.ResNet, side int) (err error) {
	d, err := padim(net, side)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	images := surfaces{n: 16, side: side}
	if err := d.Fit(ctx, images); err != nil {
		return err
	}
	for _, err := range d.ScoreSet(ctx, images) {
		if err != nil {
			return err
		}
	}
	return nil
}

// pretrain goes through the images once, in pairs with their twins.
func pretrain(ctx context.Context, net *backbone.ResNet, n, side int, start func()) (err error) {
	c := tab.Recommended()
	c.Objective, c.Batch, c.Steps, c.Epochs, c.Crop, c.Transform = tab.DefaultAmplify(), min(16, n), 0, 1, 0, dataset.Square(side)
	p, err := tab.New(tab.Parts{Visual: net, Synth: synth.DefaultNSA()}, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	start()
	_, err = p.Fit(ctx, surfaces{n: n, side: side})
	return err
}

// figures computes both figures over pixels of n maps with a defect each, within the default budget of an evaluation.
func figures(ctx context.Context, _ *backbone.ResNet, n, side int, start func()) error {
	const budget = 256 << 20
	mask := image.NewGray(image.Rect(0, 0, side, side))
	for y := side / 4; y < side/3; y++ {
		for x := side / 4; x < side/2; x++ {
			mask.SetGray(x, y, white)
		}
	}
	start()
	pixels, regions := metrics.NewPixelAUROC(budget), metrics.NewAUPRO(budget)
	scores := make([]float32, side*side)
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		rng := rand.New(rand.NewPCG(uint64(i), 2))
		for k := range scores {
			scores[k] = rng.Float32() + float32(mask.Pix[k])/512
		}
		if err := errors.Join(pixels.AddMask(scores, mask), regions.AddMask(scores, mask)); err != nil {
			return err
		}
	}
	if _, err := pixels.Result(); err != nil {
		return err
	}
	_, err := regions.Result(metrics.LimitMVTec)
	return err
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	var r result
	fs := flag.NewFlagSet("growth", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&r.Do, "do", "padim-fit", doings())
	fs.IntVar(&r.Images, "images", 100, "how many; of products, how many of those")
	fs.IntVar(&r.Side, "side", 128, "height and width of an image in `pixels`")
	fs.IntVar(&r.Threads, "threads", 0, "`threads` (all processors that the process may use)")
	profiled := fs.String("profile", "", "`file` for a profile of Go's processor time, preparations included")
	if err := fs.Parse(args); err != nil {
		return err
	}
	do, ok := works()[r.Do]
	switch {
	case fs.NArg() > 0:
		return fmt.Errorf("%q is too much", fs.Arg(0))
	case !ok:
		return fmt.Errorf("-do is %q, want one of %s", r.Do, doings())
	case r.Images < 2 || r.Images > 1<<24 || r.Side < 32 || r.Side > 1024:
		return fmt.Errorf("-images is %d and -side %d, want 2 to 2^24 and 32 to 1024", r.Images, r.Side)
	}
	if err := program.Threads(r.Threads); err != nil {
		return err
	}
	r.Threads = tensor.GetThreads().Cores
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	var from time.Time
	if err := profile.CPU(*profiled, func() error {
		err := do(ctx, net, r.Images, r.Side, func() { r.Before, from = peak(), time.Now() })
		r.Seconds, r.Peak = time.Since(from).Seconds(), peak()
		return err
	}); err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(r)
}

// peak is the most memory that the process has had, in MB.
func peak() float64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for _, line := range bytes.Split(b, []byte("\n")) {
		if f := bytes.Fields(line); len(f) == 3 && string(f[0]) == "VmHWM:" {
			kb, err := strconv.ParseFloat(string(f[1]), 64)
			if err != nil {
				return 0
			}
			return kb / 1e3
		}
	}
	return 0
}
