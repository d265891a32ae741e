package main

import (
	"context"
	"hash/fnv"
	"math/rand/v2"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/dataset/drawn"
)

// Splits of the drawn data.
const (
	splitTrain = dataset.Train // good pictures: pre-training and fitting
	splitTest  = dataset.Test  // good and damaged pictures: scored
	splitScale = "scale"       // further good pictures, for the colours of the maps
)

// scalePictures is how many good pictures of a product set the scale of colours.
const scalePictures = 8

// drawAll draws all pictures of a run.
func drawAll(ctx context.Context, s settings) (*dataset.Memory, error) {
	return drawn.New(ctx, drawn.Config{Size: s.size, Seed: s.seed, Parts: []drawn.Part{
		{Split: splitTrain, Good: s.good}, {Split: splitScale, Good: scalePictures}, {Split: splitTest, Each: s.tests, Balanced: true}}})
}

// stream returns the random source for one purpose of a run.
func stream(seed uint64, purpose string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(purpose)) // never fails
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}
