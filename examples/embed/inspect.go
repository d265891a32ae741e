package main

import (
	"context"
	"errors"
	"fmt"
	"image"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

func inspect(ctx context.Context, weights, root, class string, img image.Image) error {
	net, err := backbone.OpenResNet18(weights, tensor.CPU) // torchvision's .pth, or safetensors
	if err != nil {
		return err
	}
	defer net.Close()
	detector, err := downstream.NewPaDiM(net, downstream.DefaultPaDiM(), nil)
	if err != nil {
		return err
	}
	defer detector.Close()
	parts, err := dataset.OpenMVTecAD(root, class, "") // train/good, test and ground_truth
	if err != nil {
		return err
	}
	if err := detector.Fit(ctx, dataset.Only(parts, class, dataset.Train)); err != nil {
		return err
	}
	held := dataset.Only(parts, class, dataset.Test)
	if _, err := detector.Calibrate(ctx, held, metrics.Overkill(0.05)); err != nil { // at most one good part in twenty
		return err
	}
	results, err := detector.Score(ctx, img)
	if err != nil {
		return err
	}
	verdict, err := results[0].Verdict()
	fmt.Println(verdict) // "rejected: score 21.4 is not below the threshold 17.9 (...); ..."
	return errors.Join(err, detector.Save(class+".padim"))
}
