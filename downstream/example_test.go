package downstream_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math/rand/v2"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// Fit on good images, then score new ones. A real program passes a
// *backbone.ResNet18; the small extractor here keeps the example quick.
func ExampleNewPaDiM() {
	cfg := downstream.DefaultPaDiM()
	cfg.Channels = nil // all that the extractor has
	cfg.Transform = dataset.Square(32)
	det, err := downstream.NewPaDiM(&fake{scale: 1}, cfg, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer det.Close()

	good, err := dataset.NewImages("texture", textures(20, 1, 32)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := det.Fit(ctx, good); err != nil {
		fmt.Println(err)
		return
	}
	fresh := textures(2, 2, 32)
	results, err := det.Score(ctx, fresh[0], scratched(fresh[1]))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the scratched one scores higher:", results[1].Score > results[0].Score)
	fmt.Println("map:", image.Pt(results[1].Map.W, results[1].Map.H))
	// Output:
	// the scratched one scores higher: true
	// map: (32,32)
}

// Calibrate on good images that were held back from the fit; then a result decides. The
// calibration is saved with the detector.
func ExamplePaDiM_Calibrate() {
	cfg := downstream.DefaultPaDiM()
	cfg.Channels = nil // all that the extractor has
	cfg.Transform = dataset.Square(32)
	det, err := downstream.NewPaDiM(&fake{scale: 1}, cfg, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer det.Close()

	good := textures(60, 1, 32)
	fit, err := dataset.NewImages("texture", good[:30]...)
	if err != nil {
		fmt.Println(err)
		return
	}
	held, err := dataset.NewImages("texture", good[30:]...)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := det.Fit(ctx, fit); err != nil {
		fmt.Println(err)
		return
	}
	_, err = det.Calibrate(ctx, held, metrics.Overkill(0.001))
	fmt.Println("30 parts promise 0.1 %:", !errors.Is(err, downstream.ErrTooFewImages))
	calibration, err := det.Calibrate(ctx, held, metrics.Overkill(0.05))
	if err != nil {
		fmt.Println(err)
		return
	}
	cut := calibration.Point().Cut
	fmt.Printf("%d of %d good parts rejected\n", cut.Overkilled, cut.Good)

	results, err := det.Score(ctx, scratched(textures(1, 2, 32)[0]))
	if err != nil {
		fmt.Println(err)
		return
	}
	verdict, err := results[0].Verdict()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("reject:", verdict.Reject)
	// Output:
	// 30 parts promise 0.1 %: false
	// 1 of 30 good parts rejected
	// reject: true
}

// Score what a camera sees, until the line stops. A real program's sequence waits for the
// camera, and ends with ctx.
func ExamplePaDiM_ScoreSeq() {
	cfg := downstream.DefaultPaDiM()
	cfg.Channels = nil // all that the extractor has
	cfg.Transform = dataset.Square(32)
	det, err := downstream.NewPaDiM(&fake{scale: 1}, cfg, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer det.Close()
	good, err := dataset.NewImages("texture", textures(20, 1, 32)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := det.Fit(ctx, good); err != nil {
		fmt.Println(err)
		return
	}
	camera := func(yield func(image.Image) bool) {
		for i, img := range textures(4, 2, 32) {
			if i == 2 {
				img = scratched(img)
			}
			if !yield(img) {
				return
			}
		}
	}
	part, worst, highest := 0, 0, 0.0
	for result, err := range det.ScoreSeq(ctx, camera) {
		if err != nil {
			fmt.Println(err)
			return
		}
		part++
		if result.Score > highest {
			worst, highest = part, result.Score
		}
	}
	fmt.Println("the worst is part", worst, "of", part)
	// Output: the worst is part 3 of 4
}

// Train on other products, fit on two images of a new one, and score.
func ExampleNewRegAD() {
	net, err := backbone.New(backbone.ArchResNet18, tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer net.Close()
	cfg := downstream.DefaultRegAD()
	cfg.Shots, cfg.Epochs = 2, 1
	cfg.Transform = dataset.Square(32) // 224 and 50 epochs for real
	det, err := downstream.NewRegAD(net, cfg, rand.New(rand.NewPCG(2, 1)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer det.Close()

	ctx := context.Background()
	if err := det.Train(ctx, products()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("trained on", det.Classes())
	few, err := dataset.NewImages("texture", textures(2, 1, 32)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := det.Fit(ctx, few); err != nil {
		fmt.Println(err)
		return
	}
	results, err := det.Score(ctx, textures(1, 2, 32)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("map:", image.Pt(results[0].Map.W, results[0].Map.H))
	// Output:
	// trained on [cloth felt]
	// map: (32,32)
}

// Name what is bright: labels come from the items, here from their defect. A real
// program passes a *backbone.ResNet18 and may leave Frozen out.
func Example_classify() {
	pictures := quartered(64, 1, 32)
	for i := range pictures {
		pictures[i].Defect = []string{dataset.Good, "left", "right", "left+right"}[i%4]
		pictures[i].Label = dataset.LabelOf(pictures[i].Defect)
	}
	ds, err := dataset.NewMemory(pictures)
	if err != nil {
		fmt.Println(err)
		return
	}
	train, err := classify.ByDefects(ds, []string{"left", "right"})
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg := classify.Default()
	cfg.Task, cfg.Frozen, cfg.Epochs, cfg.LR = classify.MultiLabel, true, 100, 0.05
	cfg.Transform = dataset.Square(32)
	c, err := classify.New(&pooler{scale: 1}, cfg, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	ctx := context.Background()
	if err := c.Fit(ctx, train); err != nil {
		fmt.Println(err)
		return
	}
	answers, err := c.Predict(ctx, quartered(4, 2, 32)[3].Image)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Names(), answers[0].Labels)
	// Output:
	// [left right] [true true]
}
