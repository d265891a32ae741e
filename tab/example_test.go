package tab_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"math/rand/v2"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// A run of one epoch on eight drawn pictures of one material, against anchors
// that a text encoder would otherwise make.
func Example() {
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(1, 1))
	var pictures []image.Image
	for range 8 {
		pictures = append(pictures, texture(0, rng))
	}
	ds, err := dataset.NewImages("cloth", pictures...)
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

	anchors := &tab.Bank{Classes: []string{"cloth"}, Normal: [][]float32{{1, 0}}, Abnormal: [][]float32{{0, 1}}}
	damage := synth.DefaultNSA()
	damage.Height, damage.Width = synth.Span{Lo: 0.3, Hi: 0.5}, synth.Span{Lo: 0.3, Hi: 0.5}
	cfg := tab.DefaultConfig()
	cfg.Objective, cfg.Epochs, cfg.Batch, cfg.Repeat = tab.Joint(), 1, 4, 1
	cfg.Transform = dataset.Square(32)

	pre, err := tab.New(tab.Parts{Visual: net, Anchors: anchors, Synth: damage}, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pre.Close()
	before, err := net.Params().Arrays(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for st, err := range pre.Steps(ctx, ds) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("step", st.Number, "of", st.Batches)
	}
	after, err := net.Params().Arrays(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(after[0].Name, "is trained:", !bytes.Equal(before[0].Data, after[0].Data))
	// Output:
	// step 1 of 2
	// step 2 of 2
	// conv1.weight is trained: true
}
