package tab_test

import (
	"context"
	"fmt"
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// detects fits PaDiM on the network as it is and measures how well it tells damaged
// parts from good ones. The parts must not be those that anything is chosen by in the end.
func detects(good, parts dataset.Dataset) tab.Probe {
	return tab.ProbeFunc(func(ctx context.Context, net tab.VisualEncoder) ([]tab.Measure, error) {
		cfg := downstream.DefaultPaDiM()
		cfg.Layers, cfg.Channels, cfg.Reduced = []backbone.Layer{backbone.Layer1}, nil, 16
		cfg.Transform = dataset.Square(32)
		det, err := downstream.NewPaDiM(net, cfg, rand.New(rand.NewPCG(1, 1)))
		if err != nil {
			return nil, err
		}
		defer det.Close()
		if err := det.Fit(ctx, good); err != nil {
			return nil, err
		}
		var scores []float64
		var defective []bool
		for part, err := range det.ScoreSet(ctx, parts) {
			if err != nil {
				return nil, err
			}
			scores, defective = append(scores, part.Score), append(defective, part.IsDefective())
		}
		area, err := metrics.AUROC(scores, defective)
		return []tab.Measure{{Name: "image AUROC", Value: area}}, err
	})
}

// A probe measures after an epoch whether the training helps, and weights go out with
// the names of another library.
func ExampleProbeFunc() {
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(1, 1))
	var pictures []image.Image
	var parts []dataset.Sample
	for i := range 12 {
		picture := texture(0, rng)
		if i < 8 {
			pictures = append(pictures, picture)
			continue
		}
		part := dataset.Sample{Item: dataset.Item{Name: fmt.Sprint(i), Class: "cloth", Label: dataset.LabelGood}, Image: picture}
		if i%2 == 1 {
			part.Label = dataset.LabelDefective
			for p := range 24 { // a black bar
				copy(picture.Pix[picture.PixOffset(4, 4+p):][:12], make([]uint8, 12))
			}
		}
		parts = append(parts, part)
	}
	good, err := dataset.NewImages("cloth", pictures...)
	if err != nil {
		fmt.Println(err)
		return
	}
	held, err := dataset.NewMemory(parts)
	if err != nil {
		fmt.Println(err)
		return
	}
	net, err := backbone.NewResNet18(tensor.CPU, rng)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer net.Close()
	damage := synth.DefaultNSA()
	damage.Height, damage.Width = synth.Span{Lo: 0.3, Hi: 0.5}, synth.Span{Lo: 0.3, Hi: 0.5}
	cfg := tab.DefaultConfig()
	cfg.Objective, cfg.Epochs, cfg.Batch, cfg.Repeat = tab.Classification{Binary: true}, 1, 4, 1 // needs no anchors
	cfg.Transform = dataset.Square(32)
	pre, err := tab.New(tab.Parts{Visual: net, Synth: damage, Probe: detects(good, held)}, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pre.Close()
	for st, err := range pre.Steps(ctx, good) {
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, m := range st.Probe {
			fmt.Println(m.Name, "after epoch", st.Epoch, "is from 0 to 1:", m.Value >= 0 && m.Value <= 1)
		}
	}

	dir, err := os.MkdirTemp("", "weights")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	out := tab.DefaultWeightsConfig()
	out.Names = backbone.HuggingFace
	file := filepath.Join(dir, "model.safetensors")
	if err := pre.SaveWeights(ctx, file, out); err != nil {
		fmt.Println(err)
		return
	}
	w, err := tensor.OpenWeights(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(w.Arrays[0].Name)
	// Output:
	// image AUROC after epoch 0 is from 0 to 1: true
	// resnet.embedder.embedder.convolution.weight
}
