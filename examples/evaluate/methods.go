package main

import (
	"context"
	"iter"
	"math/rand/v2"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
)

// detector is what a method must offer to be evaluated.
type detector interface {
	downstream.Detector
	ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[downstream.Scored, error]
}

// method makes a detector for one class; what it draws at random depends on the
// seed. Masks are brought to its maps with the transform.
type method struct {
	name string
	make func(net *backbone.ResNet18, seed uint64) (detector, dataset.Transform, error)
}

// methods lists what -method knows.
func methods() []method {
	return []method{
		{"padim", func(net *backbone.ResNet18, _ uint64) (detector, dataset.Transform, error) {
			cfg := downstream.DefaultPaDiM()
			d, err := downstream.NewPaDiM(net, cfg, nil)
			if err != nil {
				return nil, cfg.Transform, err
			}
			return d, cfg.Transform, nil
		}},
		{"patchcore", func(net *backbone.ResNet18, seed uint64) (detector, dataset.Transform, error) {
			cfg := downstream.DefaultPatchCore()
			d, err := downstream.NewPatchCore(net, cfg, rand.New(rand.NewPCG(seed, 1)))
			if err != nil {
				return nil, cfg.Transform, err
			}
			return d, cfg.Transform, nil
		}},
	}
}

func methodNames() []string {
	var names []string
	for _, m := range methods() {
		names = append(names, m.name)
	}
	return names
}

func methodNamed(name string) method {
	for _, m := range methods() {
		if m.name == name {
			return m
		}
	}
	return method{}
}
