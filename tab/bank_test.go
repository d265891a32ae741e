package tab_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/safetensors"
	"github.com/gotab/gotab/prompt"
	"github.com/gotab/gotab/tab"
)

func TestBankRoundTrip(t *testing.T) {
	b := bank(t, 8)
	b.Model, b.Prompts = "some model", "some hash"
	b.Provenance = map[string]string{"license": "MIT", "model_sha256": "00"}
	var buf bytes.Buffer
	_, err := b.WriteTo(&buf)
	require.NoError(t, err)
	got, err := tab.ReadBank(&buf)
	require.NoError(t, err)
	require.Equal(t, b, got)

	n, a, err := got.Anchors(t.Context(), []string{"steel"})
	require.NoError(t, err)
	require.Equal(t, [][]float32{b.Normal[1]}, n)
	require.Equal(t, [][]float32{b.Abnormal[1]}, a)
	_, _, err = got.Anchors(t.Context(), []string{"steel", "wood", "glass"})
	require.ErrorIs(t, err, tab.ErrUnknownClass)
	require.ErrorContains(t, err, `["wood" "glass"]`)

	path := filepath.Join(t.TempDir(), "bank.safetensors")
	require.NoError(t, b.Save(path))
	got, err = tab.OpenBank(path)
	require.NoError(t, err)
	require.Equal(t, b, got)
	for text, says := range map[string]string{"": "the file is empty", "<html>": "it is a web page"} {
		stranger := filepath.Join(t.TempDir(), "bank.safetensors")
		require.NoError(t, os.WriteFile(stranger, []byte(text), 0o644))
		_, err = tab.OpenBank(stranger)
		require.ErrorIs(t, err, tab.ErrBank)
		require.ErrorContains(t, err, says)
	}
	_, err = tab.OpenBank(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// What a bank's own fields have is not written twice.
func TestProvenanceKeepsOffTheBanksKeys(t *testing.T) {
	for _, key := range []string{"classes", "model", "prompts", "format"} {
		b := bank(t, 8)
		b.Provenance = map[string]string{key: "x"}
		_, err := b.WriteTo(io.Discard)
		require.ErrorIs(t, err, tab.ErrBank)
		require.ErrorContains(t, err, key)
	}
}

func file(t testing.TB, classes string, tensors ...safetensors.Tensor) []byte {
	t.Helper()
	var buf bytes.Buffer
	_, err := safetensors.Write(&buf, map[string]string{"classes": classes}, tensors)
	require.NoError(t, err)
	return buf.Bytes()
}

func rows(name string, shape []int64, v ...float32) safetensors.Tensor {
	return safetensors.Tensor{Name: name, DType: safetensors.F32, Shape: shape, Data: safetensors.Float32Bytes(v)}
}

func TestBanksThatMakeNoSense(t *testing.T) {
	two := []int64{2, 2}
	n, a := rows("normal", two, 1, 0, 0, 1), rows("abnormal", two, 0, 1, 1, 0)
	_, err := tab.ReadBank(bytes.NewReader(file(t, `["a","b"]`, n, a)))
	require.NoError(t, err)
	for name, b := range map[string][]byte{
		"no list":       file(t, `a b`, n, a),
		"other count":   file(t, `["a","b","c"]`, n, a),
		"twice":         file(t, `["a","a"]`, n, a),
		"no abnormal":   file(t, `["a","b"]`, n),
		"other width":   file(t, `["a","b"]`, n, rows("abnormal", []int64{2, 1}, 1, 1)),
		"not unit":      file(t, `["a","b"]`, n, rows("abnormal", two, 3, 0, 0, 1)),
		"three dims":    file(t, `["a","b"]`, n, rows("abnormal", []int64{2, 2, 1}, 1, 0, 0, 1)),
		"nothing at it": file(t, `[]`, rows("normal", []int64{0, 2}), rows("abnormal", []int64{0, 2})),
	} {
		_, err := tab.ReadBank(bytes.NewReader(b))
		require.ErrorIs(t, err, tab.ErrBank, name)
	}
}

func FuzzReadBank(f *testing.F) {
	f.Add(file(f, `["a","b"]`, rows("normal", []int64{2, 2}, 1, 0, 0, 1), rows("abnormal", []int64{2, 2}, 0, 1, 1, 0)))
	f.Add(file(f, `["a"]`, rows("normal", []int64{1, 1}, 1)))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\x7f{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		bank, err := tab.ReadBank(bytes.NewReader(b))
		if err != nil {
			return
		}
		if len(bank.Classes) == 0 || len(bank.Normal) != len(bank.Classes) || len(bank.Abnormal) != len(bank.Classes) {
			t.Fatalf("accepted a bank of %d classes with %d and %d rows", len(bank.Classes), len(bank.Normal), len(bank.Abnormal))
		}
	})
}

func TestAnchorsFromText(t *testing.T) {
	p := prompt.IDPA{Normal: []string{"good {}", "fine {}"}, Abnormal: []string{"bad {}"}, Templates: []string{"a {}."}, Names: prompt.Cleaned}
	// Lengths of the sentences' vectors must not matter, and the mean is of unit length.
	enc := encoder(func(s string) []float32 {
		switch s {
		case "a good screw.":
			return []float32{10, 0}
		case "a fine screw.":
			return []float32{0, 0.1}
		}
		return []float32{-3, 0}
	})
	n, a, err := tab.FromText(enc, p).Anchors(t.Context(), []string{"screw"})
	require.NoError(t, err)
	require.InDeltaSlice(t, []float32{0.70710678, 0.70710678}, n[0], 1e-6)
	require.Equal(t, []float32{-1, 0}, a[0])

	b, err := tab.MakeBank(t.Context(), tab.FromText(enc, p), []string{"screw"}, "m", p.Hash())
	require.NoError(t, err)
	require.Equal(t, n, b.Normal)

	boom := errors.New("boom")
	_, _, err = tab.FromText(failing{boom}, p).Anchors(t.Context(), []string{"screw"})
	require.ErrorIs(t, err, boom)
	require.ErrorContains(t, err, "screw")
	_, _, err = tab.FromText(encoder(func(string) []float32 { return []float32{0, 0} }), p).Anchors(t.Context(), []string{"screw"})
	require.ErrorContains(t, err, "length 0")
}

type failing struct{ err error }

func (f failing) Encode(context.Context, []string) ([][]float32, error) { return nil, f.err }

func TestSharedBank(t *testing.T) {
	path := filepath.Join("..", "..", "shared", "weights", "bank-minilm.safetensors")
	if _, err := os.Stat(path); err != nil {
		t.Skip("the measurement bank is not here: ", err)
	}
	b, err := tab.OpenBank(path)
	require.NoError(t, err)
	require.Len(t, b.Classes, 15)
}

// The table names the nearest other class, and the words of the sentences.
func TestBankTable(t *testing.T) {
	b := &tab.Bank{Classes: []string{"pcb_01", "glass", "wood"}, Normal: [][]float32{{1, 0}, {0.6, 0.8}, {0, 1}}, Abnormal: [][]float32{{0, 1}, {0.6, 0.8}, {1, 0}}}
	var out bytes.Buffer
	p := prompt.DefaultIDPA().With(map[string]string{"pcb_01": "printed circuit board"})
	require.NoError(t, b.WriteTable(&out, p))
	require.Contains(t, out.String(), "224 normal, 224 damaged sentences")
	require.Regexp(t, `(?m)^pcb_01 +printed circuit board +0\.000 +glass +0\.600$`, out.String())
	require.Regexp(t, `(?m)^glass +glass +1\.000 +wood +0\.800$`, out.String())
	out.Reset()
	one := &tab.Bank{Classes: b.Classes[:1], Normal: b.Normal[:1], Abnormal: b.Abnormal[:1]}
	require.NoError(t, one.WriteTable(&out, p))
	require.Regexp(t, `(?m)^pcb_01 +printed circuit board +0\.000 +- +-$`, out.String())
	require.ErrorIs(t, b.WriteTable(nil, p), tab.ErrConfig)
	require.ErrorIs(t, new(tab.Bank).WriteTable(&out, p), tab.ErrBank)
}
