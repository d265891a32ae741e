package testutil_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// recorder is a test that may fail without failing the real one.
type recorder struct {
	testing.TB
	cleanup []func()
	said    string
}

func (r *recorder) Helper()                      {}
func (r *recorder) Cleanup(f func())             { r.cleanup = append(r.cleanup, f) }
func (r *recorder) Errorf(f string, args ...any) { r.said += fmt.Sprintf(f, args...) }
func (r *recorder) Fatalf(f string, args ...any) { r.said += fmt.Sprintf(f, args...); panic(r) }
func (r *recorder) Fatal(args ...any)            { r.said += fmt.Sprint(args...); panic(r) }
func (r *recorder) end() string {
	for _, f := range r.cleanup {
		f()
	}
	return r.said
}
func (r *recorder) fatal(f func()) (message string) {
	defer func() {
		if recover() != any(r) {
			message = ""
		}
	}()
	defer func() { message = r.said }()
	f()
	return ""
}

func TestNoLeakSeesALeak(t *testing.T) {
	r := &recorder{TB: t}
	testutil.NoLeak(r)
	p := tensor.NewParams(tensor.CPU)
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		return p.Put(s, "w", s.Zeros(2))
	}))
	require.Contains(t, r.end(), "+1 native tensors")
	require.NoError(t, p.Close())

	r = &recorder{TB: t}
	testutil.NoLeak(r)
	require.Empty(t, r.end())
}

func TestFixture(t *testing.T) {
	dir := t.TempDir()
	file := func(content string) string {
		path := filepath.Join(dir, "f.json")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		return path
	}
	refs := testutil.Fixture(t, file(`{"a": {"shape": [2], "values": [1, -4]}}`))
	a := refs["a"]
	require.NoError(t, a.Compare([]int64{2}, []float32{1, -4}, 0))
	require.NoError(t, a.Compare([]int64{2}, []float32{1.03, -4}, 0.01))
	require.ErrorContains(t, a.Compare([]int64{2}, []float32{1.05, -4}, 0.01), "value 0")
	require.ErrorContains(t, a.Compare([]int64{2}, []float32{1, float32(math.NaN())}, 0.01), "value 1")
	require.ErrorContains(t, a.Compare([]int64{1, 2}, []float32{1, -4}, 0.01), "shape")
	require.ErrorContains(t, a.Compare([]int64{2}, []float32{1}, 0.01), "1 values")

	for content, want := range map[string]string{
		`{"flat": {"shape": [2], "values": [1, 1.01]}}`: "flat: values spread",
		`{}`: "no arrays",
		`[]`: "cannot unmarshal",
	} {
		path := file(content)
		r := &recorder{TB: t}
		require.Contains(t, r.fatal(func() { testutil.Fixture(r, path) }), want)
	}
}
