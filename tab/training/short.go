package training

import (
	"fmt"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
)

// Short is a training of minutes from random weights, on images of the network's size. The recipes of [Recipe] begin with
// ImageNet's weights and would hardly move others in so many steps.
type Short struct {
	Name, About string // About says what it does
	// Train has as many epochs as were asked for, each with every image once, and no transform. Its Seed is the caller's.
	Train tab.Config
	// Synth makes the damaged twins.
	Synth synth.Generator
}

// Shorts are the trainings that there are, the best first, with so many passes over the good images; 0 for each one's own number:
//
//   - "dense" asks at every position of the layers that PaDiM reads whether the part is good or damaged, so that small damage counts as much as
//     large, and twins of seven kinds answer. Small batches give many steps in the same time, and AdamW needs no long
//     warm-up. Layer 4 is neither computed nor trained. It was fixed with seed 1 and drawings of another seed, before the first run of seeds 2
//     and 3, for the time that it takes: three minutes of two cores at most.
//   - "paper" is the article's objective, whose rate of 0.001 would hardly move random weights in 150 steps: it is 0.02, with a
//     warm-up.
func Shorts(epochs int) []Short {
	all := []Short{
		{Name: "dense", About: "text anchors at every position of layers 1 to 3, seven kinds of twins", Train: tab.DefaultConfig(), Synth: synth.DefaultMixture()},
		{Name: "paper", About: "the article's objective, whose anchors meet the whole image, with twins by NSA", Train: tab.DefaultConfig(), Synth: synth.DefaultNSA()},
	}
	dense, paper := &all[0].Train, &all[1].Train
	dense.Epochs, paper.Epochs = 5, 6
	for i := range all {
		c := &all[i].Train
		c.Repeat, c.Transform = 1, dataset.Transform{}
		if epochs > 0 {
			c.Epochs = epochs
		}
	}
	dense.Objective, dense.Batch, dense.LR = tab.DefaultDense(), 8, 1e-3
	dense.Optimizer.Rule, dense.Optimizer.AdamW.WeightDecay = "adamw", 0
	dense.Schedule = tab.Schedule{Cosine: true, PerStep: true, WarmupSteps: 10}
	paper.Batch, paper.LR = 16, 0.02
	paper.Schedule = tab.Schedule{Cosine: true, PerStep: true, Warmup: min(1, paper.Epochs-1)}
	return all
}

// ShortOf is the one of [Shorts] with a name. Other names are an error that wraps [ErrConfig].
func ShortOf(name string, epochs int) (Short, error) {
	var known []string
	for _, s := range Shorts(epochs) {
		if s.Name == name {
			return s, nil
		}
		known = append(known, s.Name)
	}
	return Short{}, fmt.Errorf("training: %w: short training %q, want one of %v", ErrConfig, name, known)
}
