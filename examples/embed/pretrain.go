package main

import (
	"context"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

func pretrain(ctx context.Context, weights, bank string, good dataset.Dataset, out string) error {
	net, err := backbone.OpenResNet18(weights, tensor.CPU)
	if err != nil {
		return err
	}
	defer net.Close()
	anchors, err := tab.OpenBank(bank) // or tab.FromText(clip, prompt.DefaultIDPA())
	if err != nil {
		return err
	}
	twins, err := damage(ctx, net, good)
	if err != nil {
		return err
	}
	if twins == nil {
		return net.Save(out) // it sees damage already, so it stays as it is
	}
	pre, err := tab.New(tab.Parts{Visual: net, Anchors: anchors, Synth: twins}, tab.Recommended())
	if err != nil {
		return err
	}
	defer pre.Close()
	if _, err := pre.Fit(ctx, good); err != nil {
		return err
	}
	return pre.SaveWeights(ctx, out, tab.DefaultWeightsConfig())
}
