package main

import (
	"context"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

func pretrain(ctx context.Context, weights, bank, root, out string) error {
	net, err := backbone.OpenResNet18(weights, tensor.CPU)
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
	return pre.SaveWeights(ctx, out, tab.DefaultWeightsConfig())
}
