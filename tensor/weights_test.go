package tensor_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
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

// What people put where weights should be, and what the message says of it.
func TestFilesThatAreNoWeights(t *testing.T) {
	for content, says := range map[string]string{
		"": "the file is empty",
		"<!DOCTYPE html><html><body>404</body></html>": "web page",
		"\n <HTML>": "web page",
		"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4683\n": "git lfs pull",
		"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03":                                 "gunzip",
		"\x89HDF\r\n\x1a\n": "HDF5",
		"hello\n":           `a text that begins with "hello\n"`,
		strings.Repeat("\x00", 257) + "ustar\x0000": "tar -x",
	} {
		_, err := tensor.NewWeightFile(strings.NewReader(content), int64(len(content)))
		require.ErrorIs(t, err, tensor.ErrWeightFile, says)
		require.ErrorContains(t, err, says)
	}
	_, err := tensor.OpenWeightFile(t.TempDir())
	require.ErrorIs(t, err, tensor.ErrWeightFile)
	require.ErrorContains(t, err, "it is a folder")
}

// Types that no array has are listed and not read, and small integers come out exact.
func TestArraysAreReadOneByOne(t *testing.T) {
	header := `{"new":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]},"i8":{"dtype":"I8","shape":[2],"data_offsets":[2,4]},` +
		`"i16":{"dtype":"I16","shape":[1],"data_offsets":[4,6]},"i32":{"dtype":"I32","shape":[],"data_offsets":[6,10]}}`
	b := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	b = append(b, 1, 2, 0x80, 0x7f, 0xfe, 0xff, 0xfd, 0xff, 0xff, 0xff)
	f, err := tensor.NewWeightFile(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	require.Equal(t, tensor.WeightInfo{Name: "new", Type: "F8_E4M3", Shape: []int64{2}, Bytes: 2}, f.Infos()[0])
	for name, want := range map[string]tensor.Array{
		"i8": tensor.IntArray("i8", []int64{-128, 127}, 2), "i16": tensor.IntArray("i16", []int64{-2}, 1), "i32": tensor.IntArray("i32", []int64{-3}),
	} {
		got, err := f.Array(name)
		require.NoError(t, err)
		require.Equal(t, want.DType, got.DType)
		require.Equal(t, want.Data, got.Data)
		require.Len(t, got.Shape, len(want.Shape))
	}
	_, err = f.Array("new")
	require.ErrorContains(t, err, "F8_E4M3")
	_, err = f.Array("absent")
	require.Error(t, err)
	_, err = tensor.ReadWeights(bytes.NewReader(b))
	require.ErrorContains(t, err, "F8_E4M3", "who wants all is told what cannot be had")
}

// lone hides that a stream has places.
type lone struct{ io.Reader }

// A stream gives the same arrays whether they are read from their places later or kept from the beginning, also from the middle
// of a file, and parts of them.
func TestWeightFilesFromStreams(t *testing.T) {
	arrays := []tensor.Array{tensor.FloatArray("w", []float32{1, 2, 3, 4, 5}, 5), tensor.IntArray("n", []int64{7}, 1)}
	var file bytes.Buffer
	_, err := tensor.WriteWeights(&file, map[string]string{"a": "b"}, arrays)
	require.NoError(t, err)
	inside := append([]byte("before"), file.Bytes()...)
	path := filepath.Join(t.TempDir(), "w")
	require.NoError(t, os.WriteFile(path, inside, 0o644))
	disk, err := os.Open(path)
	require.NoError(t, err)
	defer disk.Close()
	middle := bytes.NewReader(inside)
	for _, r := range []io.Seeker{disk, middle} {
		_, err := r.Seek(6, io.SeekStart)
		require.NoError(t, err)
	}
	pipe, in, err := os.Pipe()
	require.NoError(t, err)
	defer pipe.Close()
	_, err = in.Write(file.Bytes())
	require.NoError(t, err)
	require.NoError(t, in.Close())
	for name, r := range map[string]io.Reader{
		"disk": disk, "memory": middle, "buffer": bytes.NewBuffer(bytes.Clone(file.Bytes())), "stream": lone{bytes.NewReader(file.Bytes())}, "pipe": pipe,
	} {
		f, err := tensor.ReadWeightFile(r)
		require.NoError(t, err, name)
		left, err := io.ReadAll(r)
		require.NoError(t, err, name)
		require.Empty(t, left, name)
		require.Equal(t, map[string]string{"a": "b"}, f.Metadata(), name)
		for _, want := range arrays {
			got, err := f.Array(want.Name)
			require.NoError(t, err, name)
			require.Equal(t, want, got, name)
			for at := range len(want.Data) + 1 {
				part := make([]byte, min(8, len(want.Data)-at))
				require.NoError(t, f.Part(want.Name, part, int64(at)), name)
				require.Equal(t, want.Data[at:at+len(part)], part, name)
			}
			for _, at := range []int64{-1, int64(len(want.Data)) - 1, math.MaxInt64, math.MinInt64} {
				require.Error(t, f.Part(want.Name, make([]byte, 2), at), "%s at %d", name, at)
			}
		}
		require.Error(t, f.Part("absent", nil, 0), name)
	}
	require.ErrorIs(t, (&tensor.WeightFile{}).Part("w", nil, 0), tensor.ErrWeightFile)
	for _, r := range []io.Reader{bytes.NewReader(nil), lone{bytes.NewReader(nil)}, bytes.NewReader(inside), bytes.NewReader(file.Bytes()[:file.Len()-1])} {
		_, err = tensor.ReadWeightFile(r)
		require.Error(t, err)
	}
}

// Every place of an array is looked at, with ends of any length.
func TestArraysThatAreNotFinite(t *testing.T) {
	for n := range 40 {
		v := make([]float32, n)
		for i := range v {
			v[i] = []float32{math.MaxFloat32, -math.MaxFloat32, 0, math.SmallestNonzeroFloat32}[i%4]
		}
		require.NoError(t, tensor.FloatArray("w", v, int64(n)).CheckFinite())
		double := tensor.Array{Name: "d", DType: tensor.Float64, Shape: []int64{int64(n)}, Data: bytes.Repeat([]byte{255, 255, 255, 255, 255, 255, 0xef, 0x7f}, n)}
		require.NoError(t, double.CheckFinite())
		for i := range v {
			for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.Float32frombits(0xff800001)} {
				w := slices.Clone(v)
				w[i] = bad
				require.ErrorIs(t, tensor.FloatArray("w", w, int64(n)).CheckFinite(), tensor.ErrNotFinite)
			}
			for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				d := double
				d.Data = bytes.Clone(d.Data)
				binary.LittleEndian.PutUint64(d.Data[8*i:], math.Float64bits(bad))
				require.ErrorIs(t, d.CheckFinite(), tensor.ErrNotFinite)
			}
		}
	}
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
