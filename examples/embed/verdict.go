package main

import (
	"context"
	"fmt"
	"image"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

func verdict(ctx context.Context, root, class string, img image.Image) error {
	net, err := backbone.OpenResNet18(class+".safetensors", tensor.CPU)
	if err != nil {
		return err
	}
	defer net.Close()
	detector, err := downstream.OpenPaDiM(ctx, class+".padim", net)
	if err != nil {
		return err
	}
	defer detector.Close()
	test, err := dataset.OpenMVTecAD(root, class, dataset.Test) // good parts that the fit has not seen
	if err != nil {
		return err
	}
	var good []float64
	for part, err := range detector.ScoreSet(ctx, dataset.Filter(test, dataset.Item.IsGood)) {
		if err != nil {
			return err
		}
		good = append(good, part.Score)
	}
	threshold, err := metrics.OverkillThreshold(good, 0.05) // reject at most one good part in twenty
	if err != nil {
		return err
	}
	results, err := detector.Score(ctx, img)
	if err != nil {
		return err
	}
	fmt.Printf("threshold %.2f, reject: %v\n", threshold, results[0].Score >= threshold)
	return nil
}
