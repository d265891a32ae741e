package detectors_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/tensor"
)

// PaDiM and PatchCore on every class of a data set, into a file of results that a
// second call goes on with.
func Example() {
	ctx := context.Background()
	net, err := detectors.OpenNetwork("resnet18.safetensors", detectors.NetworkOptions{}, tensor.CPU)
	if err != nil {
		log.Fatal(err)
	}
	defer net.Close()
	all, closer, err := dataset.Open(ctx, "mvtec", dataset.DefaultConfig())
	if err != nil {
		log.Fatal(err)
	}
	defer closer.Close()
	store, err := evaluate.OpenStore("results.jsonl", true)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	for _, plan := range []func(detectors.Choice) (evaluate.Method, error){detectors.PaDiM, detectors.PatchCore} {
		m, err := plan(detectors.Choice{Net: net})
		if err != nil {
			log.Fatal(err)
		}
		for _, class := range all.Classes() {
			part := func(split string) dataset.Dataset {
				return dataset.Filter(all, func(it dataset.Item) bool { return it.Class == class && it.Split == split })
			}
			r, _, err := store.Run(ctx, evaluate.Trial{Method: m, Seed: m.Seed, Data: "mvtec", Train: part(dataset.Train), Test: part(dataset.Test)})
			if err != nil {
				log.Fatal(err)
			}
			fmt.Printf("%s, %s: image AUROC %.3f\n", r.Method, r.Class, r.ImageAUROC)
		}
	}
	if err := evaluate.WriteMarkdown(os.Stdout, store.Records()); err != nil {
		log.Fatal(err)
	}
}
