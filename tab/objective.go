package tab

import (
	"math/rand/v2"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// Objective is what pre-training minimises. It is a value: settings and no
// state; parameters of its own live in the Params that it is given. A new
// objective is one type with these four methods.
type Objective interface {
	// Name identifies the objective in logs and checkpoints.
	Name() string
	// Needs says what Loss wants to see; what it does not ask for is not computed.
	Needs() Needs
	// Setup puts parameters of the objective's own into p, under names that begin
	// with "objective.", or does nothing. Randomness comes from rng.
	Setup(s *tensor.Scope, p *tensor.Params, d Dims, rng *rand.Rand) error
	// Loss returns the loss of one step, a scalar, and the share of right answers
	// among those that the objective asks for, a scalar from 0 to 1. Where several
	// ranks share a batch, both are averaged over them; see View.Total for what is no
	// mean over pairs.
	Loss(s *tensor.Scope, v View) (loss, accuracy *tensor.Tensor)
}

// Needs says what an objective wants to see.
type Needs struct {
	// Twin asks for damaged twins; without, only normal images are seen.
	Twin bool
	// Masks asks for the pixels that really changed; it needs Twin.
	Masks bool
	// Anchors asks for text anchors.
	Anchors bool
	// Project asks for pooled features in the width of the anchors; a linear
	// layer is trained where the network's width differs. It needs Anchors.
	Project bool
	// Stages are layers whose features the objective sees besides the pooled.
	Stages []backbone.Layer
	// NoPooled says that Loss reads no pooled features. Layers beyond the deepest of
	// Stages are not computed then, and not trained.
	NoPooled bool
	// Start asks for the features that the frozen copy of the start network makes
	// of the same images, in Stages.
	Start bool
	// Cells asks for the masks on the grid of each of Stages; it needs Twin.
	Cells bool
	// Metric asks for the spread of each product's good parts in each of Stages,
	// measured in the frozen copy before the first step.
	Metric bool
	// Tied says what Loss does with pairs of tied classes ([Config].Tied, [View].Tied).
	Tied Tied
	// WithinSpread asks for damaged cells within the spread to be set apart
	// ([Cells].Within); it needs Start, Cells and Metric.
	WithinSpread bool
}

// Tied says what an objective does with pairs of tied classes.
type Tied int

const (
	TiedUnknown Tied = iota // it does not ask whether a pair is tied; such classes are refused
	TiedLeftOut             // nothing of them counts
	TiedHeld                // they count as what is held to the start
)

// Dims are the sizes that an objective's own parameters depend on.
type Dims struct {
	Classes int // N
	Pooled  int // width of the pooled features as Loss sees them
	Text    int // width of the anchors, 0 without
	// Channels gives the channels of each stage in Needs.Stages.
	Channels map[backbone.Layer]int
}

// View is what an objective sees of one step, all on the device. B is the number
// of pairs (of this rank's share), N of classes.
type View struct {
	Normal, Abnormal Features
	Class            *tensor.Tensor // int64 [B], the same for both twins
	// Tied is float32 [B], 1 for pairs of tied classes ([Config].Tied); nil where there are none. In Cells all their
	// inner cells are clean in both twins, and none is anomalous or within.
	Tied *tensor.Tensor
	// NormalText and AbnormalText are the anchors [N, C]; nil unless asked for.
	NormalText, AbnormalText *tensor.Tensor
	// Masks is float32 [B, 1, H, W], 1 where the twin differs; nil unless asked for.
	Masks *tensor.Tensor
	// Params holds what Setup put there.
	Params *tensor.Params
	// NormalStart and AbnormalStart are the frozen copy's features of the same
	// images; it is in evaluation and records no gradients. Empty unless asked for.
	NormalStart, AbnormalStart Features
	// Cells holds the masks on each stage's grid; nil unless asked for.
	Cells map[backbone.Layer]Cells
	// Metric measures in units of the products' spread; nil unless asked for.
	Metric *Metric
	// Note takes a scalar by name, to be told with the step (Step.Indicators). It is
	// nil in a step that tells nothing, see Config.IndicatorsEvery.
	Note func(name string, value *tensor.Tensor)
	over *over // the other ranks; nil without any
}

// Features are the network's outputs for the images of one twin.
type Features struct {
	// Pooled is [B, C], projected if Needs.Project, not normalised in length; nil
	// for the abnormal twin where there is none, with Needs.NoPooled, and in the
	// features of the frozen copy.
	Pooled *tensor.Tensor
	// Stages holds [B, C, h, w] for each layer in Needs.Stages.
	Stages map[backbone.Layer]*tensor.Tensor
}
