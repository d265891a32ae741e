package downstream

import (
	"context"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/downstream/internal/rd4ad"
	"github.com/gotab/gotab/tensor"
)

// RD4ADConfig are the settings of RD4AD. DefaultRD4AD explains the values.
type RD4ADConfig struct {
	// Layers are the layers of the extractor whose maps are rebuilt: one to four
	// stages that follow each other, such as layer2 to layer4. Their maps must
	// halve from one to the next, and the last one's sides must be even.
	Layers []backbone.Layer
	// Blocks are the residual blocks of the trained networks. The zero value takes
	// those that the authors' program has for the extractor's architecture, where
	// it has a method Arch() backbone.Arch as *backbone.ResNet does, and otherwise
	// those for ResNet-18.
	Blocks RD4ADBlocks
	// PerPosition trains on the cosine between the channels at each position, as
	// the map is made, in place of the cosine between whole maps.
	PerPosition bool
	// Epochs is how often the training sees every image, 1 to 100000.
	Epochs int
	// TrainBatch is the number of images of a training step, 1 to 256. The last
	// step of an epoch has what remains.
	TrainBatch int
	// Rate is Adam's learning rate, above 0.
	Rate float64
	// Beta1 and Beta2 are the decays of Adam's moments, 0 to below 1.
	Beta1, Beta2 float64
	// Cache is how many bytes the extractor's maps of the good images may take on
	// the host during a fit, from 0. They are the same in every epoch; those beyond
	// it are made anew in each. It changes no result.
	Cache int64
	// Sigma is the deviation of the Gaussian that smooths the map, in pixels of
	// the transformed image, 0 to 64; 0 does not smooth.
	Sigma float64
	// Transform brings images to the network's input; all must come out with one
	// size.
	Transform dataset.Transform
	// Normalize turns bytes into the network's floats.
	Normalize dataset.Normalize
	// Batch is the largest number of images in one pass of scoring, 1 to 256. It
	// bounds memory and changes scores by float32 rounding only.
	Batch int
}

// DefaultRD4AD returns the settings of RD4AD (Deng and Li, arXiv 2201.10703) and
// its authors' program: stages 1 to 3, the cosine of whole maps, 200 epochs of
// batches of 16 with Adam, learning rate 0.005 and betas 0.5 and 0.999, no
// schedule and no augmentation, images resized to 256x256 bilinearly, maps
// smoothed with sigma 4.
//
// Cache is 2 GiB: the maps of a ResNet-18 of 1,170 images, those of a
// WideResNet-50-2 of 292. Batch is 8, as for the other detectors.
func DefaultRD4AD() RD4ADConfig {
	return RD4ADConfig{
		Layers:     []backbone.Layer{backbone.Layer1, backbone.Layer2, backbone.Layer3},
		Epochs:     200,
		TrainBatch: 16,
		Rate:       0.005,
		Beta1:      0.5,
		Beta2:      0.999,
		Cache:      2 << 30,
		Sigma:      4,
		Transform:  dataset.Transform{Exact: image.Pt(256, 256), Filter: dataset.Bilinear}.Shared(),
		Normalize:  dataset.ImageNet(),
		Batch:      8,
	}
}

// Validate reports the first setting that makes no sense, by name; the error
// wraps [ErrConfig]. Whether the layers exist and fit each other, NewRD4AD and
// Fit check.
func (c RD4ADConfig) Validate() error {
	bad := whoIs("RD4AD").Invalid
	if len(c.Layers) == 0 {
		return bad("Layers is empty, want at least one")
	}
	if err := c.Blocks.validate(whoIs("RD4AD"), len(c.Layers)); err != nil {
		return err
	}
	switch {
	case c.Epochs < 1 || c.Epochs > engine.MaxEpochs:
		return bad("Epochs is %d, want 1 to %d", c.Epochs, engine.MaxEpochs)
	case c.TrainBatch < 1 || c.TrainBatch > engine.MaxBatch:
		return bad("TrainBatch is %d, want 1 to %d", c.TrainBatch, engine.MaxBatch)
	case !(c.Rate > 0) || math.IsInf(c.Rate, 0):
		return bad("Rate is %v, want a number above 0", c.Rate)
	case !(c.Beta1 >= 0 && c.Beta1 < 1):
		return bad("Beta1 is %v, want 0 to below 1", c.Beta1)
	case !(c.Beta2 >= 0 && c.Beta2 < 1):
		return bad("Beta2 is %v, want 0 to below 1", c.Beta2)
	case c.Cache < 0 || c.Cache > maxCache:
		return bad("Cache is %d, want 0 to %d bytes", c.Cache, int64(maxCache))
	}
	return engine.ValidateView(whoIs("RD4AD"), c.Sigma, c.Batch, c.Transform, c.Normalize)
}

// RD4ADBlocks says what residual blocks the trained networks are made of. The
// zero value follows the extractor, see [RD4ADConfig].
type RD4ADBlocks struct {
	// Width is 0 for basic blocks, two 3x3 convolutions. Otherwise blocks are
	// bottlenecks, whose inner convolutions have Width quarters of the block's
	// channels: 1 as in ResNet-50, 2 as in WideResNet-50-2, at most 8. The layers'
	// channels must then be multiples of 4.
	Width int
	// OCE is the number of blocks of the one-class embedding, 1 to 64.
	OCE int
	// Decoder is the number of blocks of each stage of the decoder, the deepest
	// first, 1 to 64: as many numbers as there are layers.
	Decoder []int
}

const maxBlocks = 64

func (b RD4ADBlocks) follows() bool { return b.Width == 0 && b.OCE == 0 && b.Decoder == nil }

// validate checks the blocks for a number of layers.
func (b RD4ADBlocks) validate(by engine.Who, levels int) error {
	if b.follows() {
		return nil
	}
	if b.Width < 0 || b.Width > 8 {
		return by.Invalid("Blocks.Width is %d, want 0 to 8", b.Width)
	}
	if b.OCE < 1 || b.OCE > maxBlocks {
		return by.Invalid("Blocks.OCE is %d, want 1 to %d", b.OCE, maxBlocks)
	}
	if len(b.Decoder) != levels {
		return by.Invalid("Blocks.Decoder is %v, want a number for each of the %d layers", b.Decoder, levels)
	}
	for _, n := range b.Decoder {
		if n < 1 || n > maxBlocks {
			return by.Invalid("Blocks.Decoder is %v, want 1 to %d each", b.Decoder, maxBlocks)
		}
	}
	return nil
}

// RD4AD trains a student to rebuild the features of good images from a compact
// embedding of them, and scores an image by what it rebuilds badly: reverse
// distillation (Deng and Li, arXiv 2201.10703).
//
// The teacher is the extractor, which stays as it is. The maps of its layers are
// brought to the last one's grid by 3x3 convolutions of stride 2 and joined
// (MFF); a residual stage halves the grid once more and doubles the channels
// (OCE); a decoder of as many stages as there are layers, each beginning with a
// transposed convolution 2x2 that doubles the grid, gives a map for every layer.
// What the authors' program defines and does not use, a 1x1 convolution behind
// the embedding, is left out.
//
// The loss is the sum over the layers of 1 - cos between the teacher's and the
// student's whole map, averaged over the images. The map of an image is the sum
// over the layers of 1 - cos between the channels at each position, interpolated
// bilinearly to the transformed image (its corners being the corners of the
// grids) and smoothed; the score is its largest value. The weights after the last
// epoch are kept.
//
// An RD4AD borrows its extractor and owns its student: Close it. [Detector] says what may be called at once.
type RD4AD struct {
	core engine.Core[*distilled]
	cfg  RD4ADConfig // Blocks resolved
	sel  *network.Selection
	seed [2]uint64 // of weights and order
}

var _ Detector = (*RD4AD)(nil)

// NewRD4AD returns a detector that is not fitted. fe is borrowed. Two numbers are
// drawn from rng; they seed the weights and the order of the images of every Fit,
// so that fitting twice on the same images gives the same. Errors wrap
// [ErrConfig] or [ErrLayers].
func NewRD4AD(fe Extractor, cfg RD4ADConfig, rng *rand.Rand, opts ...Option) (*RD4AD, error) {
	if rng == nil {
		return nil, fmt.Errorf("downstream: new RD4AD: %w: the random generator is nil", ErrConfig)
	}
	return newRD4AD(fe, cfg, [2]uint64{rng.Uint64(), rng.Uint64()}, opts...)
}

func newRD4AD(fe Extractor, cfg RD4ADConfig, seed [2]uint64, opts ...Option) (*RD4AD, error) {
	if fe == nil {
		return nil, fmt.Errorf("downstream: new RD4AD: %w: the extractor is nil", ErrConfig)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Layers = slices.Clone(cfg.Layers)
	sel, err := network.NewSelection(fe, cfg.Layers, nil)
	if err == nil {
		err = followEachOther(cfg.Layers)
	}
	if err != nil {
		return nil, fmt.Errorf("downstream: new RD4AD: %w", err)
	}
	if cfg.Blocks.follows() {
		arch := backbone.ArchResNet18
		if r, ok := fe.(interface{ Arch() backbone.Arch }); ok {
			arch = r.Arch()
		}
		cfg.Blocks = RD4ADBlocks(rd4ad.BlocksFor(arch, len(cfg.Layers)))
	}
	cfg.Blocks.Decoder = slices.Clone(cfg.Blocks.Decoder)
	for _, l := range cfg.Layers {
		if c := fe.Channels(l); cfg.Blocks.Width > 0 && c%4 != 0 {
			return nil, fmt.Errorf("downstream: new RD4AD: %w: %s has %d channels, bottlenecks (Blocks.Width %d) need a multiple of 4",
				ErrLayers, l, c, cfg.Blocks.Width)
		}
	}
	cfg.Transform = cfg.Transform.Shared()
	return &RD4AD{cfg: cfg, sel: sel, seed: seed, core: engine.Core[*distilled]{Who: whoIs("RD4AD"), Dev: fe.Device(), Batch: cfg.Batch, Embed: sel.Embed, Precision: network.PrecisionOf(fe),
		In: feed.Reader{Transform: cfg.Transform, Normalize: cfg.Normalize}, Options: engine.OptionsOf(opts)}}, nil
}

// followEachOther refuses layers that are not stages, one after the other.
func followEachOther(layers []backbone.Layer) error {
	for i, l := range layers {
		if l < backbone.Layer1 || l > backbone.Layer4 || l != layers[0]+backbone.Layer(i) {
			return fmt.Errorf("%w: %v, want stages that follow each other, such as layer1, layer2 and layer3", ErrLayers, layers)
		}
	}
	return nil
}

// Config returns the settings in force, Blocks resolved.
func (p *RD4AD) Config() RD4ADConfig {
	c := p.cfg
	c.Layers, c.Blocks.Decoder = slices.Clone(c.Layers), slices.Clone(c.Blocks.Decoder)
	return c
}

// channels returns those of the layers.
func (p *RD4AD) channels() []int {
	cs := make([]int, len(p.cfg.Layers))
	for i, l := range p.cfg.Layers {
		cs[i] = p.sel.Fe.Channels(l)
	}
	return cs
}

// Estimate returns what a detector of these settings takes on fe, fitted on so many images
// that the transform brings to the size of input. It runs fe once. It returns [ErrConfig],
// [ErrLayers], [ErrImage] or [ErrTooFewImages] for what a fit would refuse too.
// docs/memory.md has the formula.
func (c RD4ADConfig) Estimate(fe Extractor, input image.Point, images int) (Memory, error) {
	p, err := newRD4AD(fe, c, [2]uint64{})
	if err != nil {
		return Memory{}, err
	}
	maps, err := probe("RD4AD", fe, c.Layers, input)
	if err == nil {
		err = p.checkHalving(maps, input)
	}
	if err != nil {
		return Memory{}, err
	}
	if images < 1 {
		return Memory{}, fmt.Errorf("downstream: estimate RD4AD: %w: %d", ErrTooFewImages, images)
	}
	fitted, fitting := estimateRD4AD(images, p.channels(), image.Pt(maps[0].W, maps[0].H), p.cfg)
	return Memory{fitted, fitting}, nil
}

// estimateRD4AD is the arithmetic of [RD4ADConfig.Estimate].
func estimateRD4AD(images int, channels []int, grid image.Point, cfg RD4ADConfig) (fitted, fitting int64) {
	b := cfg.Blocks
	if b.follows() {
		b = RD4ADBlocks(rd4ad.BlocksFor(backbone.ArchResNet18, len(channels)))
	}
	if len(channels) == 0 || b.validate(whoIs("RD4AD"), len(channels)) != nil {
		return 0, 0
	}
	return rd4ad.Bytes(images, channels, grid, rd4ad.Blocks(b), cfg.TrainBatch, cfg.Cache)
}

// distilled is what a fit leaves.
type distilled struct {
	state  // its own tensors are the tables of the enlargers
	net    *rd4ad.Student
	packed *tensor.Params // what folded stands on
	folded *rd4ad.Folded
	shapes []network.MapShape // of the layers
	levels []engine.Enlarger  // of the layers
}

// Reset forgets what was fitted when the Fits before it have ended. Errors are ctx's or wrap [ErrClosed].
func (p *RD4AD) Reset(ctx context.Context) error { return p.core.Reset(ctx) }

// Close frees what was fitted, for good: see [Detector].
func (p *RD4AD) Close() error { return p.core.Close() }
