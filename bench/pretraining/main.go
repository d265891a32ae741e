// Command pretraining measures steps of pre-training as bench/pretraining.py measures them in PyTorch: the same losses on
// the same kind of batch, from images on the host to moved weights. It prints one JSON object.
//
//	pretraining [-objective NAME] [-pairs N] [-side N] [-seconds S] [-threads N] [-device D] [-tf32] [-bf16] [-profile FILE]
//
// The objectives are keep, amplify, dense, recipe (all three, as tab.Recommended mixes them, every damaged cell pushed), and joint, which is pooled
// and needs layer 4. The network has random weights and fixed batch norm statistics, and the optimizer is AdamW with
// gradients clipped at norm 1. No image is read and no twin is made: what feeds a step is another thread's work.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/bench/internal/program"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/profile"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

func main() { program.Main("pretraining", run) }

// result is what is printed. An image and its twin are two images.
type result struct {
	Objective string  `json:"objective"`
	Pairs     int     `json:"pairs"`
	Side      int     `json:"side"`
	Steps     int     `json:"steps"`
	Loss      float64 `json:"loss"`
	program.Place
	ImagesPerSecond float64 `json:"images_per_second"`
}

// objectives are those that can be measured.
func objectives() map[string]tab.Objective {
	return map[string]tab.Objective{
		"keep": tab.DefaultKeep(), "amplify": tab.DefaultAmplify(), "dense": tab.DefaultDense(),
		"recipe": tab.Mix{{Weight: 1, Objective: tab.DefaultAmplify()}, {Weight: 0.3, Objective: tab.DefaultDense()}, {Weight: 1, Objective: tab.DefaultKeep()}},
		"joint":  tab.Joint(),
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var r result
	var f program.Flags
	fs := flag.NewFlagSet("pretraining", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&r.Objective, "objective", "recipe", "keep, amplify, dense, recipe or joint")
	fs.IntVar(&r.Pairs, "pairs", 16, "images a step, each with its twin")
	fs.IntVar(&r.Side, "side", 128, "height and width of an image in `pixels`")
	f.Add(fs, "two steps that are not")
	if err := fs.Parse(args); err != nil {
		return err
	}
	objective, known := objectives()[r.Objective]
	switch {
	case fs.NArg() > 0:
		return fmt.Errorf("%q is too much", fs.Arg(0))
	case !known:
		return fmt.Errorf("-objective is %q, want keep, amplify, dense, recipe or joint", r.Objective)
	case r.Pairs < 2 || r.Pairs > 4096 || r.Side < 64 || r.Side > 4096 || int64(r.Pairs)*int64(r.Side)*int64(r.Side) > 1<<27:
		return fmt.Errorf("-pairs %d of side %d: want 2 to 4096 pairs of 64 to 4096 pixels, and %d pixels in all at most", r.Pairs, r.Side, 1<<27)
	}
	at, dev, precision, err := f.Begin()
	if err != nil {
		return err
	}
	r.Place = at
	c := tab.Recommended()
	c.Objective, c.Batch, c.Transform, c.Crop, c.Steps, c.Schedule = objective, r.Pairs, dataset.Square(r.Side), 0, math.MaxInt32, tab.Schedule{}
	if r.Objective == "joint" {
		c.Stages[backbone.Layer4].Rate = 1
	}
	c.Precision = precision
	if err := measure(ctx, &r, c, dev, f.Long(), f.Profile); err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(r)
}

// products are the classes of the batch.
var products = []string{"first", "second"}

// none makes no twin: batches come with theirs.
type none struct{}

func (none) Generate(image.Image, image.Image, *rand.Rand) (synth.Pair, error) {
	return synth.Pair{}, synth.ErrNotPlaced
}

// measure fills in Steps, Loss and ImagesPerSecond, and writes the steps' profile to the file profiled unless that is empty.
func measure(ctx context.Context, r *result, c tab.Config, dev tensor.Device, long time.Duration, profiled string) (err error) {
	rng := rand.New(rand.NewPCG(1, 1))
	net, err := backbone.NewResNet18(dev, rng)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	p, err := tab.New(tab.Parts{Visual: net, Anchors: anchors(rng), Synth: none{}}, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if err := p.Prepare(ctx, products); err != nil {
		return err
	}
	if c.Objective.Needs().Metric {
		good, err := goods(r.Side, rng)
		if err != nil {
			return err
		}
		if err := p.MeasureProducts(ctx, good); err != nil {
			return err
		}
	}
	b := batch(r.Pairs, r.Side, c.Objective.Needs().Masks, rng)
	step := func() error {
		s, err := p.Step(ctx, b)
		r.Loss = s.Loss
		return err
	}
	for range 2 { // packs, chooses kernels
		if err := step(); err != nil {
			return err
		}
	}
	return profile.CPU(profiled, func() error {
		start := time.Now()
		for r.Steps == 0 || time.Since(start) < long {
			if err := step(); err != nil {
				return err
			}
			r.Steps++
		}
		r.ImagesPerSecond = float64(2*r.Pairs*r.Steps) / time.Since(start).Seconds()
		return nil
	})
}

// anchors are random directions, as many values each as those of a small CLIP.
func anchors(rng *rand.Rand) *tab.Bank {
	row := func() []float32 {
		v, square := make([]float32, 384), 0.0
		for i := range v {
			v[i] = float32(rng.NormFloat64())
			square += float64(v[i]) * float64(v[i])
		}
		for i := range v {
			v[i] /= float32(math.Sqrt(square))
		}
		return v
	}
	b := &tab.Bank{Classes: products}
	for range products {
		b.Normal, b.Abnormal = append(b.Normal, row()), append(b.Abnormal, row())
	}
	return b
}

// goods are eight noisy images of each product.
func goods(side int, rng *rand.Rand) (dataset.Dataset, error) {
	var all []dataset.Sample
	for k, product := range products {
		for i := range 8 {
			m := image.NewRGBA(image.Rect(0, 0, side, side))
			for at := range m.Pix {
				m.Pix[at] = 255
				if at%4 < 3 {
					m.Pix[at] = uint8(60 + 80*k + rng.IntN(60))
				}
			}
			all = append(all, dataset.Sample{Image: m, Item: dataset.Item{Name: fmt.Sprintf("%s/%d", product, i), Class: product,
				Split: dataset.Train, Defect: dataset.Good, Label: dataset.LabelGood}})
		}
	}
	return dataset.NewMemory(all)
}

// batch is noise; a rectangle of each twin is other noise. bench/pretraining.py has the same rectangle.
func batch(pairs, side int, masks bool, rng *rand.Rand) tab.Batch {
	b := tab.Batch{H: side, W: side, Class: make([]int, pairs), Normal: make([]float32, pairs*side*side*3)}
	for i := range b.Normal {
		b.Normal[i] = rng.Float32()*2 - 1
	}
	b.Abnormal = slices.Clone(b.Normal)
	mask := make([]uint8, pairs*side*side)
	for i := range pairs {
		b.Class[i] = i % len(products)
		for y := side * 3 / 8; y < side*9/16; y++ {
			for x := side * 5 / 16; x < side*7/16; x++ {
				at := (i*side+y)*side + x
				mask[at] = 255
				for k := range 3 {
					b.Abnormal[3*at+k] = rng.Float32()*2 - 1
				}
			}
		}
	}
	if masks {
		b.Masks = mask
	}
	return b
}
