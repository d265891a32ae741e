package classify

import (
	"context"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/tensor"
)

// Task is what a [Classifier] answers.
type Task int

// The tasks.
const (
	// MultiLabel says for each of K labels whether an image shows it: K sigmoids,
	// binary cross-entropy.
	MultiLabel Task = iota
	// MultiClass says which one of K classes an image shows: softmax,
	// cross-entropy.
	MultiClass
)

// String returns "multi-label" or "multi-class".
func (t Task) String() string {
	switch t {
	case MultiLabel:
		return "multi-label"
	case MultiClass:
		return "multi-class"
	}
	return fmt.Sprintf("task(%d)", int(t))
}

// Encoding says how pixels become the three channels of the network.
type Encoding int

// The encodings.
const (
	// Colours are red, green and blue. A map of MixedWM38 is grey: blank 0,
	// passed 127/255, failed 1 in all three channels before Normalize.
	Colours Encoding = iota
	// Dies gives each value of a die a channel of its own: 1 in the first for
	// pixels darker than 64, in the second for those darker than 191, in the
	// third for the others; 0 elsewhere. It is applied before the transform, but
	// after the one of a data set that has been transformed ([dataset.Transformed]);
	// the values of dies survive Nearest only.
	Dies
)

// String returns "colours" or "dies".
func (e Encoding) String() string {
	switch e {
	case Colours:
		return "colours"
	case Dies:
		return "dies"
	}
	return fmt.Sprintf("encoding(%d)", int(e))
}

// Config are the settings of a Classifier. DefaultClassifier explains
// the values.
type Config struct {
	// Task is MultiLabel or MultiClass.
	Task Task
	// Frozen leaves the backbone as it is and trains the linear layer alone, on
	// features that are computed once. Otherwise a copy of the backbone is
	// trained with it.
	Frozen bool

	// Epochs is the number of passes over the data, 1 to 100,000.
	Epochs int
	// Batch is the largest number of images in a step and in one pass of a
	// prediction, 1 to 256; 4 or more where the backbone is trained, because
	// batch norm needs two in every batch.
	Batch int
	// LR and BackboneLR are the learning rates of the linear layer and of a
	// trained backbone, above 0, at their highest.
	LR, BackboneLR float64
	// Warmup is the number of epochs in which the rates climb linearly from 0, at
	// most Epochs. Cosine then lets them fall to 0 as (1 + cos(pi t))/2 over the
	// steps that are left; without it they stay.
	Warmup int
	Cosine bool
	// Rule is the optimizer, "sgd" or "adamw", with its settings, weight decay
	// among them; those of the other are not read.
	Rule  string
	SGD   tensor.SGDConfig
	AdamW tensor.AdamWConfig
	// ClipNorm scales gradients down whose norm over all weights is larger; 0
	// never does.
	ClipNorm float64

	// Weights are the classes' weights in the cross-entropy, or those of each
	// label's positive examples in the binary one; one each, above 0, in the
	// order of the names. nil weighs all alike.
	Weights []float64
	// Balance takes weights from the training data instead: n/(K n_k) for class k
	// with n_k of n images, (n-n_k)/n_k for label k; 1 where all images or none
	// have it.
	Balance bool

	// Encoding, Transform and Normalize bring images to the network's input; all
	// must come out with one size of 32x32 or more.
	Encoding  Encoding
	Transform dataset.Transform
	Normalize dataset.Normalize
	// Turn shows every training image in one of its eight turns and reflections,
	// drawn anew in every epoch (four where it is not square), as is right for
	// wafer maps and parts without an upper side. Not with Frozen.
	Turn bool
}

// Default returns settings for fine-tuning on photographs: 20 epochs
// of AdamW, rate 1e-3 for the linear layer and 3e-4 for the backbone, one epoch
// of warm-up and then a cosine, batches of 32, images resized to 256 with
// Lanczos and cropped to 224. The article that this library follows publishes
// none of them.
func Default() Config {
	return Config{
		Task: MultiClass, Epochs: 20, Batch: 32, LR: 1e-3, BackboneLR: 3e-4, Warmup: 1, Cosine: true,
		Rule: "adamw", SGD: tensor.DefaultSGD(), AdamW: tensor.DefaultAdamW(),
		Transform: dataset.PaDiM224(), Normalize: dataset.ImageNet(),
	}
}

// DefaultWafer returns settings for wafer maps with the eight labels
// of MixedWM38: maps enlarged to side x side pixels by repeating dies, 32 to
// 4,096, shown in all turns, batches of 64, rate 1e-3 for the backbone too,
// because maps are farther from photographs; otherwise those of
// DefaultClassifier.
func DefaultWafer(side int) Config {
	c := Default()
	c.Task, c.Batch, c.Turn, c.BackboneLR = MultiLabel, 64, true, 1e-3
	c.Transform = dataset.Transform{Exact: image.Pt(side, side), Filter: dataset.Nearest}
	return c
}

// leastBatch is the smallest batch of a trained backbone, in images: cut evenly
// into batches of up to so many or more, every one holds two.
const leastBatch = 4

// Validate reports the first setting that makes no sense, by name; the error
// wraps [downstream.ErrConfig].
func (c Config) Validate() error {
	bad := self().Invalid
	positive := func(v float64) bool { return v > 0 && !math.IsInf(v, 0) }
	switch {
	case c.Task != MultiLabel && c.Task != MultiClass:
		return bad("Task is %d, want MultiLabel or MultiClass", int(c.Task))
	case c.Encoding != Colours && c.Encoding != Dies:
		return bad("Encoding is %d, want Colours or Dies", int(c.Encoding))
	case c.Epochs < 1 || c.Epochs > engine.MaxEpochs:
		return bad("Epochs is %d, want 1 to %d", c.Epochs, engine.MaxEpochs)
	case !c.Frozen && c.Batch < leastBatch:
		return bad("Batch is %d, want %d or more where the backbone is trained", c.Batch, leastBatch)
	case !positive(c.LR):
		return bad("LR is %v, want a number above 0", c.LR)
	case !c.Frozen && !positive(c.BackboneLR):
		return bad("BackboneLR is %v, want a number above 0", c.BackboneLR)
	case c.Warmup < 0 || c.Warmup > c.Epochs:
		return bad("Warmup is %d, want 0 to %d epochs", c.Warmup, c.Epochs)
	case !(c.ClipNorm >= 0) || math.IsInf(c.ClipNorm, 0):
		return bad("ClipNorm is %v, want 0 or more", c.ClipNorm)
	case c.Balance && c.Weights != nil:
		return bad("Balance and Weights are both set")
	case c.Frozen && c.Turn:
		return bad("Turn and Frozen are both set; features of a frozen backbone are computed once")
	case c.Rule != "sgd" && c.Rule != "adamw":
		return bad("Rule is %q, want %q or %q", c.Rule, "sgd", "adamw")
	}
	for k, w := range c.Weights {
		if !positive(w) {
			return bad("Weights[%d] is %v, want a number above 0", k, w)
		}
	}
	var err error
	if c.Rule == "sgd" {
		err = c.SGD.Validate()
	} else {
		err = c.AdamW.Validate()
	}
	if err != nil {
		return bad("%v", err)
	}
	return engine.ValidateView(self(), 0, c.Batch, c.Transform, c.Normalize)
}

// optimizer makes the one that the settings name.
func (c Config) optimizer(dev tensor.Device) (tensor.Optimizer, error) {
	if c.Rule == "sgd" {
		return tensor.NewSGD(c.SGD, dev)
	}
	return tensor.NewAdamW(c.AdamW, dev)
}

// rate is what multiplies the learning rates in step i of n.
func (c Config) rate(i, n int) float64 {
	warm := c.Warmup * n / c.Epochs
	switch {
	case i < warm:
		return float64(i+1) / float64(warm)
	case c.Cosine:
		return (1 + math.Cos(math.Pi*float64(i-warm)/float64(n-warm))) / 2
	}
	return 1
}

// Classifier names what an image shows: a linear layer on the pooled features of
// a backbone, which stays as it is or is trained with it.
//
// It borrows the extractor and never changes it. A trained classifier, for which
// the extractor must be a *backbone.ResNet, trains a copy that it owns, so a Fit
// that fails or is cancelled leaves nothing behind, several classifiers can
// start from one network, and Predict goes on with what it has while Fit is
// running. The copy is saved with it.
//
// A Classifier owns native memory: Close it. All methods are safe for concurrent
// use. Predict, PredictSet, Save and WriteTo go on with the weights they began with,
// whatever a Fit, Reset or Close does meanwhile. These take their turns in the order
// of the calls, but Close, which comes first.
type Classifier struct {
	core engine.Core[*classified]
	cfg  Config
	fe   downstream.Extractor // nil where a trained classifier was read without one
	seed uint64
}

// classified is what a fit leaves: head.weight [K, C] and head.bias [K] among
// the params.
type classified struct {
	engine.Model
	names []string
	net   downstream.Extractor // what the head stands on
	own   *backbone.ResNet     // the same where it was trained, else nil
}

// New returns a classifier that is not fitted. fe is borrowed. rng
// decides the first weights of the linear layer, the order of the images and
// their turns, in every Fit alike. Errors wrap [downstream.ErrConfig] or, where fe has no
// pooled features, [downstream.ErrLayers].
func New(fe downstream.Extractor, cfg Config, rng *rand.Rand, opts ...downstream.Option) (*Classifier, error) {
	if rng == nil {
		return nil, fmt.Errorf("classify: new classifier: %w: the random generator is nil", downstream.ErrConfig)
	}
	if fe == nil {
		return nil, fmt.Errorf("classify: new classifier: %w: the extractor is nil", downstream.ErrConfig)
	}
	return newClassifier(fe, cfg, rng.Uint64(), opts...)
}

func newClassifier(fe downstream.Extractor, cfg Config, seed uint64, opts ...downstream.Option) (*Classifier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	dev := tensor.CPU
	if fe != nil {
		if fe.Channels(backbone.Pooled) < 1 {
			return nil, fmt.Errorf("classify: new classifier: %w: the extractor has no %s", downstream.ErrLayers, backbone.Pooled)
		}
		if _, ok := fe.(*backbone.ResNet); !ok && !cfg.Frozen {
			return nil, fmt.Errorf("classify: new classifier: %w: the extractor is a %T; only a *backbone.ResNet is trained, set Frozen for others", downstream.ErrConfig, fe)
		}
		dev = fe.Device()
	}
	cfg.Weights = slices.Clone(cfg.Weights)
	cfg.Transform = cfg.Transform.Shared()
	c := &Classifier{cfg: cfg, fe: fe, seed: seed, core: engine.Core[*classified]{Who: self(), Dev: dev, Batch: cfg.Batch,
		In: feed.Reader{Transform: cfg.Transform, Normalize: cfg.Normalize}, Options: engine.OptionsOf(opts)}}
	if fe != nil {
		c.core.Precision = network.PrecisionOf(fe)
	}
	// The fingerprint is taken of the borrowed extractor: a grid of one position.
	c.core.Embed = func(s *tensor.Scope, x *tensor.Tensor) *tensor.Tensor {
		f := pooled(s, fe, x)
		return s.Reshape(f, x.Size(0), 1, 1, -1)
	}
	return c, nil
}

// pooled returns the vectors of images [N, 3, H, W], [N, C].
func pooled(s *tensor.Scope, fe downstream.Extractor, x *tensor.Tensor) *tensor.Tensor {
	f := fe.Forward(s, x, backbone.Pooled)[0]
	if s.Err() != nil {
		return f
	}
	if want := []int64{x.Size(0), int64(fe.Channels(backbone.Pooled))}; !slices.Equal(f.Shape(), want) {
		s.Fail(fmt.Errorf("classify: features of %s: %w: the extractor gave %v, want %v", backbone.Pooled, downstream.ErrLayers, f.Shape(), want))
	}
	return f
}

// Config returns the settings in force.
func (c *Classifier) Config() Config {
	cfg := c.cfg
	cfg.Weights = slices.Clone(cfg.Weights)
	return cfg
}

// Names returns the names of the labels or classes, in the order of the answers;
// nil before Fit.
func (c *Classifier) Names() []string {
	g, err := c.core.Acquire("ask")
	if err != nil {
		return nil
	}
	defer c.core.Release(g)
	return slices.Clone(g.names)
}

// Reset forgets what was fitted, when the Fits before it have ended; the
// classifier can be fitted again. Memory is freed as soon as predictions that are
// going on have ended. Errors are ctx's or wrap [downstream.ErrClosed].
func (c *Classifier) Reset(ctx context.Context) error { return c.core.Reset(ctx) }

// Close frees the weights for good; every other method that returns an error
// wraps [downstream.ErrClosed] from then on. It does not wait: predictions that are going on
// end as they would have, and a Fit that is going on, or waits, is cancelled and
// returns [downstream.ErrClosed]. The extractor must live until these have returned. Closing
// twice is harmless.
func (c *Classifier) Close() error { return c.core.Close() }

// Estimate returns what a classifier of these settings takes on fe, fitted on so many images
// that the transform brings to the size of input, with so many labels or classes. It returns
// the errors of [New], and [downstream.ErrImage], [downstream.ErrTooFewImages] or
// [downstream.ErrLabels] for what a fit would refuse too.
//
// With C pooled channels the linear layer takes 4 K (C+1). A frozen backbone's
// classifier holds nothing else; its fit adds the features, 4 N C, and gradient
// and optimizer state, three times the layer. A trained one holds a network of P
// weights, twice (a folded copy serves predictions): 8 P; its fit adds gradient
// and optimizer state, 12 P. Both fits read ahead cores+2 batches of 12 bytes a
// pixel. A trained network's fit adds, for each of the Batch images of a step, 12
// bytes a pixel and 4 A for what forward keeps until backward: A values come out
// of the convolutions and, but on the paths around blocks, of batch norm; behind
// the first convolution the maximum and where it is take 3 values each. A frozen
// network's passing maps are not in it, nor what libtorch takes for itself, some
// 130 MB, nor further layouts of folded weights (see [tensor.Scope.PackConv]).
func (c Config) Estimate(fe downstream.Extractor, input image.Point, images, labels int) (downstream.Memory, error) {
	if fe == nil {
		return downstream.Memory{}, fmt.Errorf("classify: estimate: %w: the extractor is nil", downstream.ErrConfig)
	}
	if _, err := newClassifier(fe, c, 0); err != nil {
		return downstream.Memory{}, err
	}
	switch {
	case images < 1:
		return downstream.Memory{}, fmt.Errorf("classify: estimate: %w: %d", downstream.ErrTooFewImages, images)
	case labels < 1 || labels > maxLabels:
		return downstream.Memory{}, fmt.Errorf("classify: estimate: %w: there are %d, want 1 to %d", downstream.ErrLabels, labels, maxLabels)
	case input.X < 1 || input.Y < 1:
		return downstream.Memory{}, fmt.Errorf("classify: estimate: %w: an image of %dx%d", downstream.ErrImage, input.X, input.Y)
	}
	fitted, fitting := estimate(images, labels, input, fe, c, tensor.GetThreads().Cores)
	return downstream.Memory{Fitted: fitted, Fitting: fitting}, nil
}

// estimate is the arithmetic of [Config.Estimate].
func estimate(images, k int, input image.Point, fe downstream.Extractor, cfg Config, cores int) (fitted, fitting int64) {
	channels := int64(fe.Channels(backbone.Pooled))
	head := 4 * int64(k) * (channels + 1)
	fitted = head
	fitting = 4*head + int64(cores+2)*int64(min(cfg.Batch, images))*int64(input.X)*int64(input.Y)*12
	if net, ok := fe.(*backbone.ResNet); ok && !cfg.Frozen {
		p := net.Params().Len()
		fitted += 8 * p
		step := 4*network.StepOf(net, backbone.Layer4, input).Held + 12*int64(input.X)*int64(input.Y)
		return fitted, fitting + 16*p + int64(min(cfg.Batch, images))*step
	}
	return fitted, fitting + 4*int64(images)*channels
}

// self names the classifier in messages.
func self() engine.Who { return engine.Who{Pkg: "classify", Name: "classifier"} }
