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
// docs/memory.md has the formula.
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
// docs/memory.md has the formula.
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
