package tensor_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor"
)

// oneDNN keeps 1,024 compiled convolutions unless it is told otherwise, and
// dropping one while another thread looks for one reads memory that is gone.
func TestMoreConvolutionsThanOneDNNKeeps(t *testing.T) {
	if !tensor.HasOneDNN() {
		t.Skip("this libtorch has no oneDNN")
	}
	const workers, channels = 4, 16
	require.NoError(t, tensor.SetThreads(tensor.Threads{Cores: workers, PerRun: 1}))
	defer func() { require.NoError(t, tensor.SetThreads(tensor.DefaultThreads())) }()
	c := tensor.Conv{Padding: 1}
	one := func(s *tensor.Scope, h, w int64) {
		packed := s.PackConv(s.ChannelsLast(x(s, 1, channels, channels, 3, 3)), c, [4]int64{1, channels, h, w})
		in := s.ChannelsLast(s.Zeros(1, channels, h, w))
		y := s.ConvFused(in, packed, x(s, 2, channels), c, true)
		s.ConvAddReLU(y, in, packed, x(s, 2, channels), c)
	}
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for k := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range int64(1000) {
				err := tensor.Run(tensor.WithThreads(context.Background(), 1), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
					n := (i + int64(k)) % 700
					one(s, 1+n%20, 1+n/20)
					return nil
				})
				if err != nil {
					errs[k] = err
					return
				}
			}
		}()
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}
