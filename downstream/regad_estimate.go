package downstream

import (
	"fmt"
	"image"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/downstream/internal/regad"
)

// Estimate returns what the statistics of a detector of these settings take, fitted on so
// many support images that the transform brings to the size of input. fe is the backbone,
// which gives maps of the network's sizes; it is run once. It returns [ErrConfig],
// [ErrLayers], [ErrImage] or [ErrTooFewImages] for what a fit would refuse too.
//
// With n = 22 shots samples, P positions of the first layer, p positions and c
// channels of a layer, C all channels and T(k) = k^2 (b+1) / 2b the entries of a
// lower triangular matrix that is kept in b = 4 blocks of rows, the smaller of
//
//	4 (P T(n) + n sum of p c)   and   4 P T(C),
//
// and 4 times the sum of p c for the means. Fitting, the samples are there in any
// case; besides, for each core, the larger of the maps of a batch twice and of
// four matrices of n or C rows in double precision for each of 56 positions. For
// ResNet-18 at 224x224 and batches of 8 on 2 cores: 4 shots take 186 MB and 231,
// 8 take 491 and 602, 64 take 1.6 GB and 4.3, where a dense inverse at every
// position takes 2.5. The network's own memory is not in it: see
// [RegADConfig.EstimateTraining].
func (c RegADConfig) Estimate(fe Extractor, input image.Point, images int) (Memory, error) {
	if err := c.Validate(); err != nil {
		return Memory{}, err
	}
	maps, err := probe("RegAD", fe, c.Layers, input)
	if err != nil {
		return Memory{}, err
	}
	switch {
	case images < 1:
		return Memory{}, fmt.Errorf("downstream: estimate RegAD: %w: %d", ErrTooFewImages, images)
	case images > maxShots:
		return Memory{}, fmt.Errorf("downstream: estimate RegAD: %w: %d images, at most %d are taken", ErrConfig, images, maxShots)
	}
	fitted, fitting := regad.Sizes{Count: regad.Variations * images, Maps: maps}.Bytes(c.Batch, cores())
	return Memory{fitted, fitting}, nil
}

// estimateRegAD is the arithmetic of [RegADConfig.Estimate].
func estimateRegAD(shots int, positions, channels []int, batch, cores int) (fitted, fitting int64) {
	if len(positions) == 0 || len(positions) != len(channels) {
		return 0, 0
	}
	z := regad.Sizes{Count: regad.Variations * shots}
	for i := range positions {
		z.Maps = append(z.Maps, network.MapShape{H: positions[i], W: 1, C: channels[i]})
	}
	return z.Bytes(batch, cores)
}

// EstimateTraining returns the bytes that a Train of these settings takes at most, for
// images that the transform brings to the size of input. It returns [ErrConfig],
// [ErrLayers] or [ErrImage] for what a Train would refuse too.
//
// With N = Queries (1 + Shots) images of p pixels in a step, W weights of the
// network's layers, transformers and head, and running statistics among them,
//
//	16 W + 48 N p + 4 N (A + T) + 96 Queries D.
//
// 16 W are weights, gradients, momentum and the first weights, which are kept. 48 p
// are 12 for each of three batches that are read ahead and for the one on the
// device. Forward keeps for each image until backward
//   - A values of the stages: those that come out of every convolution and, but on
//     the paths around blocks, what batch norm makes of them; behind the first
//     convolution the maximum and where it is, 3 values each;
//   - T of the transformers: of a map of h w positions and c channels
//     h w (c + 130) for the first convolution, the warped map and the points it is
//     read at, a quarter of h w 224 for a maximum and the second convolution and a
//     sixteenth of h w 64 for a maximum and its rows, and 2 Hidden;
//   - for a query 24 D of the head, D being the values of its last map: 16 of its
//     convolutions, 8 of means and cosines.
//
// For the default settings, ResNet-18 and images of 224x224: 4.7 GB. Measured peaks
// of processes were 0.99 to 1.18 times what is said here, for steps of 20 to 80
// images of ResNet-18 and 20 of ResNet-50; the rest is some 130 MB of libtorch's
// own. A step of fewer images, where the classes are small, takes less.
func (c RegADConfig) EstimateTraining(net *backbone.ResNet, input image.Point) (int64, error) {
	if net == nil {
		return 0, fmt.Errorf("downstream: estimate RegAD: %w: the backbone is nil", ErrConfig)
	}
	if err := c.Validate(); err != nil {
		return 0, err
	}
	if err := stagesOf(net, c.Layers); err != nil {
		return 0, fmt.Errorf("downstream: estimate RegAD: %w", err)
	}
	if input.X < 1 || input.Y < 1 {
		return 0, fmt.Errorf("downstream: estimate RegAD: %w: an image of %dx%d", ErrImage, input.X, input.Y)
	}
	return estimateRegADTraining(net, input, c), nil
}

// estimateRegADTraining is the arithmetic of [RegADConfig.EstimateTraining].
func estimateRegADTraining(net *backbone.ResNet, size image.Point, cfg RegADConfig) int64 {
	if net == nil || cfg.Validate() != nil || stagesOf(net, cfg.Layers) != nil || size.X < 1 || size.Y < 1 {
		return 0
	}
	z := network.StepOf(net, cfg.Layers[len(cfg.Layers)-1], size)
	weights, held := z.Weights, z.Held
	maps := make([]network.MapShape, len(cfg.Layers))
	for i, l := range cfg.Layers {
		maps[i] = z.Maps[l]
	}
	own, kept := regad.Step(cfg.shape(), maps)
	weights, held = weights+own, held+kept
	last := maps[len(maps)-1]
	images := int64(cfg.Queries) * int64(1+cfg.Shots)
	return 16*weights + images*(48*int64(size.X)*int64(size.Y)+4*held) + 96*int64(cfg.Queries)*int64(last.Len())
}
