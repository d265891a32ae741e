package tab

import (
	"math"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// Recommended returns the recipe that detectors gained by most on real products: [Amplify] plus 0.3 times [Dense] plus [Keep],
// at layers 1 to 3, for 1,000 steps of 16 pairs of crops of 128 pixels at the scale of use. Layer 4 is neither computed
// nor trained, the stem and all batch norm statistics stay, and earlier stages move less. Damaged cells that lie within
// a product's spread are tied instead of pushed (Amplify.WithinSpread). Its twins are those of a synth.Mixture, measured first
// ([MeasureTwinsByClass], [TwinTable]).
//
// It starts from good weights, ImageNet's for example: a random start has nothing to keep. It is for one product, or a few
// alike, on which the start hardly sees damage ([TwinTable.Detectability]): there it gained 15 to 35 points of image AUROC
// with PaDiM. Where the start sees damage already it mostly loses, and the start should be kept (docs/results.md).
// [DefaultConfig] is the article's.
//
// A product's images are drawn as often as they are; where they are few, Repeat
// must let an epoch fill a batch.
func Recommended() Config {
	c := DefaultConfig()
	amplify := DefaultAmplify()
	amplify.WithinSpread = true
	c.Objective = Mix{{1, amplify}, {0.3, DefaultDense()}, {1, DefaultKeep()}}
	c.Batch, c.Steps, c.Crop = 16, 1000, 128
	c.LR = 3e-4
	c.HeadRate = 1e-3 / c.LR
	c.Optimizer = Optimizer{Rule: "adamw", SGD: tensor.DefaultSGD(), AdamW: tensor.AdamWConfig{Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8}}
	c.Schedule = Schedule{Cosine: true, WarmupSteps: 50}
	c.ClipNorm = 1
	c.Jitter = Jitter{Share: 0.3, Brightness: 10, Contrast: 0.07}
	for l, rate := range [...]float64{backbone.Layer1: 0.3, backbone.Layer2: 0.6, backbone.Layer3: 1, backbone.Layer4: 0} {
		c.Stages[l] = Stage{Rate: rate, FreezeStatistics: true}
	}
	return c
}

// complete says whether a run that has gone through so many epochs has ended.
func (p *Pretrainer) complete(epochs int) bool {
	if p.cfg.Steps > 0 {
		return p.step >= int64(p.cfg.Steps)
	}
	return epochs >= p.cfg.Epochs
}

// left returns the number of batches of the present epoch, of n whole ones: where
// steps are counted the last epoch may end early.
func (p *Pretrainer) left(n int) int {
	if p.cfg.Steps > 0 {
		n = int(min(int64(n), int64(p.batch)+int64(p.cfg.Steps)-p.step))
	}
	return n
}

// over says whether the run has ended and its last epoch too.
func (p *Pretrainer) over() bool {
	return p.complete(p.epoch) && (p.cfg.Steps == 0 || p.batch == 0 && p.own == 0)
}

// factor returns what multiplies the learning rate in the next step, number at of
// an epoch of so many.
func (p *Pretrainer) factor(at, batches int) float64 {
	sch := p.cfg.Schedule
	f := 1.0
	switch {
	case p.cfg.Steps == 0:
		f = sch.factor(p.epoch, at, batches, p.cfg.Epochs)
	case sch.Cosine:
		f = sch.Min + (1-sch.Min)*(1+math.Cos(math.Pi*float64(p.step)/float64(p.cfg.Steps)))/2
	}
	if sch.WarmupSteps > 0 {
		f *= min(1, float64(p.step+1)/float64(sch.WarmupSteps))
	}
	return f
}
