package compare

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/dataset/wafers"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

func TestWeightsAreToldApart(t *testing.T) {
	for _, c := range []struct{ weights, want []string }{
		{[]string{"random", "runs/plant.pth"}, []string{"random", "plant"}},
		{[]string{"runs/plant.pth", "runs/plant.safetensors"}, []string{"plant.pth", "plant.safetensors"}},
		{[]string{"a/plant.pth", "b/plant.pth"}, []string{"a/plant.pth", "b/plant.pth"}},
		{[]string{"a/x/plant.pth", "./b/x/plant.pth", "c.pth"}, []string{"a/x/plant.pth", "b/x/plant.pth", "c"}},
		// Files could be told apart by their names, but not by those of the classifiers.
		{[]string{"a b.pth", "a_b.pth", "c/d.pth"}, nil},
		{[]string{"a/plant.pth", "a/../a/plant.pth"}, nil},
	} {
		got, err := weightsNames(c.weights)
		if c.want == nil {
			require.ErrorContains(t, err, "two of them are the same", c.weights)
			continue
		}
		require.NoError(t, err, c.weights)
		require.Equal(t, c.want, got)
	}
	// Before the data are opened.
	c := Default(true)
	c.Data, c.Weights = "none.npz", []string{"w.pth", "./w.pth"}
	_, err := Run(t.Context(), c)
	require.ErrorContains(t, err, "w.pth,./w.pth: ")
}

func TestConfigsThatAreRefused(t *testing.T) {
	square, err := dataset.ParseView("square")
	require.NoError(t, err)
	for says, set := range map[string]func(*Config){
		"Data is empty":               func(c *Config) { c.Data = "" },
		"Sigmoids are for wafer maps": func(c *Config) { c.Data = "folder" },
		"Neighbour and Encoding":      func(c *Config) { c.Data, c.Models, c.Neighbour = "folder", []string{Softmax}, true },
		"both be wafer maps":          func(c *Config) { c.Test = "folder" },
		"Save needs Out":              func(c *Config) { c.Save = true },
		"Weights is empty":            func(c *Config) { c.Weights = nil },
		"Reading.View is square":      func(c *Config) { c.Reading.View = square },
		"Size is 31":                  func(c *Config) { c.Size = 31 },
		"Splits is empty":             func(c *Config) { c.Splits = nil },
		`Backbones has "warm"`:        func(c *Config) { c.Backbones = []string{"warm"} },
		`Models has "tree"`:           func(c *Config) { c.Models = []string{"tree"} },
		`Label has "name"`:            func(c *Config) { c.Label = "name" },
		`Encoding has "red"`:          func(c *Config) { c.Encoding = "red" },
	} {
		c := Default(true)
		c.Data, c.Weights = "maps.npz", []string{"random"}
		set(&c)
		_, err := Run(t.Context(), c)
		require.ErrorIs(t, err, ErrConfig, says)
		require.ErrorContains(t, err, says)
	}
}

// From Go: a few maps, one frozen backbone, a report that is written and kept.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "maps.npz")
	var b bytes.Buffer
	require.NoError(t, wafers.Write(t.Context(), &b, 1, wafers.Even(2)))
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
	c := Default(true)
	c.Data, c.Weights, c.Device, c.Backbones, c.Size, c.HeadEpochs, c.Neighbour = path, []string{"random"}, tensor.CPU, []string{Frozen}, 32, 2, true
	c.Out = filepath.Join(dir, "out")
	r, err := Run(t.Context(), c)
	require.NoError(t, err)
	require.Len(t, r.Rows, 2)
	require.Equal(t, "nearest neighbour", r.Rows[0].Model)
	require.Equal(t, Frozen, r.Rows[1].Backbone)
	require.FileExists(t, filepath.Join(c.Out, "report.json"))
	_, err = Run(t.Context(), c)
	require.ErrorIs(t, err, ErrExists)

	// A report that was read from its file says the same.
	raw, err := os.ReadFile(filepath.Join(c.Out, "report.json"))
	require.NoError(t, err)
	var read Report
	require.NoError(t, json.Unmarshal(raw, &read))
	var want, got strings.Builder
	require.NoError(t, r.WriteText(&want))
	require.NoError(t, read.WriteText(&got))
	require.Equal(t, want.String(), got.String())
	require.Contains(t, got.String(), "maps.npz, 32x32 pixels, grey, seed 1, AdamW")
}

// Models are paired with those of the first weights, split, backbone and kind alike.
func TestPairs(t *testing.T) {
	row := func(split, b, weights, m, right string) Row {
		return Row{Split: split, Backbone: b, Weights: weights, Model: m, TallyFigures: metrics.TallyFigures{Right: right}}
	}
	r := Report{Data: "maps.npz", Rows: []Row{
		row(Plain, Frozen, "a", Softmax, "1100"), row(Plain, Frozen, "a", Sigmoids, "0000"),
		row(Plain, Frozen, "b", Softmax, "1011"), row(Plain, Frozen, "b", Sigmoids, "1000"),
		row(Plain, Frozen, "c", Softmax, "1111"), row(Plain, Trained, "c", Softmax, "1111"),
		row(Stratified, Frozen, "b", Softmax, "11"), row(Stratified, Frozen, "old", Softmax, ""),
	}}
	pairs, err := r.Pairs()
	require.NoError(t, err)
	type one struct {
		weights, first, model string
		only, onlyFirst       int
		difference            float64
	}
	var got []one
	for _, p := range pairs {
		require.Equal(t, p.Row.Split, p.First.Split)
		require.Equal(t, p.Row.Backbone, p.First.Backbone)
		got = append(got, one{p.Row.Weights, p.First.Weights, p.Row.Model, p.OnlyA, p.OnlyB, p.Difference.Value})
	}
	require.Equal(t, []one{{"b", "a", Softmax, 2, 1, 0.25}, {"b", "a", Sigmoids, 1, 0, 0.25}, {"c", "a", Softmax, 2, 0, 0.5}}, got)
	var text strings.Builder
	require.NoError(t, r.WriteTable(&text))
	require.Contains(t, text.String(), "less the first weights")
	require.Regexp(t, `plain +frozen +softmax +c +a +\+50.00 +\[[-+]\d+.\d\d, \+\d+.\d\d\] +2 +0 +0.5`, text.String())

	r.Rows = append(r.Rows, row(Plain, Frozen, "d", Softmax, "11"))
	_, err = r.Pairs()
	require.ErrorIs(t, err, metrics.ErrLength)
	require.ErrorContains(t, err, "weights d and a")
	require.ErrorIs(t, r.WriteTable(&text), metrics.ErrLength)

	text.Reset()
	r.Rows = r.Rows[:1]
	require.NoError(t, r.WriteTable(&text))
	require.NotContains(t, text.String(), "less the first", "there is nothing to hold it against")
}

// maps writes good maps of a size in MixedWM38's format.
func maps(t *testing.T, w, h int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "maps.npz")
	const n = 2
	f, err := os.Create(path)
	require.NoError(t, err)
	z := zip.NewWriter(f)
	for name, shape := range map[string][]int{"arr_0": {n, h, w}, "arr_1": {n, 8}} {
		one, err := z.Create(name + ".npy")
		require.NoError(t, err)
		count := 1
		for _, d := range shape {
			count *= d
		}
		text := strings.Trim(strings.ReplaceAll(fmt.Sprint(shape), " ", ", "), "[]")
		head := fmt.Sprintf("{'descr': '<i4', 'fortran_order': False, 'shape': (%s), }", text)
		head += strings.Repeat(" ", 63-(10+len(head))%64) + "\n"
		_, err = fmt.Fprintf(one, "\x93NUMPY\x01\x00%s%s", binary.LittleEndian.AppendUint16(nil, uint16(len(head))), head)
		require.NoError(t, err)
		_, err = one.Write(make([]byte, 4*count))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	require.NoError(t, f.Close())
	return path
}

// Maps of two sizes have no distance: of fewer dies, and of as many in another shape.
func TestNeighboursHaveOneSize(t *testing.T) {
	for _, test := range [][2]int{{40, 40}, {10, 10}, {32, 8}} {
		c := Default(true)
		c.Data, c.Test, c.Weights, c.Device, c.Neighbour = maps(t, 16, 16), maps(t, test[0], test[1]), []string{"random"}, tensor.CPU, true
		r, err := Run(t.Context(), c)
		require.ErrorIs(t, err, ErrConfig)
		require.ErrorContains(t, err, fmt.Sprintf("16x16 dies, maps to test on %dx%d", test[0], test[1]))
		require.Empty(t, r.Rows)
	}
}

// What the caller says of a folder is not guessed.
func TestLayoutAndLabel(t *testing.T) {
	root := t.TempDir()
	for _, folder := range []string{"good", "bad"} {
		require.NoError(t, os.Mkdir(filepath.Join(root, folder), 0o755))
		f, err := os.Create(filepath.Join(root, folder, "0.png"))
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, image.NewGray(image.Rect(0, 0, 8, 8))))
		require.NoError(t, f.Close())
	}
	for _, c := range []struct {
		layout     dataset.Layout
		label      string
		wantLayout dataset.Layout
		wantLabel  string
	}{
		{"", "", dataset.LayoutGoodBad, "defect"},
		{dataset.LayoutFolders, "", dataset.LayoutFolders, "class"},
		{"", "class", dataset.LayoutFolders, "class"},
		{dataset.LayoutMVTecAD, "defect", dataset.LayoutMVTecAD, "defect"},
	} {
		o := Default(false)
		o.Data, o.Layout, o.Label, o.Log = root, c.layout, c.label, io.Discard
		o = o.resolved()
		require.Equal(t, c.wantLayout, o.Layout)
		require.Equal(t, c.wantLabel, o.Label)
	}
}
