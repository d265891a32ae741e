package downstream

import (
	"context"
	"fmt"
	"image"
	"math/rand/v2"
	"slices"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/downstream/internal/simplenet"
	"github.com/gotab/gotab/tensor"
)

// SimpleNetConfig are the settings of SimpleNet. DefaultSimpleNet explains the
// values.
type SimpleNetConfig struct {
	// Layers are the layers of the extractor to use. The first one's grid is the
	// grid of the patches; deeper ones are interpolated to it.
	Layers []backbone.Layer
	// Neighbourhood is the side of the square of positions that a patch looks at,
	// in positions of each layer's own grid, odd, 1 to 9.
	Neighbourhood int
	// LayerDim and Dim are to how many values the patch of one layer, and then
	// those of all layers together, are pooled, as in [PatchCore]: 1 to 4096, Dim a
	// multiple of the number of layers. Both 0 averages every channel over the
	// neighbourhood and keeps all channels of all layers.
	LayerDim, Dim int
	// Hidden is the width of the discriminator, 1 to 8192.
	Hidden int
	// Noise is the deviation of what is added to adapted features to make false
	// ones, in their units, above 0 to 100.
	Noise float64
	// Margin is the score beyond which a patch is right enough to teach nothing,
	// above 0 to 100.
	Margin float64
	// Epochs is how often the training sees every image, 1 to 100000.
	Epochs int
	// TestEvery is after how many epochs FitBestOnTest looks at the test set, from
	// 1; the last epoch is looked at in any case. Fit does not use it.
	TestEvery int
	// TrainBatch is the number of images in one step of the training, 1 to 256.
	TrainBatch int
	// AdaptorRate and DiscriminatorRate are the learning rates, above 0 to 1.
	AdaptorRate, DiscriminatorRate float64
	// AdaptorDecay is AdamW's decoupled weight decay, DiscriminatorDecay is Adam's,
	// which is part of the gradient; 0 to 1.
	AdaptorDecay, DiscriminatorDecay float64
	// Cache is how many bytes the backbone's features of the good images may take
	// on the host during a fit, from 0. Features beyond it are made anew in every
	// epoch. It changes no result.
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

// DefaultSimpleNet returns the settings of SimpleNet (Liu et al., arXiv
// 2303.15140) as in its authors' program: stages 2 and 3, neighbourhoods of 3x3
// pooled to 1536 values twice, a discriminator of 1024, noise of 0.015, a margin
// of 0.5, 40 rounds of 4 epochs in batches of 8 images, AdamW with 1e-4 and decay
// 0.01 for the adaptor, Adam with 2e-4 and 1e-5 for the discriminator, images
// resized to 329 bilinearly and cropped to 288, maps smoothed with sigma 4.
//
// Article and program use WideResNet-50-2, whose two stages have 1536 channels;
// both are silent on ResNet-18, whose 384 are stretched to 1536 here, so that one
// setting means the same for every backbone. A LayerDim and Dim of 0 take the 384
// as they are and train several times faster.
//
// Cache is 1 GiB: ResNet-18's features are 1 MB an image.
func DefaultSimpleNet() SimpleNetConfig {
	return SimpleNetConfig{
		Layers:        []backbone.Layer{backbone.Layer2, backbone.Layer3},
		Neighbourhood: 3,
		LayerDim:      1536, Dim: 1536,
		Hidden: 1024,
		Noise:  0.015, Margin: 0.5,
		Epochs: 160, TestEvery: 4, TrainBatch: 8,
		AdaptorRate: 1e-4, AdaptorDecay: 0.01,
		DiscriminatorRate: 2e-4, DiscriminatorDecay: 1e-5,
		Cache:     1 << 30,
		Sigma:     4,
		Transform: dataset.Transform{Shorter: 329, Filter: dataset.Bilinear, Crop: image.Pt(288, 288)}.Shared(),
		Normalize: dataset.ImageNet(),
		Batch:     8,
	}
}

const maxCache = 1 << 44

// Validate reports the first setting that makes no sense, by name; the error
// wraps [ErrConfig]. Whether the layers exist, NewSimpleNet checks.
func (c SimpleNetConfig) Validate() error {
	bad := whoIs("SimpleNet").Invalid
	switch {
	case len(c.Layers) == 0:
		return bad("Layers is empty, want at least one")
	case c.Neighbourhood < 1 || c.Neighbourhood > 9 || c.Neighbourhood%2 == 0:
		return bad("Neighbourhood is %d, want an odd number from 1 to 9", c.Neighbourhood)
	case c.LayerDim < 0 || c.LayerDim > maxPatchDim || (c.LayerDim == 0) != (c.Dim == 0):
		return bad("LayerDim is %d with a Dim of %d, want both 1 to %d or both 0", c.LayerDim, c.Dim, maxPatchDim)
	case c.Dim < 0 || c.Dim > maxPatchDim || c.Dim%len(c.Layers) != 0:
		return bad("Dim is %d, want 0 to %d and a multiple of the %d layers", c.Dim, maxPatchDim, len(c.Layers))
	case c.Hidden < 1 || c.Hidden > engine.MaxHidden:
		return bad("Hidden is %d, want 1 to %d", c.Hidden, engine.MaxHidden)
	case !(c.Noise > 0 && c.Noise <= 100):
		return bad("Noise is %v, want above 0 to 100", c.Noise)
	case !(c.Margin > 0 && c.Margin <= 100):
		return bad("Margin is %v, want above 0 to 100", c.Margin)
	case c.Epochs < 1 || c.Epochs > engine.MaxEpochs:
		return bad("Epochs is %d, want 1 to %d", c.Epochs, engine.MaxEpochs)
	case c.TestEvery < 1:
		return bad("TestEvery is %d, want 1 or more", c.TestEvery)
	case c.TrainBatch < 1 || c.TrainBatch > engine.MaxBatch:
		return bad("TrainBatch is %d, want 1 to %d", c.TrainBatch, engine.MaxBatch)
	case !(c.AdaptorRate > 0 && c.AdaptorRate <= 1):
		return bad("AdaptorRate is %v, want above 0 to 1", c.AdaptorRate)
	case !(c.DiscriminatorRate > 0 && c.DiscriminatorRate <= 1):
		return bad("DiscriminatorRate is %v, want above 0 to 1", c.DiscriminatorRate)
	case !(c.AdaptorDecay >= 0 && c.AdaptorDecay <= 1):
		return bad("AdaptorDecay is %v, want 0 to 1", c.AdaptorDecay)
	case !(c.DiscriminatorDecay >= 0 && c.DiscriminatorDecay <= 1):
		return bad("DiscriminatorDecay is %v, want 0 to 1", c.DiscriminatorDecay)
	case c.Cache < 0 || c.Cache > maxCache:
		return bad("Cache is %d bytes, want 0 to %d", c.Cache, int64(maxCache))
	}
	return engine.ValidateView(whoIs("SimpleNet"), c.Sigma, c.Batch, c.Transform, c.Normalize)
}

// SimpleNet learns to tell features of good patches from the same with noise
// (Liu et al., arXiv 2303.15140).
//
// A patch is the features of all layers around one position of the first layer's
// grid, pooled as in [PatchCore]. An adaptor, one linear layer, moves it to the
// product at hand; a false patch is an adapted one plus Gaussian noise. The
// discriminator, a linear layer, batch norm, leaky ReLU with slope 0.2 and a
// linear layer without bias, gives a number D that shall be above the margin for
// true patches and below its negative for false ones:
//
//	loss = mean max(0, margin - D(true)) + mean max(0, margin + D(false)).
//
// True and false patches of a step go through the discriminator as one batch, so
// that batch norm sees both.
//
// A patch's score is -D. The image score is the largest score of a patch. The map
// is interpolated bilinearly to the transformed image and smoothed, the score is
// taken before that: it is not the map's largest value. Scores may be negative.
//
// A SimpleNet borrows its extractor and owns its weights: Close it. [Detector] says what may be called at once.
type SimpleNet struct {
	core engine.Core[*simpleModel]
	cfg  SimpleNetConfig
	emb  *network.PatchEmbedding
	seed [2]uint64 // of weights, order and noise
}

var _ Detector = (*SimpleNet)(nil)

// NewSimpleNet returns a detector that is not fitted. fe is borrowed. Two numbers
// are drawn from rng; they seed weights, order of the images and noise of every
// Fit, so that fitting twice on the same images with the same number of threads
// gives the same. Errors wrap [ErrConfig] or [ErrLayers].
func NewSimpleNet(fe Extractor, cfg SimpleNetConfig, rng *rand.Rand, opts ...Option) (*SimpleNet, error) {
	if rng == nil {
		return nil, fmt.Errorf("downstream: new SimpleNet: %w: the random generator is nil", ErrConfig)
	}
	return newSimpleNet(fe, cfg, [2]uint64{rng.Uint64(), rng.Uint64()}, opts...)
}

func newSimpleNet(fe Extractor, cfg SimpleNetConfig, seed [2]uint64, opts ...Option) (*SimpleNet, error) {
	if fe == nil {
		return nil, fmt.Errorf("downstream: new SimpleNet: %w: the extractor is nil", ErrConfig)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Layers = slices.Clone(cfg.Layers)
	emb, err := network.NewPatchEmbedding(fe, cfg.Layers, cfg.Neighbourhood, cfg.LayerDim, cfg.Dim)
	if err != nil {
		return nil, fmt.Errorf("downstream: new SimpleNet: %w", err)
	}
	cfg.Transform = cfg.Transform.Shared()
	return &SimpleNet{cfg: cfg, emb: emb, seed: seed, core: engine.Core[*simpleModel]{Who: whoIs("SimpleNet"), Dev: fe.Device(), Batch: cfg.Batch, Embed: emb.Embed, Precision: network.PrecisionOf(fe),
		In: feed.Reader{Transform: cfg.Transform, Normalize: cfg.Normalize}, Options: engine.OptionsOf(opts)}}, nil
}

// Config returns the settings in force.
func (p *SimpleNet) Config() SimpleNetConfig {
	c := p.cfg
	c.Layers = slices.Clone(c.Layers)
	return c
}

// BestOnTest says whether the weights in force are those of FitBestOnTest, also
// of a detector that was read from a file: figures on its test set flatter.
func (p *SimpleNet) BestOnTest() bool {
	g, ok := p.core.Current.Hold()
	if !ok {
		return false
	}
	defer p.core.Release(g)
	return g.onTest
}

// Estimate returns what a detector of these settings takes on fe, fitted on so many images
// that the transform brings to the size of input. It runs fe once. It returns [ErrConfig],
// [ErrLayers], [ErrImage] or [ErrTooFewImages] for what a fit would refuse too.
// docs/memory.md has the formula.
func (c SimpleNetConfig) Estimate(fe Extractor, input image.Point, images int) (Memory, error) {
	if err := c.Validate(); err != nil {
		return Memory{}, err
	}
	maps, err := probe("SimpleNet", fe, c.Layers, input)
	if err != nil {
		return Memory{}, err
	}
	if images < 1 {
		return Memory{}, fmt.Errorf("downstream: estimate SimpleNet: %w: %d", ErrTooFewImages, images)
	}
	features := 0
	for _, m := range maps {
		features += m.Len()
	}
	fitted, fitting := estimateSimpleNet(images, maps[0].H*maps[0].W, features, vectorLen(maps, c.Dim), c)
	return Memory{fitted, fitting}, nil
}

// estimateSimpleNet is the arithmetic of [SimpleNetConfig.Estimate].
func estimateSimpleNet(images, positions, features, c int, cfg SimpleNetConfig) (fitted, fitting int64) {
	return simplenet.Bytes(images, positions, features, c, cfg.Hidden, cfg.TrainBatch, cfg.Cache)
}

// simpleModel is what a fit leaves.
type simpleModel struct {
	state
	simplenet.Matrices
	trained []tensor.Array // all weights as they were trained, for WriteTo
	onTest  bool           // a test set chose them
}

// Reset forgets what was fitted when the Fits before it have ended. Errors are ctx's or wrap [ErrClosed].
func (p *SimpleNet) Reset(ctx context.Context) error { return p.core.Reset(ctx) }

// Close frees what was fitted, for good: see [Detector].
func (p *SimpleNet) Close() error { return p.core.Close() }
