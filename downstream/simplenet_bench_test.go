package downstream_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
)

// BenchmarkSimpleNetFit trains on 32 paper images for two epochs: the maps of
// the backbone, 83,000 patches, and the model for scoring are in it.
func BenchmarkSimpleNetFit(b *testing.B) {
	net, train := realData(b, "paper_brg01", dataset.Train)
	cfg := downstream.DefaultSimpleNet()
	cfg.Epochs = 2
	p, err := downstream.NewSimpleNet(net, cfg, simpleRand())
	require.NoError(b, err)
	defer p.Close()
	cpu := cpuSeconds()
	for b.Loop() {
		require.NoError(b, p.Fit(b.Context(), train))
	}
	n := float64(b.N * train.Len() * cfg.Epochs)
	b.ReportMetric(n/b.Elapsed().Seconds(), "images/s")
	b.ReportMetric(1e3*(cpuSeconds()-cpu)/n, "cpu-ms/image")
}

// BenchmarkSimpleNetScore scores 64 paper images.
func BenchmarkSimpleNetScore(b *testing.B) {
	net, train := realData(b, "paper_brg01", dataset.Train)
	_, test := realData(b, "paper_brg01", dataset.Test)
	cfg := downstream.DefaultSimpleNet()
	cfg.Epochs = 1
	p, err := downstream.NewSimpleNet(net, cfg, simpleRand())
	require.NoError(b, err)
	defer p.Close()
	require.NoError(b, p.Fit(b.Context(), dataset.Filter(train, func(it dataset.Item) bool { return it.Name == train.Item(0).Name })))
	measureScoring(b, p, test)
}
