package network

import (
	"image"
	"strings"

	"github.com/gotab/gotab/backbone"
)

// resnetStep is what a training step of a ResNet's first layers takes.
type resnetStep struct {
	Weights int64 // running statistics among them
	Held    int64 // values of an image that are kept from forward to backward
	Maps    map[backbone.Layer]MapShape
}

// StepOf returns it for the layers as far as last and images of a size.
//
// Kept are what comes out of every convolution, for batch norm, and what batch
// norm and ReLU make of it, in one place, for the next convolution; on the paths
// around blocks the sum needs no second. Behind the first convolution the maximum is kept instead, and where it is, in a byte each.
func StepOf(net *backbone.ResNet, last backbone.Layer, input image.Point) resnetStep {
	half := func(n int) int { return (n + 1) / 2 } // of an odd side the larger part
	wide := image.Pt(half(input.X), half(input.Y))
	z := resnetStep{Maps: map[backbone.Layer]MapShape{}}
	c := net.Channels(backbone.Stem)
	at := MapShape{H: half(wide.Y), W: half(wide.X), C: c}
	z.Held = int64(wide.X)*int64(wide.Y)*int64(c) + (5*int64(at.Len())+3)/4
	z.Maps[backbone.Stem] = at
	for l := backbone.Layer1; l <= backbone.Layer4; l++ {
		at.C = net.Channels(l)
		if l > backbone.Layer1 {
			at.H, at.W = half(at.H), half(at.W)
		}
		z.Maps[l] = at
	}
	p := net.Params()
	for _, name := range p.Names() {
		stage, rest, _ := strings.Cut(name, ".")
		l, err := backbone.ParseLayer(stage)
		if err != nil {
			l = backbone.Stem // conv1 and bn1
		}
		if l > last || stage == "fc" {
			continue
		}
		t := p.Get(name)
		z.Weights += t.Len()
		shape := t.Shape()
		if len(shape) != 4 || l == backbone.Stem {
			continue
		}
		m := z.Maps[l]
		if l > backbone.Layer1 && rest == "0.conv1.weight" && shape[2] == 1 {
			m = z.Maps[l-1] // a bottleneck's stride is in its second convolution
		}
		values := int64(m.H) * int64(m.W) * shape[0]
		if !strings.Contains(rest, "downsample") {
			values *= 2
		}
		z.Held += values
	}
	return z
}
