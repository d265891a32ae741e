package main

import (
	"fmt"
	"image"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
)

// tiled is a plan whose detectors see pictures tile by tile. Methods that draw or
// choose images for a fit of their own would do so with tiles, and are refused.
func (p plan) tiled(of method, t dataset.Tiles) (plan, error) {
	if p.fit != nil || p.others {
		return p, fmt.Errorf("%w: -transform tiles does not go with -method %s, which chooses the images that it learns from; take padim, patchcore, rd4ad or simplenet", errUsage, of.name)
	}
	cfg := downstream.DefaultTiled()
	cfg.Tiles = t
	p.tiles = &cfg
	p.settings = struct{ Tiles, Detector any }{cfg, p.settings}
	inner := p.make
	p.make = func(net *backbone.ResNet, s seed, opts ...downstream.Option) (detector, error) {
		d, err := inner(net, s, opts...)
		if err != nil {
			return nil, err
		}
		return made(downstream.NewTiled(d, cfg)) // cfg is valid, so d is the tiles'
	}
	return p, nil
}

// seen says what the network sees of a picture.
func (p plan) seen() string {
	if p.tiles == nil {
		return p.transform.String()
	}
	return fmt.Sprintf("%s, each %s", p.tiles.Tiles, p.transform)
}

// shown is the transform that brings a picture and its mask to a map.
func (p plan) shown(m downstream.Map) dataset.Transform {
	if p.tiles == nil {
		return p.transform
	}
	return dataset.Transform{Exact: image.Pt(m.W, m.H), Filter: p.transform.Filter, Bits16: p.transform.Bits16}
}
