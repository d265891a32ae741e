package downstream

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/life"
	"github.com/gotab/gotab/downstream/internal/regad"
	"github.com/gotab/gotab/tensor"
)

// RegADConfig are the settings of RegAD. DefaultRegAD explains the values.
type RegADConfig struct {
	// Layers are the stages of the backbone that have a spatial transformer after
	// them and whose maps are compared, ascending, of Layer1 to Layer4. The first
	// one's grid is the grid of the model; deeper ones are repeated to it. The
	// backbone is kept and trained as far as the last.
	Layers []backbone.Layer
	// Warp is what the transformers may do.
	Warp Warp
	// Hidden is the width of the transformers' hidden layer, 1 to 65536.
	Hidden int
	// Shots is the number of support images that every query meets in training, 1
	// to 64. How many Fit is given is another matter, though usually the same.
	Shots int
	// Queries is the largest number of queries in a training step, all of one
	// class, 1 to 1024. A step runs Queries (1 + Shots) images forward and back.
	Queries int
	// Epochs is how often Train shows every image as a query, 0 to 100000; 0
	// keeps the first weights, to see what training is worth. The last epoch has
	// rate 0 and moves batch norm's running statistics alone, so that 1 teaches
	// nothing else.
	Epochs int
	// Rate is the learning rate, above 0, of which epoch e, counted from 1, has the
	// part (1 + cos(pi e / Epochs)) / 2.
	Rate float64
	// Momentum of the gradient descent, 0 to below 1.
	Momentum float64
	// TrainedTarget allows Fit on support images of a class that the network was
	// trained on. What RegAD claims, that it knows nothing of the class but the
	// support images, does not hold then.
	TrainedTarget bool
	// Epsilon is added to the diagonal of every covariance, more than 0, in
	// squared units of the features.
	Epsilon float64
	// Sigma is the deviation of the Gaussian that smooths the map, in pixels of
	// the transformed image, 0 to 64; 0 does not smooth.
	Sigma float64
	// Transform brings images to the network's input; all must come out with one
	// size.
	Transform dataset.Transform
	// Normalize turns bytes into the network's floats.
	Normalize dataset.Normalize
	// Batch is the largest number of images in one pass of Fit and Score, 1 to
	// 256. It bounds memory and changes scores by float32 rounding only.
	Batch int
}

// DefaultRegAD returns the settings of RegAD (Huang et al., arXiv 2207.07361) as
// in the authors' program: transformers that turn and scale after stages 1 to 3
// of a ResNet-18, 50 epochs of stochastic gradient descent with rate 0.0001 and
// momentum 0.9 in steps of 32 queries, 0.01 on the diagonal, images resized to
// 224x224 with Lanczos whatever their proportions, bytes divided by 255 and not
// normalised further, maps smoothed with sigma 4. Shots is 4, of the article's 2,
// 4 and 8.
func DefaultRegAD() RegADConfig {
	const side = 224
	return RegADConfig{
		Layers: []backbone.Layer{backbone.Layer1, backbone.Layer2, backbone.Layer3},
		Warp:   WarpRotationScale,
		Hidden: 1024,
		Shots:  4, Queries: 32, Epochs: 50, Rate: 1e-4, Momentum: 0.9,
		Epsilon:   0.01,
		Sigma:     4,
		Transform: dataset.Square(side),
		Normalize: dataset.Normalize{Std: [3]float32{1, 1, 1}},
		Batch:     8,
	}
}

const (
	maxShots   = 64
	maxQueries = 1024
)

// Validate reports the first setting that makes no sense, by name; the error
// wraps [ErrConfig]. Whether the layers exist, NewRegAD checks.
func (c RegADConfig) Validate() error {
	bad := whoIs("RegAD").Invalid
	switch {
	case len(c.Layers) == 0:
		return bad("Layers is empty, want at least one")
	case !slices.IsSorted(c.Layers) || len(slices.Compact(slices.Clone(c.Layers))) != len(c.Layers):
		return bad("Layers are %v, want each once and ascending", c.Layers)
	case !c.Warp.valid():
		return bad("Warp is %d, want one of the constants", int(c.Warp))
	case c.Hidden < 1 || c.Hidden > engine.MaxHidden:
		return bad("Hidden is %d, want 1 to %d", c.Hidden, engine.MaxHidden)
	case c.Shots < 1 || c.Shots > maxShots:
		return bad("Shots is %d, want 1 to %d", c.Shots, maxShots)
	case c.Queries < 1 || c.Queries > maxQueries:
		return bad("Queries is %d, want 1 to %d", c.Queries, maxQueries)
	case c.Epochs < 0 || c.Epochs > engine.MaxEpochs:
		return bad("Epochs is %d, want 0 to %d", c.Epochs, engine.MaxEpochs)
	case !(c.Rate > 0) || math.IsInf(c.Rate, 0):
		return bad("Rate is %v, want a number above 0", c.Rate)
	case !(c.Momentum >= 0 && c.Momentum < 1):
		return bad("Momentum is %v, want 0 to below 1", c.Momentum)
	case !(c.Epsilon > 0) || math.IsInf(c.Epsilon, 0):
		return bad("Epsilon is %v, want a number above 0", c.Epsilon)
	}
	return engine.ValidateView(whoIs("RegAD"), c.Sigma, c.Batch, c.Transform, c.Normalize)
}

// RegAD finds defects in products of which there are only a few good images
// (Huang et al., arXiv 2207.07361). Train teaches a network, on other products,
// to register images of one product with each other; Fit then describes the few
// images of the product in question, the support set, without training; Score
// measures how far an image is from that description.
//
// The network is a backbone's stages with a spatial transformer after each of
// Layers, which predicts an affine map for each image and resamples the features
// by it. In training the features of a query are held against the mean features
// of its support images with a Siamese head: see Train.
//
// For Fit and Score the maps of each layer are brought back to where the image
// has them, through the inverses of the layer's own transformation and of those
// before it, and all channels of all layers at a position make one vector, as
// with [PaDiM]. Fit multiplies each support image by 22: itself, eight turns of
// up to 45 degrees, eight shifts, a mirror image, a grey one and three quarter
// turns. With m the mean of the n = 22 K vectors at a position and S their
// covariance (divided by n-1) plus Epsilon on the diagonal, the distance of x is
// sqrt((x-m)^T S^-1 (x-m)).
//
// S has as many rows as there are channels, and there is one at each position: 2.5 GB for a ResNet-18 at 224x224. A low
// rank form of the same distance takes 0.19 GB for four shots (docs/memory.md).
//
// The map of distances is interpolated bilinearly to the transformed image and
// smoothed; the score is its largest value.
//
// A RegAD owns all that it has: its network, which begins with a copy of the
// backbone that it is made with, and its statistics. Close it. [Detector] says what may be called at
// once.
type RegAD struct {
	core    engine.Core[*supports]
	cfg     RegADConfig
	first   []tensor.Array // what a Train begins with, named as in a file
	grow    regad.Grower
	arch    string // of the trunk
	seed    [2]uint64
	trained life.Slot[*regad.Network]
}

var _ Detector = (*RegAD)(nil)

// NewRegAD returns a detector that is not trained. It copies the weights of net's
// stages as far as it needs them and does not use net afterwards. Two numbers are
// drawn from rng; they seed the other weights, and the pairs of every Train, so
// that training twice on the same images gives the same. Errors wrap [ErrConfig]
// or [ErrLayers].
func NewRegAD(net *backbone.ResNet, cfg RegADConfig, rng *rand.Rand, opts ...Option) (*RegAD, error) {
	if net == nil {
		return nil, fmt.Errorf("downstream: new RegAD: %w: the backbone is nil", ErrConfig)
	}
	if rng == nil {
		return nil, fmt.Errorf("downstream: new RegAD: %w: the random generator is nil", ErrConfig)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := stagesOf(net, cfg.Layers); err != nil {
		return nil, fmt.Errorf("downstream: new RegAD: %w", err)
	}
	weights, err := net.Params().Arrays(context.Background())
	if err != nil {
		return nil, fmt.Errorf("downstream: new RegAD: %w", err)
	}
	var first []tensor.Array
	deepest := cfg.Layers[len(cfg.Layers)-1]
	for _, a := range weights {
		// Deeper stages and the classification layer are left behind.
		if l, err := backbone.ParseLayer(strings.SplitN(a.Name, ".", 2)[0]); err == nil && l > deepest || strings.HasPrefix(a.Name, "fc.") {
			continue
		}
		a.Name = regad.TrunkPrefix + a.Name
		first = append(first, a)
	}
	seed := [2]uint64{rng.Uint64(), rng.Uint64()}
	return newRegAD(first, growResNet(net.Arch(), deepest, net.Device()), net.Arch().String(), net.Device(), cfg, seed, opts...), nil
}

// shape is what the network depends on.
func (c RegADConfig) shape() regad.Shape {
	return regad.Shape{Layers: c.Layers, Warp: regad.Warp(c.Warp), Hidden: c.Hidden}
}

// stagesOf checks that layers are stages of fe.
func stagesOf(fe interface{ Channels(backbone.Layer) int }, layers []backbone.Layer) error {
	for _, l := range layers {
		if l < backbone.Layer1 || l > backbone.Layer4 {
			return fmt.Errorf("%w: %s is no stage that a transformer follows, want %s to %s", ErrLayers, l, backbone.Layer1, backbone.Layer4)
		}
		if fe.Channels(l) < 1 {
			return fmt.Errorf("%w: the backbone has no %s", ErrLayers, l)
		}
	}
	return nil
}

// growResNet makes the stages of a ResNet, as far as last.
func growResNet(arch backbone.Arch, last backbone.Layer, dev tensor.Device) regad.Grower {
	return func(arrays []tensor.Array) (regad.Trunk, error) {
		return backbone.FromStages(&tensor.Weights{Arrays: arrays}, arch, last, dev)
	}
}

// newRegAD takes settings that are valid.
func newRegAD(first []tensor.Array, grow regad.Grower, arch string, dev tensor.Device, cfg RegADConfig, seed [2]uint64, opts ...Option) *RegAD {
	cfg.Layers = slices.Clone(cfg.Layers)
	cfg.Transform = cfg.Transform.Shared()
	return &RegAD{cfg: cfg, first: first, grow: grow, arch: arch, seed: seed,
		core: engine.Core[*supports]{Who: whoIs("RegAD"), Dev: dev, Batch: cfg.Batch, In: feed.Reader{Transform: cfg.Transform, Normalize: cfg.Normalize}, Options: engine.OptionsOf(opts)}}
}

// Config returns the settings in force.
func (r *RegAD) Config() RegADConfig {
	c := r.cfg
	c.Layers = slices.Clone(c.Layers)
	return c
}

// Classes returns the classes that the network in force was trained on, sorted;
// nil before Train.
func (r *RegAD) Classes() []string {
	n, ok := r.trained.Hold()
	if !ok {
		return nil
	}
	defer func() { _ = r.trained.Release(n) }() // frees memory, cannot fail
	return slices.Clone(n.Classes)
}

// network returns the trained network in force; release must follow.
func (r *RegAD) network(doing string) (*regad.Network, error) {
	n, ok := r.trained.Hold()
	switch {
	case ok:
		return n, nil
	case r.core.Current.IsClosed():
		return nil, r.core.ClosedError(doing)
	}
	return nil, fmt.Errorf("downstream: %s RegAD: %w: %w", doing, ErrNotFitted, ErrNotTrained)
}

// build makes a network of weights named as in a file, for images of a size;
// where only the trunk's are there, the others are drawn.
func (r *RegAD) build(ctx context.Context, weights []tensor.Array, size image.Point) (_ *regad.Network, err error) {
	t, err := r.grow(regad.OfTrunk(weights))
	if err != nil {
		return nil, err
	}
	n, err := regad.Describe(ctx, r.core.Dev, t, r.cfg.shape(), size)
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	own := slices.DeleteFunc(slices.Clone(weights), func(a tensor.Array) bool { return strings.HasPrefix(a.Name, regad.TrunkPrefix) })
	if len(own) == 0 {
		own, err = n.Fresh(r.generator("weights"))
	}
	if err == nil {
		err = n.Give(ctx, r.core.Dev, own)
	}
	if err != nil {
		return nil, errors.Join(err, n.Free())
	}
	return n, nil
}

// supports is what a fit leaves.
type supports struct {
	state
	net   *regad.Network // held
	stats *regad.Factors
}

// Reset forgets network and statistics when the Trains and Fits before it have ended. Errors are ctx's or wrap [ErrClosed].
func (r *RegAD) Reset(ctx context.Context) error {
	return r.core.Change(ctx, "reset", func(context.Context) error { return errors.Join(r.trained.Install(nil), r.core.Current.Install(nil)) })
}

// Close frees what was fitted, for good: see [Detector].
func (r *RegAD) Close() error { return errors.Join(r.core.Close(), r.trained.Shut()) }
