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
	"github.com/gotab/gotab/downstream/internal/patchcore"
	"github.com/gotab/gotab/tensor"
)

// PatchCoreConfig are the settings of PatchCore. DefaultPatchCore explains the
// values.
type PatchCoreConfig struct {
	// Layers are the layers of the extractor to use. The first one's grid is the
	// grid of the patches; deeper ones are interpolated to it.
	Layers []backbone.Layer
	// Neighbourhood is the side of the square of positions that a patch is
	// averaged over, in positions of each layer's own grid, odd, 1 to 9.
	Neighbourhood int
	// Dim is the length of a patch's vector. 0 averages every channel over the
	// neighbourhood and keeps all channels of all layers. Otherwise a multiple of
	// the number of layers, at most 4096, reached as the authors' program does:
	// see [PatchCore].
	Dim int
	// Share is the part of the patches that the memory bank keeps, above 0 to 1.
	Share float64
	// Projection is the dimension of the random projection in which the patches
	// to keep are chosen, 0 to 4096; 0, or no less than the length of the
	// vectors, chooses in the vectors themselves.
	Projection int
	// Starts is how many patches, drawn at random, stand for the first centre,
	// 1 to 1000: the first patch kept is the one with the largest mean distance
	// to them.
	Starts int
	// Neighbours is b of the article's re-weighting of the image score (eq. 7), 2
	// to 1000; 0 does not re-weight.
	Neighbours int
	// Squared scores by squared distances in place of distances. It orders
	// patches alike, but images otherwise where Neighbours is set, and changes
	// what smoothing does to the map.
	Squared bool
	// Approximate takes for a patch the neighbour that is nearest by a third of the
	// values of patches, along axes on which these differ most, and looks at no other.
	// Its distance is measured in full, so that scores can only be too high. Default false:
	// the nearest is found. On the CPU, with banks of 1,024 patches and more of 96 values and more; elsewhere it
	// changes nothing. docs/performance.md has what it gains and loses.
	Approximate bool
	// Sigma is the deviation of the Gaussian that smooths the map, in pixels of
	// the transformed image, 0 to 64; 0 does not smooth.
	Sigma float64
	// Transform brings images to the network's input; all must come out with one
	// size.
	Transform dataset.Transform
	// Normalize turns bytes into the network's floats.
	Normalize dataset.Normalize
	// Batch is the largest number of images in one pass through the network, 1 to
	// 256. It bounds memory and changes scores by float32 rounding only.
	Batch int
}

// DefaultPatchCore returns the settings of PatchCore (Roth et al., arXiv
// 2106.08265): stages 2 and 3, neighbourhoods of 3x3, a tenth of the patches,
// chosen in a projection to 128 dimensions with 10 starting points, images
// resized to 256 bilinearly and cropped to 224, maps smoothed with sigma 4.
//
// Dim is 0: for ResNet-18 these are 384 values, means over 3x3 positions. The
// article has 1024 for WideResNet-50-2, whose two stages have 1536 channels; for
// ResNet-18, 1024 would stretch 384 channels without adding anything. Set it to
// 1024 for WideResNet-50-2 to follow the article.
//
// Neighbours is 0 and Squared is true as in the authors' program, with which the
// published numbers are made: it scores an image by its largest patch without
// the article's re-weighting (there b is 9), and its index returns squares.
func DefaultPatchCore() PatchCoreConfig {
	return PatchCoreConfig{
		Layers:        []backbone.Layer{backbone.Layer2, backbone.Layer3},
		Neighbourhood: 3,
		Share:         0.1,
		Projection:    128,
		Starts:        10,
		Squared:       true,
		Sigma:         4,
		Transform:     dataset.Transform{Shorter: 256, Filter: dataset.Bilinear, Crop: dataset.PaDiM224().Crop}.Shared(),
		Normalize:     dataset.ImageNet(),
		Batch:         8,
	}
}

const (
	maxPatchDim   = 4096
	maxStarts     = 1000
	maxNeighbours = 1000
)

// Validate reports the first setting that makes no sense, by name; the error
// wraps [ErrConfig]. Whether the layers exist, NewPatchCore checks.
func (c PatchCoreConfig) Validate() error {
	bad := whoIs("PatchCore").Invalid
	switch {
	case len(c.Layers) == 0:
		return bad("Layers is empty, want at least one")
	case c.Neighbourhood < 1 || c.Neighbourhood > 9 || c.Neighbourhood%2 == 0:
		return bad("Neighbourhood is %d, want an odd number from 1 to 9", c.Neighbourhood)
	case c.Dim < 0 || c.Dim > maxPatchDim || c.Dim%len(c.Layers) != 0:
		return bad("Dim is %d, want 0 to %d and a multiple of the %d layers", c.Dim, maxPatchDim, len(c.Layers))
	case !(c.Share > 0 && c.Share <= 1):
		return bad("Share is %v, want above 0 to 1", c.Share)
	case c.Projection < 0 || c.Projection > maxPatchDim:
		return bad("Projection is %d, want 0 to %d", c.Projection, maxPatchDim)
	case c.Starts < 1 || c.Starts > maxStarts:
		return bad("Starts is %d, want 1 to %d", c.Starts, maxStarts)
	case c.Neighbours != 0 && (c.Neighbours < 2 || c.Neighbours > maxNeighbours):
		return bad("Neighbours is %d, want 0 or 2 to %d", c.Neighbours, maxNeighbours)
	}
	return engine.ValidateView(whoIs("PatchCore"), c.Sigma, c.Batch, c.Transform, c.Normalize)
}

// PatchCore remembers patches of good images and scores a patch of another image
// by its distance to the nearest of them (Roth et al., arXiv 2106.08265).
//
// A patch is the features of all layers around one position of the first
// layer's grid. With Dim 0 they are averaged over the neighbourhood, with zeros
// beyond the border, and deeper layers are interpolated bilinearly. With another
// Dim the values of all channels and positions of the neighbourhood, in this
// order, are brought to Dim by adaptive average pooling, layer by layer, and
// then the layers together once more. All of this is linear, so it is done as
// one sparse convolution a layer before the interpolation.
//
// Of all patches the memory bank keeps a share that covers them well: again and
// again the one that is farthest from those already kept (greedy k-centre).
//
// The image score is the largest score of a patch, re-weighted where Neighbours
// is set: with q the patch, m its nearest neighbour and N the b patches of the
// bank nearest to m (m itself among them), by
//
//	1 - exp(|q-m|) / sum over n in N of exp(|q-n|).
//
// The map is interpolated bilinearly to the transformed image and smoothed, the
// score is taken before that: it is not the map's largest value.
//
// A PatchCore borrows its extractor and owns its memory bank: Close it. [Detector] says what may be called at once.
type PatchCore struct {
	core engine.Core[*patchBank]
	cfg  PatchCoreConfig
	emb  *network.PatchEmbedding
	seed [2]uint64 // of projection and starting points
}

var _ Detector = (*PatchCore)(nil)

// NewPatchCore returns a detector that is not fitted. fe is borrowed. Two numbers
// are drawn from rng; they seed projection and starting points of every Fit, so
// that fitting twice on the same images gives the same. With a Share of 1
// nothing is drawn and rng may be nil. Errors wrap [ErrConfig] or [ErrLayers].
func NewPatchCore(fe Extractor, cfg PatchCoreConfig, rng *rand.Rand, opts ...Option) (*PatchCore, error) {
	var seed [2]uint64
	if cfg.Share < 1 {
		if rng == nil {
			return nil, fmt.Errorf("downstream: new PatchCore: %w: Share is %v and the random generator is nil", ErrConfig, cfg.Share)
		}
		seed = [2]uint64{rng.Uint64(), rng.Uint64()}
	}
	return newPatchCore(fe, cfg, seed, opts...)
}

func newPatchCore(fe Extractor, cfg PatchCoreConfig, seed [2]uint64, opts ...Option) (*PatchCore, error) {
	if fe == nil {
		return nil, fmt.Errorf("downstream: new PatchCore: %w: the extractor is nil", ErrConfig)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Layers = slices.Clone(cfg.Layers)
	emb, err := network.NewPatchEmbedding(fe, cfg.Layers, cfg.Neighbourhood, cfg.Dim, cfg.Dim)
	if err != nil {
		return nil, fmt.Errorf("downstream: new PatchCore: %w", err)
	}
	cfg.Transform = cfg.Transform.Shared()
	return &PatchCore{cfg: cfg, emb: emb, seed: seed, core: engine.Core[*patchBank]{Who: whoIs("PatchCore"), Dev: fe.Device(), Batch: cfg.Batch, Embed: emb.Embed, Precision: network.PrecisionOf(fe),
		In: feed.Reader{Transform: cfg.Transform, Normalize: cfg.Normalize}, Options: engine.OptionsOf(opts)}}, nil
}

// Config returns the settings in force.
func (p *PatchCore) Config() PatchCoreConfig {
	c := p.cfg
	c.Layers = slices.Clone(c.Layers)
	return c
}

// Estimate returns what a detector of these settings takes on fe, fitted on so many images
// that the transform brings to the size of input. It runs fe once. It returns [ErrConfig],
// [ErrLayers], [ErrImage] or [ErrTooFewImages] for what a fit would refuse too.
// docs/memory.md has the formula.
func (c PatchCoreConfig) Estimate(fe Extractor, input image.Point, images int) (Memory, error) {
	if err := c.Validate(); err != nil {
		return Memory{}, err
	}
	maps, err := probe("PatchCore", fe, c.Layers, input)
	if err != nil {
		return Memory{}, err
	}
	if images < 1 {
		return Memory{}, fmt.Errorf("downstream: estimate PatchCore: %w: %d", ErrTooFewImages, images)
	}
	fitted, fitting := estimatePatchCore(fe.Device(), images, maps[0].H*maps[0].W, vectorLen(maps, c.Dim), c, cores())
	return Memory{fitted, fitting}, nil
}

// vectorLen is the number of values of a patch's vector: dim, or all channels where that
// is 0.
func vectorLen(maps []network.MapShape, dim int) int {
	if dim > 0 {
		return dim
	}
	for _, m := range maps {
		dim += m.C
	}
	return dim
}

// estimatePatchCore is the arithmetic of [PatchCoreConfig.Estimate].
func estimatePatchCore(dev tensor.Device, images, positions, c int, cfg PatchCoreConfig, cores int) (fitted, fitting int64) {
	n, dim := int64(images)*int64(positions), int64(c)
	kept := n
	if cfg.Share < 1 {
		kept = int64(patchcore.Size(int(n), cfg.Share))
	}
	fitted = 4 * kept * (dim + 1)
	if k := int64(patchcore.Shortened(dev, int(kept), c)); k > 0 {
		fitted += 4 * (kept*(k+1) + dim*k)
	}
	choosing := int64(0)
	if cfg.Share < 1 {
		k := int64(cfg.projected(c))
		choosing = 4 * (n*(k+10) + kept*k)
	}
	batches := 4 * int64(cores+3) * int64(cfg.Batch) * int64(positions) * dim
	return fitted, max(choosing, 2*fitted) + batches
}

// projected is the dimension in which patches of c values are chosen.
func (c PatchCoreConfig) projected(values int) int {
	if c.Projection == 0 || c.Projection >= values {
		return values
	}
	return c.Projection
}

// patchBank is what a fit leaves.
type patchBank struct {
	state
	patchcore.Bank
}

// Reset forgets what was fitted when the Fits before it have ended. Errors are ctx's or wrap [ErrClosed].
func (p *PatchCore) Reset(ctx context.Context) error { return p.core.Reset(ctx) }

// Close frees what was fitted, for good: see [Detector].
func (p *PatchCore) Close() error { return p.core.Close() }
