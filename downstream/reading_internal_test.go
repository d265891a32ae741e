package downstream

import (
	"context"
	"errors"
	"image"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/tensor"
)

// ramps draws pictures whose pixels name their image; image bad is larger.
func ramps(bad int) feed.Pictures {
	return func(_ context.Context, i int) (image.Image, string, error) {
		side := 8
		if i == bad {
			side = 9
		}
		img := image.NewGray(image.Rect(0, 0, side, side))
		for p := range img.Pix {
			img.Pix[p] = uint8(17*i + p)
		}
		return img, strconv.Itoa(i), nil
	}
}

// withCores sets a budget of cores, all of them for one Run, for a test.
func withCores(t *testing.T, n int) {
	t.Helper()
	before := tensor.GetThreads()
	require.NoError(t, tensor.SetThreads(tensor.Threads{Cores: n, PerRun: n}))
	t.Cleanup(func() { require.NoError(t, tensor.SetThreads(before)) })
}

// inPairs holds images from first on back until two of them are being read.
func inPairs(t *testing.T, first int, from feed.Pictures) feed.Pictures {
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
