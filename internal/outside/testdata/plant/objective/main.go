// Objective pre-trains a network by an objective of its own: the pooled features of a
// good image and of its damaged twin shall point a margin apart.
//
//	objective -data ROOT -init resnet18.safetensors -out plant.safetensors
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// Margin asks for a distance between directions, above 0 and up to 2.
type Margin struct{ Distance float64 }

func (Margin) Name() string { return "margin" }

// Needs: the twin, and nothing but pooled features.
func (Margin) Needs() tab.Needs { return tab.Needs{Twin: true} }

// Setup: it has no parameters of its own.
func (Margin) Setup(*tensor.Scope, *tensor.Params, tab.Dims, *rand.Rand) error { return nil }

// Loss is the mean of what the distance lacks; a pair that lacks nothing is right.
func (m Margin) Loss(s *tensor.Scope, v tab.View) (loss, accuracy *tensor.Tensor) {
	good := s.Normalize(v.Normal.Pooled, 1, 1e-12) // [B, C]
	damaged := s.Normalize(v.Abnormal.Pooled, 1, 1e-12)
	apart := s.Sqrt(s.AddScalar(s.Sum(s.Square(s.Minus(good, damaged)), false, 1), 1e-12)) // [B]
	lacks := s.ReLU(s.AddScalar(s.Neg(apart), m.Distance))
	right := s.Cast(s.Equal(lacks, s.MulScalar(lacks, 0)), tensor.Float32)
	return s.Mean(lacks, false, 0), s.Mean(right, false, 0)
}

// Fingerprint lets a run be resumed by the same margin and no other.
func (m Margin) Fingerprint() string { return fmt.Sprint("margin ", m.Distance) }

func main() {
	data := flag.String("data", "", "data set in any layout")
	start := flag.String("init", "", "weights to begin with")
	out := flag.String("out", "plant.safetensors", "weights to write")
	steps := flag.Int("steps", 100, "steps to train")
	flag.Parse()
	if err := train(context.Background(), *data, *start, *out, *steps); err != nil {
		log.Fatal(err)
	}
}

func train(ctx context.Context, data, start, out string, steps int) error {
	all, closer, err := dataset.Open(ctx, data, dataset.DefaultConfig())
	if err != nil {
		return err
	}
	defer closer.Close()
	good := dataset.Filter(all, func(it dataset.Item) bool { return it.IsGood() && it.Split == dataset.Train })
	net, err := backbone.Open(start, tensor.CPU)
	if err != nil {
		return err
	}
	defer net.Close()
	cfg := tab.DefaultConfig()
	cfg.Objective = Margin{Distance: 0.5}
	cfg.Batch, cfg.Steps, cfg.Crop = 4, steps, 96
	pre, err := tab.New(tab.Parts{Visual: net, Synth: synth.DefaultMixture()}, cfg,
		tab.WithProgress(func(st tab.Step) {
			fmt.Printf("step %d: loss %.4f, %.0f %% apart\n", st.Number, st.Loss, 100*st.Accuracy)
		}))
	if err != nil {
		return err
	}
	defer pre.Close()
	if _, err := pre.Fit(ctx, good); err != nil {
		return err
	}
	return pre.SaveWeights(ctx, out, tab.DefaultWeightsConfig())
}
