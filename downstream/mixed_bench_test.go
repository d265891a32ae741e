package downstream_test

import (
	"context"
	"fmt"
	"image"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// BenchmarkMixedSizes scores 1 to 32 images of 128x128 in mixed orders with every
// detector and the classifier, freshly fitted for each order: no order may make a
// size slower than 1.1 times its best.
//
//	go test ./downstream -run '^$' -bench MixedSizes -benchtime 3x
//
// takes less than nine minutes on two quiet cores. On a busy machine only the ratio
// of processor times means anything.
func BenchmarkMixedSizes(b *testing.B) {
	const side = 128
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	require.NoError(b, err)
	defer net.Close()
	imgs := textures(32, 2, side)
	for _, s := range scorers {
		b.Run(s.name, func(b *testing.B) {
			testutil.MixedSizes(b, 3, 4, func() (func(n int), func()) {
				score, done := s.make(b, net, side)
				return func(n int) { require.NoError(b, score(b.Context(), imgs[:n]...)) }, func() { require.NoError(b, done()) }
			})
		})
	}
}

// BenchmarkSingleAfterFit is a PaDiM of 224x224 that has been fitted, which is
// done in batches on one thread each, and is then asked for single images.
func BenchmarkSingleAfterFit(b *testing.B) {
	p, img := servicePaDiM(b)
	cpu := cpuSeconds()
	for b.Loop() {
		_, err := p.Score(b.Context(), img)
		require.NoError(b, err)
	}
	b.ReportMetric(1e3*(cpuSeconds()-cpu)/float64(b.N), "cpu-ms/image")
}

// BenchmarkService has 1, 2, 16 and 64 clients that ask for single images, one after
// the other, with the default threads, with one and two threads a Run, and as if the processor had two and four times the
// cores that it has, which is how a container that was given fewer than it sees behaves.
//
//	go test ./downstream -run '^$' -bench Service -benchtime 3x
func BenchmarkService(b *testing.B) {
	const asked = 64 // images of all clients together
	p, img := servicePaDiM(b)
	old := tensor.GetThreads()
	defer func() { require.NoError(b, tensor.SetThreads(old)) }()
	cores := tensor.DefaultThreads().Cores
	settings := []struct {
		name string
		tensor.Threads
	}{
		{"default", tensor.DefaultThreads()},
		{"one", tensor.Threads{Cores: cores, PerRun: 1, Fixed: true}},
		{"two", tensor.Threads{Cores: cores, PerRun: min(2, cores), Fixed: true}},
		{"cores x2", tensor.Threads{Cores: 2 * cores, PerRun: 2 * cores}},
		{"cores x4", tensor.Threads{Cores: 4 * cores, PerRun: 4 * cores}},
	}
	for _, clients := range []int{1, 2, 16, 64} {
		for _, set := range settings {
			b.Run(fmt.Sprintf("clients=%d/%s", clients, set.name), func(b *testing.B) {
				require.NoError(b, tensor.SetThreads(set.Threads))
				_, err := p.Score(b.Context(), img)
				require.NoError(b, err)
				cpu, begin := cpuSeconds(), time.Now()
				for b.Loop() {
					serve(b, p, img, asked, clients)
				}
				n := float64(b.N * asked)
				b.ReportMetric(n/time.Since(begin).Seconds(), "scores/s")
				b.ReportMetric(1e3*(cpuSeconds()-cpu)/n, "cpu-ms/score")
			})
		}
	}
}

// servicePaDiM is fitted with default settings, on a network with random weights.
func servicePaDiM(b *testing.B) (*downstream.PaDiM, image.Image) {
	b.Helper()
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, net.Close()) })
	p, err := downstream.NewPaDiM(net, downstream.DefaultPaDiM(), rand.New(rand.NewPCG(1, 1)))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, p.Close()) })
	imgs := textures(16, 1, 224)
	require.NoError(b, p.Fit(b.Context(), memory(b, imgs)))
	return p, imgs[0]
}

func serve(b *testing.B, p *downstream.PaDiM, img image.Image, asked, clients int) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for next.Add(1) <= int64(asked) {
				if _, err := p.Score(context.Background(), img); err != nil {
					b.Error(err)
				}
			}
		}()
	}
	wg.Wait()
}
