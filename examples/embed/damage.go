package main

import (
	"context"
	"fmt"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
)

func damage(ctx context.Context, net *backbone.ResNet18, good dataset.Dataset) (tab.TwinsByClass, error) {
	kinds := synth.DefaultMixture()
	table, err := tab.MeasureTwins(ctx, net, good, kinds, tab.DefaultTwins())
	if err != nil {
		return nil, err
	}
	for _, d := range table.Detectability() { // one a class
		fmt.Printf("%s: foreign matter stands out %.1f times what good parts vary by\n", d.Class, d.StandsOut)
		if !d.Blind {
			return nil, nil
		}
	}
	return table.Fits(kinds) // the kinds that are damage to this product
}
