package compare

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset/wafers"

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
	for says, set := range map[string]func(*Config){
		"Data is empty":               func(c *Config) { c.Data = "" },
		"Sigmoids are for wafer maps": func(c *Config) { c.Data = "folder" },
		"Neighbour and Encoding":      func(c *Config) { c.Data, c.Models, c.Neighbour = "folder", []string{Softmax}, true },
		"both be wafer maps":          func(c *Config) { c.Test = "folder" },
		"Save needs Out":              func(c *Config) { c.Save = true },
		"Size is 31":                  func(c *Config) { c.Size = 31 },
		"Splits is empty":             func(c *Config) { c.Splits = nil },
		`Backbones has "warm"`:        func(c *Config) { c.Backbones = []string{"warm"} },
		`Models has "tree"`:           func(c *Config) { c.Models = []string{"tree"} },
		`Label has "name"`:            func(c *Config) { c.Label = "name" },
		`Encoding has "red"`:          func(c *Config) { c.Encoding = "red" },
	} {
		c := Default(true)
		c.Data = "maps.npz"
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
}
