package downstream_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

// shared is a folder beside the checkout with real images and weights.
const shared = "../../shared"

// realData returns the network and the images of a class, or skips.
func realData(t testing.TB, class, split string) (*backbone.ResNet18, *dataset.Files) {
	t.Helper()
	weights := filepath.Join(shared, "weights", "resnet18-imagenet.safetensors")
	for _, p := range []string{weights, filepath.Join(shared, "data", "paper", class)} {
		if _, err := os.Stat(p); err != nil {
			t.Skipf("needs the real images and weights beside the checkout: %v", err)
		}
	}
	ds, err := dataset.OpenMVTecAD(filepath.Join(shared, "data", "paper"), class, split)
	require.NoError(t, err)
	net, err := backbone.OpenResNet18(weights, tensor.CPU)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, net.Close()) })
	return net, ds
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// measureScoring scores a data set again and again.
func measureScoring(b *testing.B, p detector, test dataset.Dataset) {
	cpu := cpuSeconds()
	for b.Loop() {
		for _, err := range p.ScoreSet(b.Context(), test) {
			require.NoError(b, err)
		}
	}
	n := float64(b.N * test.Len())
	b.ReportMetric(n/b.Elapsed().Seconds(), "images/s")
	b.ReportMetric(1e3*(cpuSeconds()-cpu)/n, "cpu-ms/image")
}

// BenchmarkPaDiMScore scores 64 paper images of 128x128 from disk to map. The
// processor time beside the images a second tells a busy machine from a slow
// program.
func BenchmarkPaDiMScore(b *testing.B) {
	for _, batch := range []int{1, 2, 4, 8, 16} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			net, train := realData(b, "paper_brg01", dataset.Train)
			_, test := realData(b, "paper_brg01", dataset.Test)
			cfg := downstream.DefaultPaDiM()
			cfg.Batch = batch
			p, err := downstream.NewPaDiM(net, cfg, nil)
			require.NoError(b, err)
			defer p.Close()
			require.NoError(b, p.Fit(b.Context(), train))
			measureScoring(b, p, test)
		})
	}
}

// BenchmarkOpenTen opens ten fitted PaDiMs of the default size on one network, as a service does that begins, and reports how
// long all take and what they hold of the memory of the process, in sizes of their files.
func BenchmarkOpenTen(b *testing.B) {
	const count = 10
	net, err := backbone.NewResNet18(tensor.CPU, seeded(1))
	require.NoError(b, err)
	defer net.Close()
	p, err := downstream.NewPaDiM(net, downstream.DefaultPaDiM(), nil)
	require.NoError(b, err)
	require.NoError(b, p.Fit(b.Context(), memory(b, textures(4, 1, 224))))
	path := filepath.Join(b.TempDir(), "padim.gotab")
	require.NoError(b, p.Save(path))
	require.NoError(b, p.Close())
	info, err := os.Stat(path)
	require.NoError(b, err)
	held := int64(0)
	for b.Loop() {
		b.StopTimer()
		settle()
		before := resident(b)
		b.StartTimer()
		var all []*downstream.PaDiM
		for range count {
			p, err := downstream.OpenPaDiM(b.Context(), path, net)
			require.NoError(b, err)
			all = append(all, p)
		}
		b.StopTimer()
		settle()
		held += resident(b) - before
		for _, p := range all {
			require.NoError(b, p.Close())
		}
		b.StartTimer()
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s")
	b.ReportMetric(float64(held)/float64(b.N)/float64(count*info.Size()), "x-files")
}

// resident is the memory of the process in bytes, or skips where the system does not tell.
func resident(b *testing.B) int64 {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skipf("the system does not tell the memory of the process: %v", err)
	}
	var size, pages int64
	_, err = fmt.Sscan(string(raw), &size, &pages)
	require.NoError(b, err)
	return pages * int64(os.Getpagesize())
}
