package main

import (
	"context"
	"fmt"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

func inspect(ctx context.Context, weights, bank, root, class string) error {
	net, err := backbone.OpenResNet18(weights, tensor.CPU) // torchvision's .pth, or safetensors
	if err != nil {
		return err
	}
	defer net.Close()
	anchors, err := tab.OpenBank(bank) // or tab.FromText(clip, prompt.DefaultIDPA())
	if err != nil {
		return err
	}
	good, err := dataset.OpenMVTecAD(root, "", dataset.Train) // every class's train/good
	if err != nil {
		return err
	}
	cfg := tab.DefaultConfig()
	cfg.Epochs, cfg.Batch = 2, 16
	cfg.HeadFirst(1) // head and layer 4 first, then all
	pre, err := tab.New(tab.Parts{Visual: net, Anchors: anchors, Synth: synth.DefaultNSA()}, cfg)
	if err != nil {
		return err
	}
	defer pre.Close()
	if _, err := pre.Fit(ctx, good); err != nil {
		return err
	}
	detector, err := downstream.NewPaDiM(net, downstream.DefaultPaDiM(), nil)
	if err != nil {
		return err
	}
	defer detector.Close()
	one := dataset.Filter(good, func(it dataset.Item) bool { return it.Class == class })
	if err := detector.Fit(ctx, one); err != nil {
		return err
	}
	held, err := dataset.OpenMVTecAD(root, class, dataset.Test) // labelled parts that the fit has not seen
	if err != nil {
		return err
	}
	calibration, err := detector.Calibrate(ctx, held, metrics.Overkill(0.05)) // reject at most one good part in twenty
	if err != nil {
		return err
	}
	fmt.Println(calibration)
	if err := net.Save(class + ".safetensors"); err != nil {
		return err
	}
	return detector.Save(class + ".padim")
}
