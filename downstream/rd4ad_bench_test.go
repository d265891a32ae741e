package downstream_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
)

func rd4adOn(b *testing.B, class string) (*downstream.RD4AD, *dataset.Files) {
	net, train := realData(b, class, dataset.Train)
	cfg := downstream.DefaultRD4AD()
	cfg.Epochs = 2
	p, err := downstream.NewRD4AD(net, cfg, rand.New(rand.NewPCG(1, 1)))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, p.Close()) })
	return p, train
}

// BenchmarkRD4ADFit trains on 32 paper images for two epochs; images are counted
// in each.
func BenchmarkRD4ADFit(b *testing.B) {
	p, train := rd4adOn(b, "paper_brg01")
	cpu := cpuSeconds()
	for b.Loop() {
		require.NoError(b, p.Fit(b.Context(), train))
	}
	n := float64(b.N * train.Len() * p.Config().Epochs)
	b.ReportMetric(n/b.Elapsed().Seconds(), "images/s")
	b.ReportMetric(1e3*(cpuSeconds()-cpu)/n, "cpu-ms/image")
}

// BenchmarkRD4ADScore scores 64 paper images.
func BenchmarkRD4ADScore(b *testing.B) {
	p, train := rd4adOn(b, "paper_brg01")
	_, test := realData(b, "paper_brg01", dataset.Test)
	require.NoError(b, p.Fit(b.Context(), train))
	measureScoring(b, p, test)
}
