package tensor_test

import (
	"testing"

	"github.com/gotab/gotab/tensor"
)

// BenchmarkAddSmall is the cost of one operation where the numbers cost nothing.
func BenchmarkAddSmall(b *testing.B) {
	err := tensor.Run(b.Context(), tensor.CPU, tensor.Evaluation, func(s *scope) error {
		x, y := s.Zeros(16), s.Zeros(16)
		for b.Loop() {
			s.Free(s.Add(x, y))
		}
		return s.Err()
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRun is what entering and leaving libtorch costs.
func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		if err := tensor.Run(b.Context(), tensor.CPU, tensor.Evaluation, func(*scope) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkResidualBlock is a block of ResNet-18 (two 3x3 convolutions of 64
// channels at 56x56, batch norm, ReLU, sum) in evaluation: with the plain
// operations, and folded, packed and fused.
func BenchmarkResidualBlock(b *testing.B) {
	const batch = 8
	c := tensor.Conv{Padding: 1}
	bench := func(b *testing.B, prepare func(s *scope) func(s *scope, x *ten) *ten) {
		err := tensor.Run(b.Context(), tensor.CPU, tensor.Evaluation, func(s *scope) error {
			img := s.ChannelsLast(x(s, 1, batch, 64, 56, 56))
			block := prepare(s)
			block(s, img) // the first call chooses kernels
			for b.Loop() {
				s.Free(s.Sub(func(s *scope) *ten { return block(s, img) }))
			}
			b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "images/s")
			return s.Err()
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Run("plain", func(b *testing.B) {
		bench(b, func(s *scope) func(s *scope, x *ten) *ten {
			w1, w2 := s.ChannelsLast(x(s, 2, 64, 64, 3, 3)), s.ChannelsLast(x(s, 3, 64, 64, 3, 3))
			gamma, beta, mean, variance := pos(s, 4, 64), x(s, 5, 64), x(s, 6, 64), pos(s, 7, 64)
			norm := func(s *scope, y *ten) *ten {
				return s.BatchNorm(y, gamma, beta, mean, variance, false, 0.1, 1e-5)
			}
			return func(s *scope, x *ten) *ten {
				y := s.ReLU(norm(s, s.Conv2d(x, w1, nil, c)))
				return s.ReLU(s.Add(norm(s, s.Conv2d(y, w2, nil, c)), x))
			}
		})
	})
	b.Run("fused", func(b *testing.B) {
		if !tensor.HasOneDNN() {
			b.Skip("this libtorch has no oneDNN")
		}
		bench(b, func(s *scope) func(s *scope, x *ten) *ten {
			in := [4]int64{batch, 64, 56, 56}
			w1, w2 := s.PackConv(x(s, 2, 64, 64, 3, 3), c, in), s.PackConv(x(s, 3, 64, 64, 3, 3), c, in)
			bias := x(s, 5, 64)
			return func(s *scope, x *ten) *ten {
				y := s.Clone(x)
				s.ConvAddReLU(y, s.ConvFused(x, w1, bias, c, true), w2, bias, c)
				return y
			}
		})
	})
}
