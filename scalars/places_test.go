package scalars_test

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/scalars"
)

func TestLogsOfTrainings(t *testing.T) {
	dir := t.TempDir()
	f := scalars.Places{TensorBoard: filepath.Join(dir, "runs"), CSV: filepath.Join(dir, "log.csv")}
	require.NoError(t, f.Try())
	for step, training := range []string{"one", "two"} {
		l, err := f.Of(training).Open(int64(step))
		require.NoError(t, err)
		require.NoError(t, l.Add(int64(step), maps.All(map[string]float64{"loss": 1})))
		require.Error(t, l.Add(-1, maps.All(map[string]float64{"loss": 1})))
		require.NoError(t, l.Close())
		require.FileExists(t, filepath.Join(dir, "log-"+training+".csv"))
		events, err := os.ReadDir(filepath.Join(dir, "runs", training))
		require.NoError(t, err)
		require.Len(t, events, 1)
	}
	none, err := scalars.Places{}.Of("one").Open(0)
	require.NoError(t, err)
	require.NoError(t, none.Add(1, maps.All(map[string]float64{"loss": 1})))
	require.NoError(t, none.Close())

	for _, bad := range []scalars.Places{{CSV: filepath.Join(dir, "none", "x.csv")}, {TensorBoard: filepath.Join(dir, "log-one.csv")}} {
		require.Error(t, bad.Try())
		_, err := bad.Open(0)
		require.Error(t, err)
	}
	_, err = scalars.Places{CSV: filepath.Join(dir, "new.csv"), TensorBoard: filepath.Join(dir, "log-one.csv")}.Open(0)
	require.Error(t, err)
}
