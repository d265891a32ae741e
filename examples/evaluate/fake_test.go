package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"iter"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// darkness is a detector without a network: a map says how dark each pixel is. The
// seed changes it a little, so that seeds differ.
type darkness struct {
	*darkMethod
	seed evaluate.Seed
	view dataset.Transform // the protocol's
}

// darkMethod makes darkness detectors and says how they are to misbehave.
type darkMethod struct {
	transform dataset.Transform
	mask      string
	trains    bool
	shots     bool
	chooses   bool                                                 // the images that it learns from
	fits      []string                                             // class of each fit
	inFit     func(ctx context.Context, m evaluate.Material) error // nil: nothing
	change    func(sc *evaluate.Scored)                            // nil: nothing
	plans     func(m *evaluate.Method)                             // nil: nothing
	fit       func(m evaluate.Material) (evaluate.Learnt, error)   // nil: all good images
}

// newDark looks at 23x17 pixels, where each rule gives masks of its own.
func newDark() *darkMethod {
	return &darkMethod{transform: dataset.Transform{Exact: image.Pt(23, 17), Filter: dataset.Bilinear}, mask: metrics.MaskNearest}
}

func (f *darkMethod) method() detectors.Kind {
	return detectors.Kind{Name: "dark", Trains: f.trains, Shots: f.shots, Chooses: f.chooses, Plan: func(c detectors.Choice) (evaluate.Method, error) {
		m := evaluate.Method{Name: "dark", Protocol: evaluate.DefaultProtocol(), Layers: []string{"layer1"}, Shots: c.Shots, Epochs: c.Epochs,
			Chance: "a shade", Seed: evaluate.Seed{Number: 1}, Arch: c.Net.Arch.String(), Weights: c.Net.Weights, WeightsSHA256: c.Net.SHA256}
		m.Protocol.Transform, m.Protocol.Mask = f.transform, f.mask
		if f.trains {
			m.Protocol.Epoch = metrics.EpochLast
		}
		m.New = func(s evaluate.Seed) (evaluate.Detector, error) {
			return &darkness{darkMethod: f, seed: s, view: m.Protocol.Transform}, nil
		}
		if f.plans != nil {
			f.plans(&m)
		}
		return m, nil
	}}
}

func (d *darkness) Fit(context.Context, dataset.Dataset) error { return nil }
func (d *darkness) Close() error                               { return nil }

func (d *darkness) Save(path string) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, d.seed)
		return err
	})
}

func (d *darkness) Calibrate(context.Context, dataset.Dataset, metrics.Rule) (*downstream.Calibration, error) {
	return nil, errors.ErrUnsupported
}

func (d *darkness) Learn(ctx context.Context, m evaluate.Material) (evaluate.Learnt, error) {
	d.fits = append(d.fits, m.Class)
	if d.inFit != nil {
		if err := d.inFit(ctx, m); err != nil {
			return evaluate.Learnt{}, err
		}
	}
	if d.fit != nil {
		return d.fit(m)
	}
	return evaluate.Learnt{Images: m.Good.Len()}, nil
}

func (d *darkness) Score(_ context.Context, in image.Image) (evaluate.Result, error) {
	img, err := d.view.Image(in)
	if err != nil {
		return evaluate.Result{}, err
	}
	rect, err := d.view.Rect(in.Bounds().Dx(), in.Bounds().Dy())
	if err != nil {
		return evaluate.Result{}, err
	}
	m := evaluate.Map{W: img.Rect.Dx(), H: img.Rect.Dy(), Data: make([]float32, len(img.Pix)/4), Rect: rect}
	rng := d.seed.Rand()
	for k := range m.Data {
		m.Data[k] = 255 - float32(img.Pix[4*k]) + 40*float32(rng.NormFloat64())
	}
	return evaluate.Result{Score: downstream.Map(m).Max(), Map: m}, nil
}

func (d *darkness) ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[evaluate.Scored, error] {
	return func(yield func(evaluate.Scored, error) bool) {
		for i := range ds.Len() {
			s, err := ds.Sample(ctx, i)
			if err != nil {
				yield(evaluate.Scored{}, err)
				return
			}
			r, err := d.Score(ctx, s.Image)
			if err != nil {
				yield(evaluate.Scored{}, err)
				return
			}
			sc := evaluate.Scored{Item: s.Item, Mask: s.Mask, Result: r}
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
	err = f.program().run(ctx, append(darkArgs(), args...), &out, &progress)
	require.Equal(t, live, tensor.Live(), "native tensors were leaked")
	return out.String(), progress.String(), err
}

func darkArgs() []string {
	return []string{"-weights", "random", "-device", "cpu", "-method", "dark"}
}

// program knows the method of f alone, and no network.
func (f *darkMethod) program() program {
	return program{methods: []detectors.Kind{f.method()}, open: func(o options, weights string, _ tensor.Device) (*detectors.Network, error) {
		return &detectors.Network{Weights: "none " + weights, SHA256: weights + o.arch}, nil
	}}
}

// recordsOf reads a -json file.
func recordsOf(t *testing.T, path string) []evaluate.Record {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	var out []evaluate.Record
	for line := range strings.Lines(string(b)) {
		var r evaluate.Record
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		out = append(out, r)
	}
	return out
}

// timeless leaves out what differs from run to run.
func timeless(records []evaluate.Record) []evaluate.Record {
	out := append([]evaluate.Record(nil), records...)
	for i := range out {
		out[i].FitSpeed, out[i].ScoreSpeed, out[i].PeakRSS = 0, 0, 0
		out[i].FitSeconds, out[i].ScoreSeconds, out[i].MetricsSeconds, out[i].TrainSeconds = 0, 0, 0, 0
		out[i].Made = evaluate.Origin{}
	}
	return out
}
