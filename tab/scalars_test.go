package tab_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tab"
)

func TestStepTellsItsScalars(t *testing.T) {
	read := func(st tab.Step, most int) (names []string, values []float64) {
		for n, v := range st.Scalars() {
			names, values = append(names, n), append(values, v)
			if len(names) == most {
				break
			}
		}
		return names, values
	}
	st := tab.Step{Number: 7, Loss: 0.5, Accuracy: 0.25, LR: 1e-3, GradNorm: 2}
	names, values := read(st, 99)
	require.Equal(t, []string{"loss", "accuracy", "lr", "grad_norm"}, names)
	require.Equal(t, []float64{0.5, 0.25, 1e-3, 2}, values)
	st.ImagesSec, st.Redrawn = 30, 2
	st.Indicators = []tab.Measure{{Name: "keep", Value: 3}}
	st.Probe = []tab.Measure{{Name: "image AUROC mean", Value: 0.9}}
	names, values = read(st, 99)
	require.Equal(t, []string{"loss", "accuracy", "lr", "grad_norm", "images_sec", "redrawn", "indicators/keep", "probe/image AUROC mean"}, names)
	require.Equal(t, []float64{0.5, 0.25, 1e-3, 2, 30, 2, 3, 0.9}, values)
	names, _ = read(st, 2)
	require.Len(t, names, 2)
}
