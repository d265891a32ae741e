package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/examples/quickstart/internal/drawing"
)

// Splits of the drawn data.
const (
	splitTrain = dataset.Train // good pictures: pre-training and fitting
	splitTest  = dataset.Test  // good and damaged pictures: scored
	splitScale = "scale"       // further good pictures, for the colours of the maps
)

// scalePictures is how many good pictures of a product set the scale of colours.
const scalePictures = 8

// catalogue lists what is to be drawn, without a pixel.
func catalogue(s settings) ([]dataset.Item, error) {
	var items []dataset.Item
	add := func(class, split, kind string, n int) {
		for i := range n {
			items = append(items, dataset.Item{
				Name:  fmt.Sprintf("%s/%s/%s/%03d", class, split, kind, i),
				Class: class, Split: split, Defect: kind, Label: dataset.LabelOf(kind),
			})
		}
	}
	for _, class := range drawing.Classes() {
		kinds, err := drawing.Defects(class)
		if err != nil {
			return nil, err
		}
		add(class, splitTrain, dataset.Good, s.good)
		add(class, splitScale, dataset.Good, scalePictures)
		for _, kind := range kinds {
			add(class, splitTest, kind, s.tests)
		}
		add(class, splitTest, dataset.Good, s.tests*len(kinds))
	}
	return items, nil
}

// drawAll draws the whole catalogue on all cores. A picture depends on the seed
// and on its name, not on the order of drawing.
func drawAll(ctx context.Context, s settings) (*dataset.Memory, error) {
	items, err := catalogue(s)
	if err != nil {
		return nil, err
	}
	samples := make([]dataset.Sample, len(items))
	errs := make([]error, len(items))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := int(next.Add(1)) - 1; i < len(items) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				samples[i], errs[i] = drawOne(items[i], s)
			}
		}()
	}
	wg.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return nil, err
	}
	return dataset.NewMemory(samples)
}

func drawOne(item dataset.Item, s settings) (dataset.Sample, error) {
	rng := stream(s.seed, item.Name)
	if item.IsGood() {
		img, err := drawing.Good(item.Class, s.size, rng)
		return dataset.Sample{Item: item, Image: img}, err
	}
	d, err := drawing.Damaged(item.Class, item.Defect, s.size, rng)
	return dataset.Sample{Item: item, Image: d.Image, Mask: d.Mask}, err
}

// stream returns the random source for one purpose of a run.
func stream(seed uint64, purpose string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(purpose)) // never fails
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// part returns the pictures of a split, of one class or, with "", of all.
func part(ds dataset.Dataset, class, split string) dataset.Dataset {
	return dataset.Filter(ds, func(it dataset.Item) bool {
		return it.Split == split && (class == "" || it.Class == class)
	})
}
