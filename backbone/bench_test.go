package backbone_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// sizes of the batches that the benchmarks run, on one thread as all tests of
// this package: what a service sends, and what training sends.
var sizes = []struct {
	name    string
	n, side int64
}{
	{"1x224x224", 1, 224},
	{"8x224x224", 8, 224},
}

// BenchmarkEvaluation is one forward pass to the pooled vector with folded
// weights, images on the host as they come from a data set.
func BenchmarkEvaluation(b *testing.B) { benchmark(b, tensor.Evaluation) }

// BenchmarkTraining is forward, backward and one step of SGD.
func BenchmarkTraining(b *testing.B) { benchmark(b, tensor.Training) }

func benchmark(b *testing.B, mode tensor.Mode) {
	for _, arch := range backbone.Archs() {
		for _, size := range sizes {
			if mode == tensor.Training && size.n < 2 {
				continue // batch statistics of one image are not what anybody trains with
			}
			b.Run(arch.String()+"/"+size.name, func(b *testing.B) {
				m, err := backbone.New(arch, tensor.CPU, newRand())
				require.NoError(b, err)
				defer m.Close()
				opt, err := tensor.NewSGD(tensor.DefaultSGD(), tensor.CPU)
				require.NoError(b, err)
				defer opt.Close()
				x := draw("x", size.n*3*size.side*size.side)
				pass := func() {
					err := tensor.Run(b.Context(), tensor.CPU, mode, func(s *tensor.Scope) error {
						f := m.Forward(s, s.FromNHWC(x, int(size.n), int(size.side), int(size.side), 3), backbone.Pooled)
						if mode == tensor.Evaluation {
							_, err := s.Floats(f[0])
							return err
						}
						s.Backward(s.Mean(s.Square(f[0]), false))
						if err := opt.Step(s, m.Params(), func(string) float64 { return 1e-3 }); err != nil {
							return err
						}
						return m.Params().ZeroGrad()
					})
					require.NoError(b, err)
				}
				pass() // the first one folds and chooses kernels
				for b.Loop() {
					pass()
				}
				b.ReportMetric(float64(size.n)*float64(b.N)/b.Elapsed().Seconds(), "images/s")
			})
		}
	}
}
