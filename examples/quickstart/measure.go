package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
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

// drawAll draws all images of a run.
func drawAll(ctx context.Context, s settings) (*dataset.Memory, error) {
	return drawn.New(ctx, drawn.Config{Size: s.size, Seed: s.seed, Parts: []drawn.Part{
		{Split: dataset.Train, Good: s.good}, {Split: beforeafter.SplitScale, Good: scaleImages}, {Split: dataset.Test, Each: s.tests, Balanced: true}}})
}

// stream returns the random source for one purpose of a run.
func stream(seed uint64, purpose string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(purpose)) // never fails
	return rand.New(rand.NewPCG(seed, h.Sum64()))
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

	net, err := backbone.NewResNet18(dev, stream(set.seed, "weights"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()

	classes := drawn.Classes()
	r.Products = make([]beforeafter.Product, len(classes))
	for i, class := range classes {
		r.Products[i].Class = class
		test := dataset.Only(images, class, dataset.Test)
		for k := range test.Len() {
			s, err := test.Sample(ctx, k)
			if err != nil {
				return err
			}
			r.Products[i].Images = append(r.Products[i].Images, s.Image)
		}
	}
	each := func(name string, to func(*beforeafter.Product) *beforeafter.Verdict) error {
		for i := range r.Products {
			p := &r.Products[i]
			v, err := beforeafter.Judge(ctx, net, images, p.Class, set.size)
			if err != nil {
				return err
			}
			*to(p) = v
			log.say("PaDiM with the %s network: %-13s image AUROC %5.1f, pixel AUROC %5.1f", name, p.Class, 100*v.Image, 100*v.Pixel)
		}
		return nil
	}
	if err := each("random", func(p *beforeafter.Product) *beforeafter.Verdict { return &p.Before }); err != nil {
		return err
	}
	if r.Anchors, err = pretrain(ctx, net, good, set, dev, log); err != nil {
		return err
	}
	if set.keep != "" {
		if err := keep(ctx, set.keep, images, net); err != nil {
			return err
		}
		log.say("kept in %s: the images and %s", set.keep, keepWeights)
	}
	if err := each("pre-trained", func(p *beforeafter.Product) *beforeafter.Verdict { return &p.After }); err != nil {
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
