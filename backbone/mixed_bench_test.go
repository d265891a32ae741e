package backbone_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// BenchmarkMixedSizes goes through batches of 1 to 32 images in mixed orders, on
// one and on two threads: no order may make a size slower than 1.1 times its best.
//
//	go test ./backbone -run '^$' -bench MixedSizes -benchtime 3x
//
// takes nine minutes on two quiet cores. On a busy machine only the ratio
// of processor times means anything.
func BenchmarkMixedSizes(b *testing.B) {
	for _, run := range []struct{ threads, w, h int64 }{{1, 224, 224}, {2, 224, 224}, {2, 161, 127}} {
		b.Run(fmt.Sprintf("threads=%d/%dx%d", run.threads, run.w, run.h), func(b *testing.B) {
			old := tensor.GetThreads()
			require.NoError(b, tensor.SetThreads(tensor.Threads{Cores: int(run.threads), PerRun: int(run.threads)}))
			defer func() { require.NoError(b, tensor.SetThreads(old)) }()
			x := draw("x", 32*3*run.h*run.w)
			testutil.MixedSizes(b, 6, 5, func() (func(n int), func()) {
				m, err := backbone.NewResNet18(tensor.CPU, newRand())
				require.NoError(b, err)
				return func(n int) {
					require.NoError(b, tensor.Run(b.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
						in := s.FromNHWC(x[:int64(n)*3*run.h*run.w], n, int(run.h), int(run.w), 3)
						_, err := s.Floats(m.Forward(s, in, backbone.Pooled)[0])
						return err
					}))
				}, func() { require.NoError(b, m.Close()) }
			})
		})
	}
}
