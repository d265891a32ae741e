package tab

import (
	"fmt"
	"math"
	"runtime"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/tensor"
)

// Config holds the settings of a pre-training run. Start from [DefaultConfig].
type Config struct {
	// Objective is what is minimised; default Paper().
	Objective Objective
	// Epochs is the number of passes, at least 1; released code: 100.
	Epochs int
	// Batch is the number of pairs (image and twin) a step, at least 2, for batch
	// norm; released code: 128, later 16 and 64.
	Batch int
	// Repeat is how often an epoch goes over the data, at least 1; released code: 3.
	Repeat int
	// Tied are classes that take part only to be held to the start: in an objective that says so ([Needs].Tied) all
	// cells of their pairs, damaged ones too, count as what stays, and nothing else of them counts. An epoch has as
	// many places for them as for all others, the tied classes in turn. So one network can be changed for the products
	// that need it and stay what it was for the rest. At least one class is not tied. Repeat does not count for tied images. The
	// means of Keep are over all cells of a batch, so what holds the other classes weighs half of what it does without.
	Tied []string `json:",omitempty"`
	// Transform and Normalize bring images to the network's input; all results
	// must have one size. Released code: shorter side 256 by Lanczos, centre 224,
	// ImageNet's mean and deviation.
	Transform dataset.Transform
	Normalize dataset.Normalize
	// Optimizer, its learning rate and the rate's course; released code: SGD with
	// momentum 0.9, rate 0.001, cosine.
	Optimizer Optimizer
	// LR is the learning rate at the start (after warm-up), > 0.
	LR float64
	// Steps is the length of the run in steps, over as many epochs as it takes; 0
	// means that Epochs decides. Epochs is not read where it is set, and the course
	// of the learning rate goes over the steps.
	Steps int
	// Schedule is the course of the learning rate.
	Schedule Schedule
	// Stages says how each stage of the network is trained, indexed by layer from
	// backbone.Stem to backbone.Layer4. Default: all at rate 1 from the start.
	Stages [5]Stage
	// HeadRate multiplies LR for the projection and the objective's own
	// parameters, >= 0; 1.
	HeadRate float64
	// StartDecay pulls the weights of the network towards those it had at the start,
	// >= 0: after each step w = w - rate StartDecay (w - start), the rate being that
	// of the weight's stage. The optimizer's own decay pulls towards zero.
	StartDecay float64
	// ClipNorm scales gradients down whose norm over all parameters is larger; 0
	// means never. Neither article nor released code clip.
	ClipNorm float64
	// SeparatePasses sends the twins through the network one after the other, as
	// the released code does, so that batch norm has statistics for each apart.
	// Otherwise both are one batch. The article does not say.
	SeparatePasses bool
	// Precision is that of the network's convolutions in steps: float32, or bfloat16 for about half
	// the time and memory where the processor or GPU has it (see
	// [backbone.ResNet.SetTrainingPrecision]). Weights, moments, losses and what is
	// trained beside the network are float32 with either.
	Precision backbone.Precision `json:",omitempty"`
	// Crop is the side of square cuts from the transformed images in pixels, at
	// least 32; 0 means whole images. Each place draws where; the damage is put into
	// the cut, and its source is a cut of another image. So the network trains at
	// the scale at which it is used, for less time.
	Crop int
	// Jitter changes brightness and contrast of both twins alike.
	Jitter Jitter
	// Metric says how the spread of good parts is measured for objectives that ask
	// for it; the others do not read it.
	Metric MetricConfig
	// IndicatorsEvery is the number of steps between two that tell more of themselves
	// ([Step].Indicators), the first step included; 0 means that none does. It changes
	// no result.
	IndicatorsEvery int
	// TwinAttempts is how many draws of a defect (with other source images, then
	// other images) are tried for one place in a batch before the run fails with
	// ErrNoTwin; at least 1.
	TwinAttempts int
	// ProbeEvery is the number of epochs between measurements by Parts.Probe; the
	// last epoch is always measured. 0 measures the last only.
	ProbeEvery int
	// Seed determines all random choices.
	Seed uint64
	// Workers is the number of goroutines that prepare batches ahead of the
	// device, at least 1. It never changes a result.
	Workers int
}

// Stage says how one stage of the network is trained.
type Stage struct {
	// Rate multiplies Config.LR, >= 0; 0 freezes the stage for good.
	Rate float64
	// From is the first epoch, from 0, in which the stage is trained. Before, its
	// weights and batch norm statistics stay.
	From int
	// FreezeStatistics keeps the batch norm statistics while weights are trained.
	FreezeStatistics bool
	// Affine trains the scales and shifts of batch norm only, not the convolutions:
	// channels are weighed anew, and no new ones are made. What so few numbers do to
	// images of the training they do to others alike.
	Affine bool
}

// Optimizer names the update rule and holds its settings; those of the other
// rule are not read.
type Optimizer struct {
	// Rule is "sgd" or "adamw".
	Rule  string
	SGD   tensor.SGDConfig
	AdamW tensor.AdamWConfig
}

// DefaultConfig returns the article's objective with the released code's
// settings where the article is silent. Where the released code is known to
// differ from the article (text bank, temperature, one twin at a time), the
// article is followed; [OfficialConfig] follows the code.
func DefaultConfig() Config {
	c := Config{
		Objective: Paper(), Epochs: 100, Batch: 128, Repeat: 3,
		Transform: dataset.PaDiM224(), Normalize: dataset.ImageNet(),
		Optimizer: Optimizer{Rule: "sgd", SGD: tensor.DefaultSGD(), AdamW: tensor.DefaultAdamW()},
		LR:        1e-3, Schedule: Schedule{Cosine: true}, HeadRate: 1,
		Metric: DefaultMetric(), IndicatorsEvery: 50, TwinAttempts: 20, Seed: 111, Workers: runtime.GOMAXPROCS(0),
	}
	for i := range c.Stages {
		c.Stages[i] = Stage{Rate: 1}
	}
	return c
}

// OfficialConfig returns the released code's run of the article's date: scrambled
// text bank, raw temperature, twins in separate passes.
func OfficialConfig() Config {
	c := DefaultConfig()
	c.Objective = Official()
	c.SeparatePasses = true
	return c
}

// FreezeStatistics keeps the batch norm statistics of the stages from the stem
// to last; the trials behind this module lost least with backbone.Layer3.
func (c *Config) FreezeStatistics(last backbone.Layer) {
	for l := backbone.Stem; l <= min(last, backbone.Layer4); l++ {
		c.Stages[l].FreezeStatistics = true
	}
}

// Freeze keeps the stages from the stem to last as they are, weights and statistics. What they make of an image then costs
// no backward pass.
func (c *Config) Freeze(last backbone.Layer) {
	for l := backbone.Stem; l <= min(last, backbone.Layer4); l++ {
		c.Stages[l] = Stage{FreezeStatistics: true}
	}
}

// HeadFirst trains only layer 4, the projection and the objective's parameters
// for the first n epochs, then all stages.
func (c *Config) HeadFirst(n int) {
	for l := backbone.Stem; l <= backbone.Layer3; l++ {
		c.Stages[l].From = n
	}
}

func bad(field string, value any, want string) error {
	return fmt.Errorf("tab: Config.%s is %v: %w: want %s", field, value, ErrConfig, want)
}

// Validate checks the ranges of all settings.
func (c Config) Validate() error {
	if c.Objective == nil {
		return bad("Objective", nil, "an objective, for example tab.Paper()")
	}
	if v, ok := c.Objective.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return err
		}
	}
	n := c.Objective.Needs()
	switch {
	case n.Masks && !n.Twin:
		return fmt.Errorf("tab: objective %s: %w: it needs masks and no twin", c.Objective.Name(), ErrConfig)
	case n.Project && !n.Anchors:
		return fmt.Errorf("tab: objective %s: %w: it needs projected features and no anchors", c.Objective.Name(), ErrConfig)
	case n.Project && n.NoPooled:
		return fmt.Errorf("tab: objective %s: %w: it needs projected features and no pooled", c.Objective.Name(), ErrConfig)
	case n.Cells && !n.Twin:
		return fmt.Errorf("tab: objective %s: %w: it needs cells and no twin", c.Objective.Name(), ErrConfig)
	case (n.NoPooled || n.Start || n.Cells || n.Metric) && len(n.Stages) == 0:
		return fmt.Errorf("tab: objective %s: %w: it names no stages to look at", c.Objective.Name(), ErrConfig)
	case n.WithinSpread && !(n.Start && n.Cells && n.Metric):
		return fmt.Errorf("tab: objective %s: %w: it needs cells within the spread set apart, and not start, cells and metric", c.Objective.Name(), ErrConfig)
	case len(c.Tied) > 0 && n.Tied != TiedHeld:
		return bad("Tied", fmt.Sprintf("%q", c.Tied), "an objective that holds tied classes to the start, for example a Mix of Amplify and Keep, and no part that knows nothing of them; "+
			c.Objective.Name()+" does not")
	case c.Epochs < 1:
		return bad("Epochs", c.Epochs, "1 or more")
	case c.Batch < 2:
		return bad("Batch", c.Batch, "2 or more pairs, for batch norm")
	case c.Repeat < 1:
		return bad("Repeat", c.Repeat, "1 or more")
	case !(c.LR > 0) || math.IsInf(c.LR, 0):
		return bad("LR", c.LR, "> 0")
	case !(c.HeadRate >= 0) || math.IsInf(c.HeadRate, 0):
		return bad("HeadRate", c.HeadRate, "0 or more")
	case !(c.ClipNorm >= 0) || math.IsInf(c.ClipNorm, 0):
		return bad("ClipNorm", c.ClipNorm, "0 or more")
	case c.Steps < 0:
		return bad("Steps", c.Steps, "0 or more")
	case c.Steps > 0 && (c.Schedule.Warmup > 0 || c.Schedule.Period > 0):
		return bad("Schedule", c.Schedule, "no Warmup and no Period, which count epochs, where Steps is set; take WarmupSteps")
	case !(c.StartDecay >= 0) || math.IsInf(c.StartDecay, 0):
		return bad("StartDecay", c.StartDecay, "0 or more")
	case c.Crop != 0 && c.Crop < 32:
		return bad("Crop", c.Crop, "0 or at least 32 pixels")
	case c.TwinAttempts < 1:
		return bad("TwinAttempts", c.TwinAttempts, "1 or more")
	case c.ProbeEvery < 0:
		return bad("ProbeEvery", c.ProbeEvery, "0 or more")
	case c.IndicatorsEvery < 0:
		return bad("IndicatorsEvery", c.IndicatorsEvery, "0 or more")
	case c.Workers < 1:
		return bad("Workers", c.Workers, "1 or more")
	}
	if err := c.Jitter.Validate(); err != nil {
		return err
	}
	if n.Metric {
		if err := c.Metric.Validate(); err != nil {
			return err
		}
	}
	for l, s := range c.Stages {
		if !(s.Rate >= 0) || math.IsInf(s.Rate, 0) || s.From < 0 {
			return bad(fmt.Sprintf("Stages[%s]", backbone.Layer(l)), fmt.Sprintf("%+v", s), "Rate and From of 0 or more")
		}
	}
	if err := c.Transform.Validate(); err != nil {
		return fmt.Errorf("tab: Config.Transform: %w", err)
	}
	if err := c.Normalize.Validate(); err != nil {
		return fmt.Errorf("tab: Config.Normalize: %w", err)
	}
	if err := c.Schedule.Validate(); err != nil {
		return err
	}
	switch c.Optimizer.Rule {
	case "sgd":
		return c.Optimizer.SGD.Validate()
	case "adamw":
		return c.Optimizer.AdamW.Validate()
	}
	return bad("Optimizer.Rule", c.Optimizer.Rule, `"sgd" or "adamw"`)
}

// rate returns the multiplier of LR for a parameter of the visual encoder in an
// epoch. Names of other networks than ours count as layer 4.
func (c Config) rate(name string, epoch int) float64 {
	s := c.Stages[stageOf(name)]
	if epoch < s.From || s.Affine && !isAffine(name) {
		return 0
	}
	return s.Rate
}

// isAffine says whether torchvision's parameter name is a batch norm's scale or shift.
func isAffine(name string) bool {
	i := strings.LastIndexByte(name, '.')
	if i < 0 || name[i+1:] != "weight" && name[i+1:] != "bias" {
		return false
	}
	module := name[:i]
	if strings.HasSuffix(module, "downsample.1") {
		return true
	}
	module = module[strings.LastIndexByte(module, '.')+1:]
	return len(module) == 3 && module[:2] == "bn" && module[2] >= '1' && module[2] <= '9'
}

// AffineOnly has the stages from the stem to last train their batch norms' scales and
// shifts only.
func (c *Config) AffineOnly(last backbone.Layer) {
	for l := backbone.Stem; l <= last && int(l) < len(c.Stages); l++ {
		c.Stages[l].Affine = true
	}
}

// stageOf reads the stage from torchvision's parameter name; others count as layer 4.
func stageOf(name string) backbone.Layer {
	l, _ := stageNamed(name)
	return l
}

// stageNamed is stageOf that says whether the name is one of torchvision's for a stage.
func stageNamed(name string) (backbone.Layer, bool) {
	for l := backbone.Layer1; l <= backbone.Layer4; l++ {
		if p := l.String() + "."; len(name) > len(p) && name[:len(p)] == p {
			return l, true
		}
	}
	if name == "conv1.weight" || len(name) > 4 && name[:4] == "bn1." {
		return backbone.Stem, true
	}
	return backbone.Layer4, false
}

// frozenStatistics says whether a stage keeps its batch norm statistics in an
// epoch.
func (c Config) frozenStatistics(l backbone.Layer, epoch int) bool {
	if l < backbone.Stem || l > backbone.Layer4 {
		return false
	}
	s := c.Stages[l]
	return s.FreezeStatistics || s.Rate == 0 || epoch < s.From
}
