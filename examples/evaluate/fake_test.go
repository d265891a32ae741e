package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"iter"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// darkness is a detector without a network: a map says how dark each pixel is. The
// seed changes it a little, so that seeds differ.
type darkness struct {
	*darkMethod
	seed seed
	view dataset.Transform // the plan's
}

// darkMethod makes darkness detectors and says how they are to misbehave.
type darkMethod struct {
	transform dataset.Transform
	mask      maskRule
	trains    bool
	shots     bool
	fits      []string                                     // class of each fit
	inFit     func(ctx context.Context, m material) error  // nil: nothing
	change    func(sc *downstream.Scored)                  // nil: nothing
	plans     func(p *plan)                                // nil: nothing
	fit       func(d detector, m material) (learnt, error) // nil: all good images
}

// newDark looks at 23x17 pixels, where each rule gives masks of its own.
func newDark() *darkMethod {
	return &darkMethod{transform: dataset.Transform{Exact: image.Pt(23, 17), Filter: dataset.Bilinear}, mask: nearestMask()}
}

func (f *darkMethod) method() method {
	return method{name: "dark", trains: f.trains, shots: f.shots, plan: func(c choice) (plan, error) {
		p := plan{settings: struct{}{}, layers: []backbone.Layer{backbone.Layer1}, shots: c.shots, transform: f.transform, mask: f.mask, score: metrics.ScoreMapMax, epoch: metrics.EpochNone,
			chance: "a shade", seed: seed{n: 1}, epochs: c.epochs}
		if f.trains {
			p.epoch = metrics.EpochLast
		}
		p.make = func(_ *backbone.ResNet, s seed, opts ...downstream.Option) (detector, error) {
			return &darkness{darkMethod: f, seed: s, view: p.transform}, nil
		}
		p.fit = func(ctx context.Context, d detector, m material) (learnt, error) {
			f.fits = append(f.fits, m.class)
			if f.inFit != nil {
				if err := f.inFit(ctx, m); err != nil {
					return learnt{}, err
				}
			}
			if f.fit != nil {
				return f.fit(d, m)
			}
			return learnt{images: m.good.Len()}, nil
		}
		if f.plans != nil {
			f.plans(&p)
		}
		return p, nil
	}}
}

func (d *darkness) Fit(context.Context, dataset.Dataset) error { return nil }
func (d *darkness) Close() error                               { return nil }
func (d *darkness) Save(string) error                          { return errors.ErrUnsupported }

func (d *darkness) Calibrate(context.Context, dataset.Dataset, metrics.Rule) (*downstream.Calibration, error) {
	return nil, errors.ErrUnsupported
}

func (d *darkness) Score(_ context.Context, imgs ...image.Image) (out []downstream.Result, err error) {
	for _, in := range imgs {
		img, err := d.view.Image(in)
		if err != nil {
			return nil, err
		}
		rect, err := d.view.Rect(in.Bounds().Dx(), in.Bounds().Dy())
		if err != nil {
			return nil, err
		}
		m := downstream.Map{W: img.Rect.Dx(), H: img.Rect.Dy(), Data: make([]float32, len(img.Pix)/4), Rect: rect}
		rng := d.seed.rand(forMethod)
		for k := range m.Data {
			m.Data[k] = 255 - float32(img.Pix[4*k]) + 40*float32(rng.NormFloat64())
		}
		out = append(out, downstream.Result{Score: m.Max(), Map: m})
	}
	return out, nil
}

func (d *darkness) ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[downstream.Scored, error] {
	return func(yield func(downstream.Scored, error) bool) {
		for i := range ds.Len() {
			s, err := ds.Sample(ctx, i)
			if err != nil {
				yield(downstream.Scored{}, err)
				return
			}
			r, err := d.Score(ctx, s.Image)
			if err != nil {
				yield(downstream.Scored{}, err)
				return
			}
			sc := downstream.Scored{Item: s.Item, Mask: s.Mask, Result: r[0]}
			if d.change != nil {
				d.change(&sc)
			}
			if !yield(sc, nil) {
				return
			}
		}
	}
}

// evaluateDark runs the program with the method of f alone, and no network.
func evaluateDark(t *testing.T, ctx context.Context, f *darkMethod, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	live := tensor.Live()
	var out, progress bytes.Buffer
	all := append([]string{"-weights", "random", "-device", "cpu", "-method", "dark"}, args...)
	p := program{methods: []method{f.method()}, open: func(o options, _ tensor.Device) (network, error) {
		return network{weights: "none " + o.weights, sha256: o.weights + o.arch}, nil
	}}
	err = p.run(ctx, all, &out, &progress)
	require.Equal(t, live, tensor.Live(), "native tensors were leaked")
	return out.String(), progress.String(), err
}

// recordsOf reads a -json file.
func recordsOf(t *testing.T, path string) []record {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	var out []record
	for line := range strings.Lines(string(b)) {
		var r record
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		out = append(out, r)
	}
	return out
}

// timeless leaves out what differs from run to run.
func timeless(records []record) []record {
	out := append([]record(nil), records...)
	for i := range out {
		out[i].FitSpeed, out[i].ScoreSpeed, out[i].PeakRSS = 0, 0, 0
		out[i].FitSeconds, out[i].ScoreSeconds, out[i].MetricsSeconds, out[i].TrainSeconds = 0, 0, 0, 0
		out[i].Made = origin{}
	}
	return out
}
