package backbone_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// BenchmarkNewSizes gives ResNet-18 an image of a size that it has not seen in
// every round, and reports how much larger the process is for each: oneDNN keeps
// what it compiled. README.md has the figures and the command.
func BenchmarkNewSizes(b *testing.B) {
	resident := func() float64 {
		text, err := os.ReadFile("/proc/self/status")
		if err != nil {
			b.Skip("no /proc: cannot read the resident size")
		}
		_, rest, _ := strings.Cut(string(text), "VmRSS:")
		kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
		require.NoError(b, err)
		return kb / 1024
	}
	m, err := backbone.NewResNet18(tensor.CPU, newRand())
	require.NoError(b, err)
	defer m.Close()
	pass := func(h, w int64) {
		require.NoError(b, tensor.Run(b.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			m.Forward(s, s.Zeros(1, 3, h, w), backbone.Layer4)
			return s.Err()
		}))
	}
	pass(256, 256) // the largest first, so that only what is kept for a size grows
	for range 10 {
		pass(256, 256)
	}
	before := resident()
	n := 0
	for b.Loop() {
		pass(64+int64(n%192), 64+int64(n/192)*7+int64(n%17))
		n++
	}
	b.ReportMetric((resident()-before)/float64(n)*1024, "kB/size")
}
