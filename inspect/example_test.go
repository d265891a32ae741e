package inspect_test

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// parts draws n good parts: grey plates with some noise.
func parts(n int, seed uint64) []image.Image {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([]image.Image, n)
	for i := range out {
		img := image.NewRGBA(image.Rect(0, 0, 64, 64))
		for at := range 64 * 64 {
			v := uint8(120 + rng.IntN(30))
			img.SetRGBA(at%64, at/64, color.RGBA{v, v, v, 255})
		}
		out[i] = img
	}
	return out
}

// A detector is fitted and calibrated, a bundle made of it, opened as a service does,
// and asked.
func Example() {
	ctx := context.Background()
	net, err := backbone.New(backbone.ArchResNet18, tensor.CPU, rand.New(rand.NewPCG(1, 2))) // or backbone.Open
	if err != nil {
		log.Fatal(err)
	}
	defer net.Close()
	dir, err := os.MkdirTemp("", "bundle")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "plate.gotab")
	if err := createBundle(ctx, path, net); err != nil {
		log.Fatal(err)
	}

	b, err := inspect.Open(ctx, path)
	if err != nil {
		log.Fatal(err)
	}
	if err := b.Verify(ctx); err != nil {
		log.Fatal(err)
	}
	i, err := inspect.New(b, inspect.DefaultConfig())
	if err != nil {
		log.Fatal(err)
	}
	defer i.Close()
	part := parts(1, 3)[0].(*image.RGBA)
	good, err := i.Inspect(ctx, part)
	if err != nil {
		log.Fatal(err)
	}
	for at := range 12 * 12 {
		part.SetRGBA(40+at%12, 20+at/12, color.RGBA{10, 10, 10, 255})
	}
	bad, err := i.Inspect(ctx, part)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("good part rejected:", good.Reject)
	fmt.Println("damaged part rejected:", bad.Reject)
	fmt.Println("by:", bad.Rule)
	// Output:
	// good part rejected: false
	// damaged part rejected: true
	// by: overkill of at most 5 %
}

// createBundle fits a detector on good parts, calibrates it on others, and makes a bundle.
func createBundle(ctx context.Context, path string, net *backbone.ResNet) error {
	cfg := downstream.DefaultPaDiM()
	cfg.Layers = []backbone.Layer{backbone.Layer1}
	cfg.Channels = []int{3, 14, 15, 26, 53}
	cfg.Transform = dataset.Square(64)
	det, err := downstream.NewPaDiM(net, cfg, nil)
	if err != nil {
		return err
	}
	defer det.Close()
	train, err := dataset.NewImages("plate", parts(20, 1)...)
	if err != nil {
		return err
	}
	if err := det.Fit(ctx, train); err != nil {
		return err
	}
	held, err := dataset.NewImages("plate", parts(20, 2)...)
	if err != nil {
		return err
	}
	if _, err := det.Calibrate(ctx, held, metrics.Overkill(0.05)); err != nil {
		return err
	}
	return inspect.Create(ctx, path, det, inspect.Spec{
		Product: "plate", Backbone: net, Golden: parts(2, 4),
		Provenance: map[string]string{"data": "drawn, seeds 1 and 2"},
	})
}

// A detector that looks at the upper half alone is calibrated with it.
func ExampleWithin() {
	det, err := inspect.Within(unfitted(), inspect.Regions{Of: []dataset.Rect{{MinX: 0, MinY: 0, MaxX: 1, MaxY: 0.5}}})
	if err != nil {
		log.Fatal(err)
	}
	defer det.Close()
	fmt.Println(len(det.Regions().Of), "region")
	// Then Fit, Calibrate and inspect.Create as with any detector.
	// Output: 1 region
}

// unfitted is a detector.
func unfitted() downstream.Detector { return &inspect.Fake{Gain: 1} }

// What an operator says is kept, and a report says what would change if it counted.
func ExampleBundle_Revise() {
	entries := []inspect.Entry{{
		Said: inspect.GoodAfterAll, Product: "plate", Scorer: "0123456789ab", Score: 13.1, Threshold: 12.8, Reject: true,
		Picture: "2025-03-01/0815.png", By: "late shift",
	}}
	revise := func(ctx context.Context, i *inspect.Inspector, b *inspect.Bundle, path string) error {
		r, err := b.Revise(ctx, entries, nil)
		if err != nil {
			return err
		}
		fmt.Println(r) // a person decides
		if err := b.Recalibrated(ctx, path, r.Calibration); err != nil {
			return err
		}
		next, err := inspect.Open(ctx, path)
		if err != nil {
			return err
		}
		if err := i.Replace(ctx, next); err != nil {
			return err // the bundle before goes on
		}
		return nil
	}
	_ = revise
}
