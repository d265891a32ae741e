package session_test

import (
	"context"
	"fmt"
	"os"

	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/evaluate/session"
	"github.com/gotab/gotab/tensor"
)

// All classes of a folder by PaDiM and PatchCore, with records that a later call goes on with.
func ExampleRun() {
	net, err := detectors.OpenNetwork("resnet18.safetensors", detectors.NetworkOptions{}, tensor.CPU)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer net.Close()
	cfg := session.Default()
	cfg.Data, cfg.Net = []string{"plant"}, net
	for _, k := range detectors.Kinds() {
		if k.Name == "padim" || k.Name == "patchcore" {
			cfg.Methods = append(cfg.Methods, k)
		}
	}
	cfg.Records, cfg.Resume, cfg.Log = "results.jsonl", true, os.Stderr
	r, err := session.Run(context.Background(), cfg)
	if err == nil {
		err = evaluate.WriteTable(os.Stdout, r.Records)
	}
	if err != nil {
		fmt.Println(err)
	}
}
