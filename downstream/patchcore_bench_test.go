package downstream_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
)

// BenchmarkPatchCoreFit fits on 32 paper images: 25,088 patches of 384 values,
// of which 2,508 are kept.
func BenchmarkPatchCoreFit(b *testing.B) {
	net, train := realData(b, "paper_brg01", dataset.Train)
	p, err := downstream.NewPatchCore(net, downstream.DefaultPatchCore(), rand.New(rand.NewPCG(1, 1)))
	require.NoError(b, err)
	defer p.Close()
	cpu := cpuSeconds()
	for b.Loop() {
		require.NoError(b, p.Fit(b.Context(), train))
	}
	n := float64(b.N * train.Len())
	b.ReportMetric(n/b.Elapsed().Seconds(), "images/s")
	b.ReportMetric(1e3*(cpuSeconds()-cpu)/n, "cpu-ms/image")
}

// BenchmarkPatchCoreScore scores 64 paper images against that bank.
func BenchmarkPatchCoreScore(b *testing.B) {
	net, train := realData(b, "paper_brg01", dataset.Train)
	_, test := realData(b, "paper_brg01", dataset.Test)
	p, err := downstream.NewPatchCore(net, downstream.DefaultPatchCore(), rand.New(rand.NewPCG(1, 1)))
	require.NoError(b, err)
	defer p.Close()
	require.NoError(b, p.Fit(b.Context(), train))
	measureScoring(b, p, test)
}
