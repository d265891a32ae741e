package tensor_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"math"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

func generator(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func moments(v []float32) (mean, deviation float64) {
	for _, e := range v {
		mean += float64(e) / float64(len(v))
	}
	for _, e := range v {
		deviation += (float64(e) - mean) * (float64(e) - mean) / float64(len(v))
	}
	return mean, math.Sqrt(deviation)
}

func TestWeightsRoundTrip(t *testing.T) {
	testutil.NoLeak(t)
	p := convNet(t)
	run(t, tensor.Training, func(s *scope) error {
		require.NoError(t, p.PutBuffer(s, "count", s.FromInts([]int64{1 << 40}))) // a scalar
		require.NoError(t, p.PutBuffer(s, "double", s.FromFloat64s([]float64{math.Pi, -1e300}, 2)))
		require.NoError(t, p.PutBuffer(s, "bytes", s.FromBytes([]uint8{0, 255, 7}, 3, 1)))
		require.NoError(t, p.PutBuffer(s, "bool", s.Equal(s.FromInts([]int64{1, 2}, 2), s.FromInts([]int64{1, 1}, 2))))
		return p.PutBuffer(s, "empty", s.Zeros(0, 3))
	})
	saved := weights(t, p)
	// The weight lies channels-last in memory; what comes out is row-major.
	conv, err := saved[0].Floats()
	require.NoError(t, err)
	require.Equal(t, values(40, 4, 3, 3, 3), conv)

	path := filepath.Join(t.TempDir(), "w.safetensors")
	meta := map[string]string{"format": "pt", "made by": "a test"}
	require.NoError(t, tensor.SaveWeights(path, meta, saved))
	w, err := tensor.OpenWeights(path)
	require.NoError(t, err)
	require.Equal(t, saved, w.Arrays)
	require.Equal(t, meta, w.Metadata)

	file, err := os.ReadFile(path)
	require.NoError(t, err)
	w, err = tensor.ReadWeights(bytes.NewReader(file))
	require.NoError(t, err)
	require.Equal(t, saved, w.Arrays)
	var again bytes.Buffer
	n, err := p.Write(t.Context(), &again, meta)
	require.NoError(t, err)
	require.Equal(t, int64(again.Len()), n)
	require.Equal(t, file, again.Bytes(), "the same weights, the same bytes")

	// Into another network, and out again.
	q := convNet(t)
	require.NoError(t, q.SetArrays(t.Context(), w.Arrays[:7], nil))
	require.Equal(t, saved[:7], weights(t, q))
	run(t, tensor.Evaluation, func(s *scope) error {
		require.Equal(t, floats(t, s, p.Get("conv")), floats(t, s, q.Get("conv")))
		return s.Err()
	})
}

func TestBadWeightFiles(t *testing.T) {
	dir := t.TempDir()
	path := func(name string, content []byte) string {
		p := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(p, content, 0o644))
		return p
	}
	var good bytes.Buffer
	_, err := tensor.WriteWeights(&good, nil, []tensor.Array{tensor.FloatArray("w", []float32{1, 2, 3}, 3)})
	require.NoError(t, err)
	lies := bytes.Replace(good.Bytes(), []byte("[0,12]"), []byte("[0,99]"), 1)
	require.NotEqual(t, good.Bytes(), lies)
	for name, content := range map[string][]byte{
		"empty": nil, "short": {1, 2}, "truncated": good.Bytes()[:good.Len()-1], "longer": append(good.Bytes(), 0),
		"lies": lies, "huge header": append([]byte{255, 255, 255, 255, 255, 255, 255, 127}, "{}"...), "zip": []byte("PK\x03\x04nothing"),
	} {
		p := path(name, content)
		_, err := tensor.OpenWeights(p)
		require.ErrorContains(t, err, p, name)
		_, err = tensor.ReadWeights(bytes.NewReader(content))
		require.Error(t, err, name)
	}
	_, err = tensor.OpenWeights(filepath.Join(dir, "absent"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = tensor.WriteWeights(&good, nil, []tensor.Array{{Name: "half", DType: tensor.Float16, Shape: []int64{1}, Data: []byte{0, 0}}})
	require.Error(t, err, "a type that weight files of this package do not have")
	_, err = tensor.WriteWeights(&good, nil, []tensor.Array{{Name: "w", DType: tensor.Float32, Shape: []int64{2}, Data: []byte{0, 0}}})
	require.Error(t, err, "fewer bytes than the shape needs")
	_, err = tensor.Array{Name: "w", DType: tensor.Int64}.Floats()
	require.ErrorContains(t, err, "int64")
}

const childEnv = "TENSOR_TEST_LIMITED_PATH"

// A disk that is full in the middle of a checkpoint: a child process, because the
// limit belongs to the whole process, may write files of 64 KiB only.
func TestOldWeightsSurviveAFullDisk(t *testing.T) {
	if path := os.Getenv(childEnv); path != "" {
		saveLimited(t, path)
		return
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "checkpoint.safetensors")
	old := []tensor.Array{tensor.FloatArray("w", []float32{1, 2, 3}, 3)}
	require.NoError(t, tensor.SaveWeights(path, nil, old))
	cmd := exec.Command(os.Args[0], "-test.run=^TestOldWeightsSurviveAFullDisk$")
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "the system refused")
	w, err := tensor.OpenWeights(path)
	require.NoError(t, err)
	require.Equal(t, old, w.Arrays)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1, "no temporary file stays")
}

func saveLimited(t *testing.T, path string) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ) // so that the write fails, as it does on a full disk
	var old syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 64 << 10, Max: old.Max}))
	err := tensor.SaveWeights(path, nil, []tensor.Array{tensor.FloatArray("w", make([]float32, 1<<18), 1<<18)})
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old))
	require.ErrorIs(t, err, syscall.EFBIG)
	require.ErrorContains(t, err, path)
	fmt.Println("the system refused")
}
