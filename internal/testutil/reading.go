package testutil

import (
	"context"
	"errors"
	"image"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor"
)

// WithCores sets a budget of cores, all of them for one Run, for a test.
func WithCores(t *testing.T, n int) {
	t.Helper()
	before := tensor.GetThreads()
	require.NoError(t, tensor.SetThreads(tensor.Threads{Cores: n, PerRun: n}))
	t.Cleanup(func() { require.NoError(t, tensor.SetThreads(before)) })
}

// InPairs holds images from first on back until two of them are being read.
func InPairs(first int, from func(ctx context.Context, i int) (image.Image, string, error)) func(ctx context.Context, i int) (image.Image, string, error) {
	both := make(chan struct{})
	var reading atomic.Int64
	return func(ctx context.Context, i int) (image.Image, string, error) {
		if i >= first {
			if reading.Add(1) == 2 {
				close(both)
			}
			select {
			case <-both:
			case <-time.After(5 * time.Second):
				return nil, "", errors.New("nobody else is reading")
			}
		}
		return from(ctx, i)
	}
}
