package main

import (
	"fmt"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
)

// recipe is a way to pre-train.
type recipe struct {
	name, what string
	epochs     int // passes over the good images
	config     func(tab.Config, settings) tab.Config
	twins      func() synth.Generator
}

// recipes lists the recipes, the default first.
func recipes() []recipe {
	return []recipe{
		{"dense", "text anchors at every position of layers 1 to 3, seven kinds of twins", 5, dense, func() synth.Generator { return synth.DefaultMixture() }},
		{"paper", "the article's objective, whose anchors meet the whole image, with twins by NSA", 6, paper, func() synth.Generator { return synth.DefaultNSA() }},
	}
}

func recipeNamed(name string) (recipe, error) {
	var known []string
	for _, r := range recipes() {
		if r.name == name {
			return r, nil
		}
		known = append(known, r.name)
	}
	return recipe{}, fmt.Errorf("-recipe is %q, want %s", name, strings.Join(known, " or "))
}

func recipeHelp() string {
	var lines []string
	for _, r := range recipes() {
		lines = append(lines, r.name+" ("+r.what+")")
	}
	return strings.Join(lines, ", ")
}

// training returns the settings of the pre-training. The images have the right
// size already, and each is seen once an epoch.
func (r recipe) training(s settings) tab.Config {
	cfg := tab.DefaultConfig()
	cfg.Epochs, cfg.Repeat, cfg.Seed = s.epochs, 1, s.seed
	cfg.Transform = dataset.Transform{}
	return r.config(cfg, s)
}

// paper is the article's objective with what a network from random weights and a
// run of minutes need. The article starts from ImageNet's weights at a rate of
// 0.001; from random ones that would hardly move in 150 steps, so it is 0.02 with
// a warm-up.
func paper(cfg tab.Config, s settings) tab.Config {
	cfg.Batch, cfg.LR = 16, 0.02
	cfg.Schedule = tab.Schedule{Cosine: true, PerStep: true, Warmup: min(1, s.epochs-1)}
	return cfg
}

// dense is our own: the question "good or damaged" is put to every position of the
// layers that PaDiM reads, so that small damage counts as much as large, and twins
// of seven kinds answer it. Small batches give many steps in the same time, and
// AdamW needs no long warm-up. Layer 4 is neither computed nor trained.
// Fixed with seed 1 and drawings of another seed, before the first run of seeds 2
// and 3, for the time that it takes: three minutes of two cores at most.
func dense(cfg tab.Config, _ settings) tab.Config {
	cfg.Objective = tab.DefaultDense()
	cfg.Batch, cfg.LR = 8, 1e-3
	cfg.Optimizer.Rule, cfg.Optimizer.AdamW.WeightDecay = "adamw", 0
	cfg.Schedule = tab.Schedule{Cosine: true, PerStep: true, WarmupSteps: 10}
	return cfg
}
