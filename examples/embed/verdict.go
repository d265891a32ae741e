package main

import (
	"context"
	"fmt"
	"image"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

func verdict(ctx context.Context, class string, img image.Image) error {
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
	results, err := detector.Score(ctx, img)
	if err != nil {
		return err
	}
	decision, err := results[0].Verdict()
	if err != nil {
		return err
	}
	fmt.Println(decision) // "rejected: score 21.4 is not below the threshold 17.9 (...); ..."
	return nil
}
