package training_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/gotab/gotab/tab/training"
	"github.com/gotab/gotab/tensor"
)

// The recommended recipe on the good images of a plant, from a network and a text bank, with twins that
// are measured first, for those products on which the network hardly sees damage. Called again after an interrupt it goes on.
func ExampleRun() {
	cfg := training.Default()
	cfg.Twins.WhereBlind = true
	cfg.Data, cfg.Init, cfg.Out, cfg.Device = []string{"plant"}, "resnet18.safetensors", "plant.safetensors", tensor.CPU
	cfg.Anchors = training.FromBank("bank.safetensors", true)
	cfg.Print, cfg.Log = os.Stdout, os.Stderr
	if _, err := os.Stat(training.Checkpoint(cfg.Out)); err == nil {
		cfg.Resume = true
	}
	switch _, err := training.Run(context.Background(), cfg); {
	case errors.Is(err, training.ErrNoneBlind):
		fmt.Println("the weights of the start are the ones to use")
	case err != nil:
		fmt.Println(err)
	}
}
