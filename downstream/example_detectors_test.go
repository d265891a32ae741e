package downstream_test

import (
	"context"
	"fmt"
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// tells fits a detector on good images and says whether a scratched one scores higher
// than a good one.
func tells(det downstream.Detector) {
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
}

// PatchCore keeps patches of good images and looks for the nearest one. A real program
// passes a *backbone.ResNet; the small extractor here keeps the example quick.
func ExampleNewPatchCore() {
	cfg := downstream.DefaultPatchCore()
	cfg.Layers = []backbone.Layer{backbone.Layer1, backbone.Layer2}
	cfg.Transform = dataset.Square(32)
	cfg.Share = 0.2 // of the patches are kept; 0.01 for real
	det, err := downstream.NewPatchCore(&fake{scale: 1}, cfg, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer det.Close()
	tells(det)
	// Output: the scratched one scores higher: true
}

// RD4AD trains a decoder to give back what the network makes of good images; where it
// cannot, there is damage. Progress is told while it trains.
func ExampleNewRD4AD() {
	cfg := downstream.DefaultRD4AD()
	cfg.Blocks = downstream.RD4ADBlocks{OCE: 1, Decoder: []int{1, 1, 1}} // leave it out for a ResNet's own
	cfg.Epochs, cfg.TrainBatch = 2, 4                                    // 200 and 16 for real
	cfg.Transform = dataset.Square(32)
	epochs := 0
	det, err := downstream.NewRD4AD(&fake{scale: 1}, cfg, rand.New(rand.NewPCG(1, 1)),
		downstream.WithProgress(func(p downstream.Progress) { epochs = max(epochs, p.Epoch) }))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer det.Close()
	good, err := dataset.NewImages("texture", textures(8, 1, 32)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := det.Fit(ctx, good); err != nil {
		fmt.Println(err)
		return
	}
	results, err := det.Score(ctx, textures(1, 2, 32)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("epochs:", epochs, "map:", image.Pt(results[0].Map.W, results[0].Map.H))
	// Output: epochs: 2 map: (32,32)
}

// SimpleNet trains a small discriminator between features of good images and the same
// with noise.
func ExampleNewSimpleNet() {
	cfg := downstream.DefaultSimpleNet()
	cfg.Layers = []backbone.Layer{backbone.Layer1, backbone.Layer2}
	cfg.LayerDim, cfg.Dim, cfg.Hidden = 24, 16, 20 // leave the default's for a ResNet
	cfg.Epochs, cfg.TrainBatch = 3, 2              // 40 and 4 for real
	cfg.Transform = dataset.Square(32)
	det, err := downstream.NewSimpleNet(&fake{scale: 1}, cfg, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer det.Close()
	good, err := dataset.NewImages("texture", textures(8, 1, 32)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := det.Fit(ctx, good); err != nil {
		fmt.Println(err)
		return
	}
	results, err := det.Score(ctx, textures(1, 2, 32)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("map:", image.Pt(results[0].Map.W, results[0].Map.H))
	// Output: map: (32,32)
}

// Pictures of any size are seen tile by tile, so that small damage keeps its pixels; the
// score is that of the worst tile and the map is of the whole picture.
func ExampleNewTiled() {
	cfg := downstream.DefaultPaDiM()
	cfg.Channels = nil // all that the extractor has
	cfg.Transform = dataset.Square(32)
	inner, err := downstream.NewPaDiM(&fake{scale: 1}, cfg, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	det, err := downstream.NewTiled(inner, downstream.DefaultTiled())
	if err != nil {
		fmt.Println(err, inner.Close())
		return
	}
	defer det.Close() // closes inner too
	good, err := dataset.NewImages("sheet", textures(3, 1, 96)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := det.Fit(ctx, good); err != nil {
		fmt.Println(err)
		return
	}
	results, err := det.Score(ctx, textures(1, 2, 96)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the map covers all:", results[0].Map.Rect == dataset.Rect{MaxX: 96, MaxY: 96})
	// Output: the map covers all: true
}

// A service: one detector, read once from its file, judges parts of many cameras at the
// same time. Each request has its own deadline, and the reason of a verdict goes to the
// log.
func ExamplePaDiM_Score_service() {
	dir, err := os.MkdirTemp("", "service")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "texture.padim")
	fe := &fake{scale: 1} // a *backbone.ResNet for real
	if err := calibrated(fe, file); err != nil {
		fmt.Println(err)
		return
	}

	det, err := downstream.OpenPaDiM(context.Background(), file, fe)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer det.Close()
	if _, err := det.Calibration(); err != nil { // at the start, not at the first part
		fmt.Println(err)
		return
	}
	inspect := func(img image.Image) (downstream.Verdict, error) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		results, err := det.Score(ctx, img)
		if err != nil {
			return downstream.Verdict{}, err
		}
		return results[0].Verdict()
	}
	type answer struct {
		verdict downstream.Verdict
		err     error
	}
	answers := make(chan answer)
	parts := textures(4, 9, 32)
	for i, img := range parts {
		if i%2 == 1 {
			img = scratched(img)
		}
		go func() {
			v, err := inspect(img)
			answers <- answer{v, err}
		}()
	}
	rejected := 0
	for range parts {
		a := <-answers
		if a.err != nil {
			fmt.Println(a.err)
			return
		}
		if a.verdict.Reject {
			rejected++
		}
	}
	fmt.Println(rejected, "of", len(parts), "parts are rejected")
	// Output: 2 of 4 parts are rejected
}

// calibrated writes a detector with its calibration.
func calibrated(fe downstream.Extractor, file string) error {
	cfg := downstream.DefaultPaDiM()
	cfg.Channels = nil
	cfg.Transform = dataset.Square(32)
	det, err := downstream.NewPaDiM(fe, cfg, nil)
	if err != nil {
		return err
	}
	defer det.Close()
	images := textures(90, 1, 32)
	good, err := dataset.NewImages("texture", images[:50]...)
	if err != nil {
		return err
	}
	held, err := dataset.NewImages("texture", images[50:]...)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := det.Fit(ctx, good); err != nil {
		return err
	}
	if _, err := det.Calibrate(ctx, held, metrics.Conformal(0.05)); err != nil {
		return err
	}
	return det.Save(file)
}

// A whole data set: results come in the order of the samples while the next ones are
// read, and memory does not grow with the set.
func ExamplePaDiM_ScoreSet() {
	cfg := downstream.DefaultPaDiM()
	cfg.Channels = nil // all that the extractor has
	cfg.Transform = dataset.Square(32)
	det, err := downstream.NewPaDiM(&fake{scale: 1}, cfg, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer det.Close()
	images := textures(24, 1, 32)
	good, err := dataset.NewImages("texture", images[:20]...)
	if err != nil {
		fmt.Println(err)
		return
	}
	parts, err := dataset.NewImages("texture", images[20:]...)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := det.Fit(ctx, good); err != nil {
		fmt.Println(err)
		return
	}
	for part, err := range det.ScoreSet(ctx, parts) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(part.Name, part.Score > 0)
	}
	// Output:
	// 0 true
	// 1 true
	// 2 true
	// 3 true
}

// A fitted detector with its network as one ONNX model, for programs without Go.
func ExamplePaDiM_SaveONNX() {
	net, err := backbone.New(backbone.ArchResNet18, tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer net.Close()
	cfg := downstream.DefaultPaDiM()
	cfg.Transform = dataset.Square(32) // the default's for real
	det, err := downstream.NewPaDiM(net, cfg, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer det.Close()
	good, err := dataset.NewImages("texture", textures(4, 1, 32)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := det.Fit(ctx, good); err != nil {
		fmt.Println(err)
		return
	}
	dir, err := os.MkdirTemp("", "onnx")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	if err := det.SaveONNX(ctx, filepath.Join(dir, "texture.onnx")); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("written")
	// Output: written
}
