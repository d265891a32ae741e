package regad

import (
	"context"
	"fmt"
	"slices"

	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/gaussian"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// Load puts the tensors of a file, by the names of specs, into p and takes them.
// Nothing is made before all are there and right.
func (f *Factors) Load(ctx context.Context, p *tensor.Params, arrays []tensor.Array) error {
	byName, err := engine.ArraysOf(f.Specs(), arrays)
	if err != nil {
		return err
	}
	return tensor.Run(ctx, p.Device(), tensor.Evaluation, func(s *tensor.Scope) error {
		if err := layers.Put(s, p, f.Specs(), byName); err != nil {
			return err
		}
		f.bind(p)
		return nil
	})
}

// bind takes the tensors from p.
func (f *Factors) bind(p *tensor.Params) {
	for i := range f.Maps {
		f.means = append(f.means, p.Get(meanName(i)))
		if f.LowRank() {
			f.samples = append(f.samples, p.Get(SamplesName(i)))
		}
	}
	f.inverse = gaussian.TrianglesOf(p, f.side())
}

// Specs are the names and shapes of all tensors.
func (f *Factors) Specs() (out []layers.Spec) {
	add := func(name string, shape ...int) {
		sp := layers.Spec{Name: name, Buffer: true}
		for _, d := range shape {
			sp.Shape = append(sp.Shape, int64(d))
		}
		out = append(out, sp)
	}
	for i, m := range f.Maps {
		add(meanName(i), m.H*m.W, m.C)
	}
	for i, m := range f.Maps {
		if f.LowRank() {
			add(SamplesName(i), m.H*m.W, f.Count, m.C)
		}
	}
	for i, rows := range gaussian.TriangleRows(f.side()) {
		add(gaussian.TriangleName(i), f.positions(), rows[1], rows[1]-rows[0])
	}
	return out
}

// CheckGrid holds the grid that a file names against the first transformer's
// hidden layer, which has as many inputs as that gives: a small file must not ask
// for a large image.
func CheckGrid(weights []tensor.Array, of Shape, z engine.Sizes) error {
	t := newTransformer(transformerPrefix(of.Layers[0]), of.Warp, network.MapShape{H: z.Grid[1], W: z.Grid[0], C: 1}, of.Hidden)
	want := t.hidden.specs()[0]
	a, err := engine.ArrayNamed(weights, want.Name)
	if err != nil {
		return err
	}
	if !slices.Equal(a.Shape, want.Shape) {
		return fmt.Errorf("%w: %s is %v, a grid of %v wants %v", sentinel.ErrFile, a.Name, a.Shape, z.Grid, want.Shape)
	}
	return nil
}
