package curves_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/examples/internal/curves"
)

func TestLogsOfTrainings(t *testing.T) {
	dir := t.TempDir()
	var f curves.Flags
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	f.Add(fs)
	require.NoError(t, fs.Parse([]string{"-tensorboard", filepath.Join(dir, "runs"), "-csv", filepath.Join(dir, "log.csv")}))
	require.NoError(t, f.Check())
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
	none, err := curves.Flags{}.Of("one").Open(0)
	require.NoError(t, err)
	require.NoError(t, none.Add(1, maps.All(map[string]float64{"loss": 1})))
	require.NoError(t, none.Close())

	for _, bad := range []curves.Flags{{CSV: filepath.Join(dir, "none", "x.csv")}, {TensorBoard: filepath.Join(dir, "log-one.csv")}} {
		require.Error(t, bad.Check())
		_, err := bad.Open(0)
		require.Error(t, err)
	}
	_, err = curves.Flags{CSV: filepath.Join(dir, "new.csv"), TensorBoard: filepath.Join(dir, "log-one.csv")}.Open(0)
	require.Error(t, err)
}
