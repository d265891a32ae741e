package figures

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }

func TestSpaced(t *testing.T) {
	require.Equal(t, []int{3, 5, 7}, spaced([]int{3, 4, 5, 6, 7, 8}, 3))
	require.Equal(t, []int{3, 4}, spaced([]int{3, 4}, 9))
}

// small compares two random networks on two classes.
func small(t *testing.T) Config {
	t.Helper()
	c := Default()
	c.Data = testutil.Plant(t, 6, 6, true)
	view, err := dataset.ParseView("64x64")
	require.NoError(t, err)
	c.Reading.View = view
	for i := range c.Nets {
		net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, uint64(i))))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, net.Close()) })
		c.Nets[i] = Network{net, []string{"one", "two"}[i]}
	}
	return c
}

func TestFigures(t *testing.T) {
	c := small(t)
	c.Classes = []string{"steel"}
	var said strings.Builder
	c.Print = &said
	m, err := Points(t.Context(), c)
	require.NoError(t, err)
	require.Greater(t, m.Rect.Dx(), 2*side)
	require.Equal(t, 2, strings.Count(said.String(), "trustworthiness of"))
	m, err = Maps(t.Context(), c)
	require.NoError(t, err)
	require.Greater(t, m.Rect.Dx(), 4*64)
	require.Contains(t, said.String(), "two: steel: image AUROC ")
}

// Images that cannot be read are named, or left out.
func TestBrokenImages(t *testing.T) {
	c := small(t)
	c.Classes, c.Rows = []string{"steel"}, 9
	files, err := filepath.Glob(filepath.Join(c.Data, "steel", "test", "hole", "*"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(files[0], nil, 0o644))
	for _, draw := range []func() error{func() error { _, err := Points(t.Context(), c); return err }, func() error { _, err := Maps(t.Context(), c); return err }} {
		require.ErrorIs(t, draw(), dataset.ErrBroken)
	}
	c.Reading.SkipBroken = true
	var said, log strings.Builder
	c.Print, c.Log = &said, &log
	_, err = Maps(t.Context(), c)
	require.NoError(t, err)
	require.Contains(t, said.String(), "of 11 images")
	require.Contains(t, log.String(), "note: left out: ")
}

func TestConfigsThatAreRefused(t *testing.T) {
	whole := small(t)
	tiles, err := dataset.ParseView("tiles")
	require.NoError(t, err)
	for says, set := range map[string]func(*Config){
		"Data is empty":    func(c *Config) { c.Data = "" },
		"nil network":      func(c *Config) { c.Nets[1].ResNet = nil },
		"no whole image":   func(c *Config) { c.Reading.View = tiles },
		"Layers is empty":  func(c *Config) { c.Layers = nil },
		"Most is 1":        func(c *Config) { c.Most = 1 },
		"Perplexity is 1,": func(c *Config) { c.Perplexity = 1 },
		"Rows is 0":        func(c *Config) { c.Rows = 0 },
		"Method is":        func(c *Config) { c.Method = "guess" },
	} {
		c := whole
		set(&c)
		for _, draw := range []func() error{func() error { _, err := Points(t.Context(), c); return err }, func() error { _, err := Maps(t.Context(), c); return err }} {
			require.ErrorIs(t, draw(), ErrConfig)
			require.ErrorContains(t, draw(), says)
		}
	}
}

// Files and drawn weights stand side by side, and nothing is left open after an error.
func TestOpen(t *testing.T) {
	testutil.NoLeak(t)
	drawn, err := Open([2]string{Random, Random}, "", 1, tensor.CPU)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "plant.safetensors")
	require.NoError(t, drawn[1].Save(file))
	mixed, err := Open([2]string{Random, file}, "", 1, tensor.CPU)
	require.NoError(t, err)
	require.Equal(t, [2]string{"random", "plant"}, [2]string{mixed[0].Name, mixed[1].Name})
	var first [4][]byte // array of each
	for i, n := range []Network{drawn[0], drawn[1], mixed[0], mixed[1]} {
		arrays, err := n.Params().Arrays(t.Context())
		require.NoError(t, err)
		first[i] = arrays[0].Data
		require.NoError(t, n.Close())
	}
	require.NotEqual(t, first[0], first[1])
	require.Equal(t, first[:2], first[2:])
	_, err = Open([2]string{Random, file + "x"}, "", 1, tensor.CPU)
	require.ErrorIs(t, err, os.ErrNotExist)
}
