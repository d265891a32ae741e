package tab_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/fault"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// tiny is an encoder of a caller: one convolution with batch norm, four channels.
type tiny struct{ params *tensor.Params }

func newTiny(t testing.TB) tiny {
	t.Helper()
	m := tiny{tensor.NewParams(tensor.CPU)}
	t.Cleanup(func() { require.NoError(t, m.params.Close()) })
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
		return errors.Join(
			m.params.Put(s, "conv", s.ChannelsLast(s.FromFloats(testutil.Draw("conv", 4*3*4*4), 4, 3, 4, 4))),
			m.params.Put(s, "gamma", s.Full(1, tensor.Float32, 4)),
			m.params.Put(s, "beta", s.Zeros(4)),
			m.params.PutBuffer(s, "mean", s.Zeros(4)),
			m.params.PutBuffer(s, "variance", s.Full(1, tensor.Float32, 4)),
		)
	}))
	return m
}

func (m tiny) Params() *tensor.Params { return m.params }
func (m tiny) Device() tensor.Device  { return m.params.Device() }

func (m tiny) Channels(l backbone.Layer) int {
	if l == backbone.Pooled || l == backbone.Layer3 {
		return 4
	}
	return 0
}

func (m tiny) Forward(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) []*tensor.Tensor {
	return s.SubN(func(s *tensor.Scope) (out []*tensor.Tensor) {
		get := m.params.Get
		y := s.Conv2d(s.ChannelsLast(x), get("conv"), nil, tensor.Conv{Stride: 4})
		y = s.ReLU(s.BatchNorm(y, get("gamma"), get("beta"), get("mean"), get("variance"), s.Mode() == tensor.Training, 0.1, 1e-5))
		for _, l := range at {
			z := y
			if l == backbone.Pooled {
				z = s.GlobalAvgPool(y)
			}
			out = append(out, z)
		}
		return out
	})
}

// snapshot is everything that a run has: weights, statistics, optimizer state and
// where it stands.
func snapshot(t *testing.T, p *tab.Pretrainer) contents {
	t.Helper()
	st, arrays, err := p.Contents()
	require.NoError(t, err)
	return contents{st, arrays}
}

type contents struct {
	state  any
	arrays []tensor.Array
}

// A step is whole or not at all: wherever in it memory runs out, all is as it was,
// and the step that follows gives the bits of a run in which nothing happened.
func TestAStepIsWholeOrNotAtAll(t *testing.T) {
	testutil.NoLeak(t)
	pooled := func(set func(c *tab.Config)) plan {
		c := config()
		c.Batch, c.Objective = 2, tab.Joint()
		set(&c)
		return plan{ds: material(t, 4), cfg: c, visual: func(t testing.TB) tab.VisualEncoder { return newTiny(t) }, synth: generator()}
	}
	for name, pl := range map[string]plan{
		"sgd": pooled(func(c *tab.Config) {
			c.Optimizer.SGD = tensor.SGDConfig{Momentum: 0.9, WeightDecay: 0.1, Nesterov: true}
			c.ClipNorm = 1e-3
		}),
		"adamw": pooled(func(c *tab.Config) { c.Optimizer.Rule = "adamw" }),
		"decay": heldPlan(t, 2),
	} {
		t.Run(name, func(t *testing.T) {
			ds := pl.ds
			begin := func() *tab.Pretrainer {
				p, err := tab.New(tab.Parts{Visual: pl.visual(t), Anchors: bank(t, 6), Synth: pl.synth}, pl.cfg)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, p.Close()) })
				require.NoError(t, p.Prepare(t.Context(), names))
				ended, end := context.WithCancel(t.Context())
				end()
				_, err = p.Fit(ended, ds) // takes the data set down, which a checkpoint tells
				require.ErrorIs(t, err, context.Canceled)
				return p
			}
			// once takes the next step, whose allocations fail from number from on.
			once := func(p *tab.Pretrainer, from int64) (asked int64, step tab.Step, err error) {
				asked = fault.Allocations(from, func() {
					for step, err = range p.Steps(t.Context(), ds) {
						break
					}
				})
				step.ImagesSec = 0
				return asked, step, err
			}
			calm, hit := begin(), begin()
			for range 2 { // the first makes the optimizers' state
				asked, want, err := once(calm, 0)
				require.NoError(t, err)
				require.Greater(t, asked, int64(50))
				for n := int64(1); n <= asked; n++ {
					require.NoError(t, hitOnce(t, hit, n, once))
				}
				_, got, err := once(hit, asked+1)
				require.NoError(t, err)
				require.Equal(t, want, got)
				require.Equal(t, snapshot(t, calm), snapshot(t, hit))
			}
		})
	}
}

// calmer wants features of layer 1 to be small.
type calmer struct{}

func (calmer) Name() string { return "calmer" }

func (calmer) Needs() tab.Needs {
	return tab.Needs{Stages: []backbone.Layer{backbone.Layer1}, NoPooled: true}
}

func (calmer) Setup(*tensor.Scope, *tensor.Params, tab.Dims, *rand.Rand) error { return nil }

func (calmer) Loss(s *tensor.Scope, v tab.View) (loss, accuracy *tensor.Tensor) {
	return s.Mean(s.Square(v.Normal.Stages[backbone.Layer1]), false), s.Full(1, tensor.Float32)
}

func (calmer) Fingerprint() string { return "calmer" }

// heldPlan trains a stem and layer 1, and pulls them towards the start.
func heldPlan(t testing.TB, batch int) plan {
	t.Helper()
	start := arrays(t, network(t))
	c := config()
	c.Objective, c.Batch, c.StartDecay = calmer{}, batch, 0.1
	return plan{ds: material(t, 8), cfg: c, synth: generator(), visual: func(t testing.TB) tab.VisualEncoder {
		t.Helper()
		m, err := backbone.FromStages(&tensor.Weights{Arrays: start}, backbone.ArchResNet18, backbone.Layer1, tensor.CPU)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, m.Close()) })
		return m
	}}
}

// hitOnce lets a step fail at allocation n and says what that left behind.
func hitOnce(t *testing.T, p *tab.Pretrainer, n int64, once func(*tab.Pretrainer, int64) (int64, tab.Step, error)) error {
	t.Helper()
	before := snapshot(t, p)
	_, step, err := once(p, n)
	if !errors.Is(err, tensor.ErrOutOfMemory) {
		return fmt.Errorf("allocation %d: step %d, %w", n, step.Number, errors.Join(err, errors.New("want that memory ran out")))
	}
	if !reflect.DeepEqual(before, snapshot(t, p)) {
		return fmt.Errorf("allocation %d: the step failed (%w) and changed the run", n, err)
	}
	return nil
}
