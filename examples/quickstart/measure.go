package main

import (
	"context"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/dataset/drawn"
	"github.com/gotab/gotab/evaluate/beforeafter"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/tensor"
)

// scaleImages is how many good images of a product set the scale of colours.
const scaleImages = 8

// weightsStream tells the generator of the first weights from others of a seed: FNV-1a of "weights".
const weightsStream = 0xb1494b6ef08a411e

// drawAll draws all images of a run.
func drawAll(ctx context.Context, s settings) (*dataset.Memory, error) {
	return drawn.New(ctx, drawn.Config{Size: s.size, Seed: s.seed, Parts: []drawn.Part{
		{Split: dataset.Train, Good: s.good}, {Split: beforeafter.SplitScale, Good: scaleImages}, {Split: dataset.Test, Each: s.tests, Balanced: true}}})
}

// measure draws the images and does all the work: PaDiM with the random
// network, pre-training, PaDiM with the trained one.
func measure(ctx context.Context, r *beforeafter.Report, set settings, dev tensor.Device, log *progress) (err error) {
	images, err := drawAll(ctx, set)
	if err != nil {
		return err
	}
	good := dataset.Only(images, "", dataset.Train)
	log.say("drew %d good images to learn from and %d to test on", good.Len(), dataset.Only(images, "", dataset.Test).Len())

	net, err := backbone.NewResNet18(dev, rand.New(rand.NewPCG(set.seed, weightsStream)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	train := func(ctx context.Context) (err error) {
		if r.Anchors, err = pretrain(ctx, net, good, set, dev, log); err != nil || set.keep == "" {
			return err
		}
		if err := keep(ctx, set.keep, images, net); err != nil {
			return err
		}
		log.say("kept in %s: the images and %s", set.keep, keepWeights)
		return nil
	}
	if err := r.Measure(ctx, net, images, set.size, train, func(network, class string, v beforeafter.Verdict) {
		log.say("PaDiM with the %s network: %-13s image AUROC %5.1f, pixel AUROC %5.1f", network, class, 100*v.Image, 100*v.Pixel)
	}); err != nil {
		return err
	}
	r.About = set.about(r)
	return nil
}

// keepWeights is the file of the trained network in the folder of -keep, and keepPictures
// the folder of images there.
const (
	keepWeights  = "resnet18.safetensors"
	keepPictures = "pictures"
)

// keep writes the drawn images in MVTec AD's layout, and the trained network, for other
// programs to go on with. The images that set the scale of colours become good ones of
// train.
func keep(ctx context.Context, dir string, images dataset.Dataset, net *backbone.ResNet18) error {
	count := map[string]int{}
	for i := range images.Len() {
		s, err := images.Sample(ctx, i)
		if err != nil {
			return err
		}
		split := s.Split
		if split == beforeafter.SplitScale {
			split = dataset.Train
		}
		folder := filepath.Join(dir, keepPictures, s.Class, split, s.Defect)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("-keep: %w", err)
		}
		name := filepath.Join(folder, fmt.Sprintf("%03d.png", count[folder]))
		count[folder]++
		if err := atomicfile.Write(name, func(w io.Writer) error { return png.Encode(w, s.Image) }); err != nil {
			return fmt.Errorf("-keep: %w", err)
		}
	}
	if err := net.Save(filepath.Join(dir, keepWeights)); err != nil {
		return fmt.Errorf("-keep: %w", err)
	}
	return nil
}
