package downstream_test

import (
	"context"
	"errors"
	"image"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// tiny is a trunk with the grids of fake: one convolution a stage. It has as many
// channels as let one support image's samples be kept, and not those of two.
type tiny struct {
	params *tensor.Params
	units  []layers.ConvNorm
	fe     *fake // says which passes give NaN
}

func tinyUnits() []layers.ConvNorm {
	unit := func(name string, in, out, kernel, stride int64) layers.ConvNorm {
		return layers.ConvNorm{Name: name, Norm: name + "n", In: in, Out: out, Kernel: kernel, Conv: tensor.Conv{Stride: stride, Padding: kernel / 4}}
	}
	return []layers.ConvNorm{unit("stem", 3, 3, 4, 4), unit("layer1", 3, 12, 1, 1), unit("layer2", 12, 16, 4, 2), unit("layer3", 16, 20, 4, 2)}
}

// tinyWeights draws the weights of a tiny.
func tinyWeights(t testing.TB) (out []tensor.Array) {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	for _, u := range tinyUnits() {
		a, err := u.Fresh(rng)
		require.NoError(t, err)
		out = append(out, a...)
	}
	return out
}

// growTiny makes tinies whose NaNs fe counts.
func growTiny(fe *fake) func(arrays []tensor.Array) (downstream.Trunk, error) {
	return func(arrays []tensor.Array) (downstream.Trunk, error) {
		m := &tiny{params: tensor.NewParams(tensor.CPU), units: tinyUnits(), fe: fe}
		byName := map[string]tensor.Array{}
		for _, a := range arrays {
			byName[a.Name] = a
		}
		err := tensor.Run(context.Background(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			for i := range m.units {
				for _, sp := range m.units[i].Specs() {
					if a := byName[sp.Name]; len(a.Shape) != len(sp.Shape) || a.CheckFinite() != nil {
						return errors.New("weights do not fit")
					}
				}
				if err := layers.Put(s, m.params, m.units[i].Specs(), byName); err != nil {
					return err
				}
				if err := m.units[i].Bind(m.params); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, errors.Join(err, m.Close())
		}
		return m, nil
	}
}

func (*tiny) Device() tensor.Device { return tensor.CPU }

func (m *tiny) Channels(l backbone.Layer) int {
	if l < backbone.Stem || l > backbone.Layer3 {
		return 0
	}
	return int(tinyUnits()[l].Out)
}

func (m *tiny) Stage(s *tensor.Scope, x *tensor.Tensor, l backbone.Layer) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		y := s.ReLU(m.units[l].Forward(s, x, s.Mode() == tensor.Training))
		if l == backbone.Layer3 && m.fe.bad.Load() > 0 {
			m.fe.bad.Add(-1)
			y = s.Log(s.Neg(s.AddScalar(s.Square(y), 1)))
		}
		return y
	})
}

func (m *tiny) Params() *tensor.Params { return m.params }
func (m *tiny) Close() error           { return m.params.Close() }

// regadConfig trains for two epochs of three steps on products(), at half of Rate
// in the first and not at all in the second.
func regadConfig() downstream.RegADConfig {
	c := downstream.DefaultRegAD()
	c.Hidden, c.Shots, c.Queries, c.Epochs, c.Rate, c.Batch = 8, 2, 4, 2, 0.1, 3
	c.Transform = dataset.Square(fakeSide)
	return c
}

// products are six images of one class and four of another.
func products() dataset.Dataset {
	var samples []dataset.Sample
	for i, img := range textures(10, 30, fakeSide) {
		class := "cloth"
		if i >= 6 {
			class = "felt"
		}
		samples = append(samples, dataset.Sample{Item: dataset.Item{Class: class, Defect: dataset.Good, Label: dataset.LabelGood}, Image: img.(*image.RGBA)})
	}
	ds, err := dataset.NewMemory(samples)
	if err != nil {
		panic(err) // there is nothing that could be wrong with them
	}
	return ds
}

func newTiny(t testing.TB, fe *fake, cfg downstream.RegADConfig, opts ...downstream.Option) *downstream.RegAD {
	t.Helper()
	r, err := downstream.NewRegADOn(tinyWeights(t), growTiny(fe), cfg, rand.New(rand.NewPCG(1, 1)), opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

// trainedTiny is trained on products and fitted on imgs, unless there are none.
func trainedTiny(t testing.TB, cfg downstream.RegADConfig, imgs []image.Image) *downstream.RegAD {
	t.Helper()
	r := newTiny(t, &fake{}, cfg)
	require.NoError(t, r.Train(t.Context(), products()))
	if len(imgs) > 0 {
		require.NoError(t, r.Fit(t.Context(), memory(t, imgs)))
	}
	return r
}

// readTiny and openTiny have the form of other detectors' Read and Open; a RegAD
// brings its network along and needs no extractor.
func readTiny(ctx context.Context, r io.Reader, _ downstream.Extractor, opts ...downstream.Option) (*downstream.RegAD, error) {
	return downstream.ReadRegADOn(ctx, r, growTiny(&fake{}), opts...)
}

func openTiny(ctx context.Context, path string, fe downstream.Extractor, opts ...downstream.Option) (*downstream.RegAD, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readTiny(ctx, f, fe, opts...)
}
