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
	"github.com/gotab/gotab/downstream/internal/padim"
	"github.com/gotab/gotab/tensor"
)

// PaDiMConfig are the settings of PaDiM. DefaultPaDiM explains the values.
type PaDiMConfig struct {
	// Layers are the layers of the extractor to use. The first one's grid is the
	// grid of the model; deeper ones are repeated to it.
	Layers []backbone.Layer
	// Channels are the channels to use, counted through Layers in their order
	// (for ResNet-18's first three stages 0 to 447). nil: Reduced says. Package tab
	// can choose those that damage moves (tab.MeasureChannels); the file of a fitted
	// detector holds them.
	Channels []int
	// Reduced is how many channels are drawn at random where Channels is nil; 0
	// uses all of them.
	Reduced int
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
	// Batch is the largest number of images in one pass through the network, 1 to
	// 256. It bounds memory and changes scores by float32 rounding only.
	Batch int
}

// referenceChannels is random.sample(range(448), 100) of CPython after
// random.seed(1024): the draw with which PaDiM R18-Rd100 is measured.
func referenceChannels() []int {
	return []int{
		408, 9, 247, 435, 199, 165, 424, 405, 266, 51, 227, 262, 187, 413, 369, 434, 366, 188, 198, 406,
		49, 364, 381, 71, 447, 443, 52, 209, 79, 223, 242, 228, 376, 268, 177, 315, 311, 45, 18, 42,
		325, 394, 423, 421, 185, 352, 171, 1, 189, 154, 93, 69, 81, 422, 146, 82, 46, 117, 298, 61,
		235, 349, 287, 12, 357, 210, 11, 10, 126, 419, 170, 176, 236, 312, 89, 281, 354, 218, 31, 34,
		196, 50, 305, 428, 95, 109, 361, 17, 363, 316, 336, 169, 398, 382, 237, 264, 440, 318, 403, 48,
	}
}

// DefaultPaDiM returns the settings of PaDiM R18-Rd100 (Defard et al., arXiv
// 2011.08785): stages 1 to 3 of a ResNet-18, a fixed draw of 100 of their 448
// channels (Python's random.sample with seed 1024), 0.01 on the diagonal, images
// resized to 256 with Lanczos and cropped to 224, maps smoothed with sigma 4.
// Batch is 8: larger ones are no faster and take more memory.
func DefaultPaDiM() PaDiMConfig {
	return PaDiMConfig{
		Layers:    []backbone.Layer{backbone.Layer1, backbone.Layer2, backbone.Layer3},
		Channels:  referenceChannels(),
		Epsilon:   0.01,
		Sigma:     4,
		Transform: dataset.PaDiM224(),
		Normalize: dataset.ImageNet(),
		Batch:     8,
	}
}

// Validate reports the first setting that makes no sense, by name; the error
// wraps [ErrConfig]. Whether layers and channels exist, NewPaDiM checks.
func (c PaDiMConfig) Validate() error {
	bad := whoIs("PaDiM").Invalid
	switch {
	case len(c.Layers) == 0:
		return bad("Layers is empty, want at least one")
	case c.Channels != nil && len(c.Channels) == 0:
		return bad("Channels is empty, want channels or nil")
	case c.Channels != nil && c.Reduced != 0:
		return bad("Channels and Reduced are both set")
	case c.Reduced < 0:
		return bad("Reduced is %d, want 0 or more", c.Reduced)
	case !(c.Epsilon > 0) || math.IsInf(c.Epsilon, 0):
		return bad("Epsilon is %v, want a number above 0", c.Epsilon)
	}
	return engine.ValidateView(whoIs("PaDiM"), c.Sigma, c.Batch, c.Transform, c.Normalize)
}

// PaDiM models the features of good images at every position of a grid by a
// Gaussian (Defard et al., arXiv 2011.08785) and scores an image by its
// Mahalanobis distances.
//
// With x the features of C chosen channels at a position, m their mean over the
// good images and S their covariance (divided by n-1) plus Epsilon on the
// diagonal, the distance is sqrt((x-m)^T S^-1 (x-m)). With the Cholesky factor
// S = L L^T it is the length of L^-1 (x-m), which is how it is computed: one
// product with a triangular matrix, and never the root of a negative number. The
// map of distances is interpolated bilinearly to the transformed image and
// smoothed; the score is its largest value.
//
// [PaDiM.Update] adds good images to the statistics later on, without those of
// the fit.
//
// A PaDiM borrows its extractor and owns its statistics: Close it. [Detector] says what may be called at once.
type PaDiM struct {
	core engine.Core[*gaussians]
	cfg  PaDiMConfig // Channels resolved, ascending
	sel  *network.Selection
}

var _ Detector = (*PaDiM)(nil)

// NewPaDiM returns a detector that is not fitted. fe is borrowed. rng draws the
// channels where cfg.Channels is nil and cfg.Reduced is not 0; otherwise nothing
// is drawn and it may be nil. Errors wrap [ErrConfig], [ErrLayers] or
// [ErrChannels].
func NewPaDiM(fe Extractor, cfg PaDiMConfig, rng *rand.Rand, opts ...Option) (*PaDiM, error) {
	if fe == nil {
		return nil, fmt.Errorf("downstream: new PaDiM: %w: the extractor is nil", ErrConfig)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	all, err := network.TotalChannels(fe, cfg.Layers)
	if err != nil {
		return nil, fmt.Errorf("downstream: new PaDiM: %w", err)
	}
	cfg.Layers = slices.Clone(cfg.Layers)
	cfg.Channels = slices.Clone(cfg.Channels)
	if cfg.Channels == nil {
		if cfg.Reduced > all {
			return nil, fmt.Errorf("downstream: new PaDiM: %w: Reduced is %d, the layers %v have %d", ErrChannels, cfg.Reduced, cfg.Layers, all)
		}
		if cfg.Channels, err = drawChannels(all, cfg.Reduced, rng); err != nil {
			return nil, err
		}
		cfg.Reduced = 0
	}
	slices.Sort(cfg.Channels)
	sel, err := network.NewSelection(fe, cfg.Layers, cfg.Channels)
	if err != nil {
		return nil, fmt.Errorf("downstream: new PaDiM: %w", err)
	}
	cfg.Transform = cfg.Transform.Shared()
	return &PaDiM{cfg: cfg, sel: sel, core: engine.Core[*gaussians]{Who: whoIs("PaDiM"), Dev: fe.Device(), Batch: cfg.Batch, Embed: sel.Embed, Precision: network.PrecisionOf(fe),
		In: feed.Reader{Transform: cfg.Transform, Normalize: cfg.Normalize}, Options: engine.OptionsOf(opts)}}, nil
}

func drawChannels(all, n int, rng *rand.Rand) ([]int, error) {
	if n == 0 || n == all {
		out := make([]int, all)
		for i := range out {
			out[i] = i
		}
		return out, nil
	}
	if rng == nil {
		return nil, fmt.Errorf("downstream: new PaDiM: %w: Reduced is %d and the random generator is nil", ErrConfig, n)
	}
	return rng.Perm(all)[:n], nil
}

// Config returns the settings in force, with the channels in use.
func (p *PaDiM) Config() PaDiMConfig {
	c := p.cfg
	c.Layers, c.Channels = slices.Clone(c.Layers), slices.Clone(c.Channels)
	return c
}

// Estimate returns what a detector of these settings takes on fe, for images that the
// transform brings to the size of input. The number of images does not matter. It runs fe
// once. It returns [ErrConfig], [ErrLayers], [ErrChannels] or [ErrImage] for what a fit
// would refuse too.
// docs/memory.md has the formula.
func (c PaDiMConfig) Estimate(fe Extractor, input image.Point, _ int) (Memory, error) {
	if err := c.Validate(); err != nil {
		return Memory{}, err
	}
	maps, err := probe("PaDiM", fe, c.Layers, input)
	if err != nil {
		return Memory{}, err
	}
	n := c.Reduced
	if c.Channels != nil {
		n = len(c.Channels)
	}
	all := 0
	for _, m := range maps {
		all += m.C
	}
	if n > all {
		return Memory{}, fmt.Errorf("downstream: estimate PaDiM: %w: %d channels, the layers %v have %d", ErrChannels, n, c.Layers, all)
	}
	if n == 0 {
		n = all
	}
	fitted, fitting := estimatePaDiM(fe.Device(), maps[0].H*maps[0].W, n, c.Batch, cores())
	return Memory{fitted, fitting}, nil
}

// estimatePaDiM is the arithmetic of [PaDiMConfig.Estimate].
func estimatePaDiM(dev tensor.Device, positions, c, batch, cores int) (fitted, fitting int64) {
	return padim.Bytes(dev, positions, c, batch, cores)
}

// gaussians is what a fit leaves.
type gaussians struct {
	state
	padim.Gaussians
}

// form is how the network's precision wants the matrices: of features that are rounded to bfloat16 the distances need no
// more of them. It says what is made, and what is read of either; what a model keeps is exact in both, so that a
// file, an update and a network that has come to another precision since find the values of the fit.
func (p *PaDiM) form() padim.Form {
	if p.core.PrecisionNow() == backbone.BFloat16 {
		return padim.Halves
	}
	return padim.Single
}

// Reset forgets what was fitted when the Fits before it have ended. Errors are ctx's or wrap [ErrClosed].
func (p *PaDiM) Reset(ctx context.Context) error { return p.core.Reset(ctx) }

// Close frees what was fitted, for good: see [Detector].
func (p *PaDiM) Close() error { return p.core.Close() }
