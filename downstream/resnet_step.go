package downstream

import (
	"image"
	"strings"

	"github.com/gotab/gotab/backbone"
)

// resnetStep is what a training step of a ResNet's first layers takes.
type resnetStep struct {
	weights int64 // running statistics among them
	held    int64 // values of an image that are kept from forward to backward
	maps    map[backbone.Layer]mapShape
}

// stepOf returns it for the layers as far as last and images of a size.
//
// Kept are what comes out of every convolution, for batch norm, and what batch
// norm and ReLU make of it, in one place, for the next convolution; on the paths
// around blocks the sum needs no second. The maximum behind the first convolution
// keeps its result and where it is, in twice as many bytes.
func stepOf(net *backbone.ResNet, last backbone.Layer, input image.Point) resnetStep {
	half := func(n int) int { return (n + 1) / 2 } // of an odd side the larger part
	wide := image.Pt(half(input.X), half(input.Y))
	z := resnetStep{maps: map[backbone.Layer]mapShape{}}
	c := net.Channels(backbone.Stem)
	at := mapShape{h: half(wide.Y), w: half(wide.X), c: c}
	z.held = 2*int64(wide.X)*int64(wide.Y)*int64(c) + 3*int64(at.len())
	z.maps[backbone.Stem] = at
	for l := backbone.Layer1; l <= backbone.Layer4; l++ {
		at.c = net.Channels(l)
		if l > backbone.Layer1 {
			at.h, at.w = half(at.h), half(at.w)
		}
		z.maps[l] = at
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
		z.weights += t.Len()
		shape := t.Shape()
		if len(shape) != 4 || l == backbone.Stem {
			continue
		}
		m := z.maps[l]
		if l > backbone.Layer1 && rest == "0.conv1.weight" && shape[2] == 1 {
			m = z.maps[l-1] // a bottleneck's stride is in its second convolution
		}
		values := int64(m.h) * int64(m.w) * shape[0]
		if !strings.Contains(rest, "downsample") {
			values *= 2
		}
		z.held += values
	}
	return z
}
