package training_test

import (
	"context"
	"fmt"
	"os"

	"github.com/gotab/gotab/tab/training"
	"github.com/gotab/gotab/tensor"
)

// The recipe amplify on the good images of a plant, from a network and a text bank, with twins that
// are measured first. Called again after an interrupt it goes on.
func ExampleRun() {
	cfg := training.Default()
	var err error
	if cfg.Train, _, err = training.Recipe("amplify", 224); err != nil {
		fmt.Println(err)
		return
	}
	cfg.Synth, cfg.Twins.Measured = nil, true
	cfg.Data, cfg.Init, cfg.Out, cfg.Device = []string{"plant"}, "resnet18.safetensors", "plant.safetensors", tensor.CPU
	cfg.Anchors = training.FromBank("bank.safetensors", true)
	cfg.Print, cfg.Log = os.Stdout, os.Stderr
	if _, err := os.Stat(training.Checkpoint(cfg.Out)); err == nil {
		cfg.Resume = true
	}
	if _, err := training.Run(context.Background(), cfg); err != nil {
		fmt.Println(err)
	}
}
