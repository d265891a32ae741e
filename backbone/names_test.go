package backbone_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// librariesNames is what testdata/names/names.py wrote.
type librariesNames struct {
	HuggingFace map[string]map[string][]int64 // by architecture and name
	Timm        map[string]string             // SHA-256 of the lines
}

func writtenAs(t *testing.T, m *backbone.ResNet, names backbone.Names) []tensor.Array {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, m.WriteAs(t.Context(), &b, names))
	w, err := tensor.ReadWeights(&b)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"format": "pt", "architecture": m.Arch().String()}, w.Metadata)
	return w.Arrays
}

// The libraries' own lists are written, no name more and none less, with their shapes,
// and what is written comes back the same.
func TestNamesAreThoseOfTheLibraries(t *testing.T) {
	testutil.NoLeak(t)
	b, err := os.ReadFile("testdata/names/names.json")
	require.NoError(t, err)
	var want librariesNames
	require.NoError(t, json.Unmarshal(b, &want))
	for _, arch := range []backbone.Arch{backbone.ArchResNet18, backbone.ArchResNet50} {
		m, err := backbone.New(arch, tensor.CPU, newRand())
		require.NoError(t, err)
		plain := writtenAs(t, m, backbone.Torchvision)
		require.Equal(t, plain, writtenAs(t, m, backbone.Timm))
		var lines []string
		for _, a := range plain {
			lines = append(lines, a.Name+" "+strings.ReplaceAll(fmt.Sprint(a.Shape), " ", ", "))
		}
		slices.Sort(lines)
		require.Equal(t, want.Timm[arch.String()], fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(lines, "\n")))))
		named := writtenAs(t, m, backbone.HuggingFace)
		require.Len(t, named, len(want.HuggingFace[arch.String()]))
		for i, a := range named {
			shape, ok := want.HuggingFace[arch.String()][a.Name]
			require.True(t, ok, a.Name)
			require.Equal(t, shape, a.Shape, a.Name)
			require.Equal(t, plain[i].Data, a.Data)
		}
		again, err := backbone.FromWeights(&tensor.Weights{Arrays: named}, tensor.CPU)
		require.NoError(t, err)
		back := writtenAs(t, again, backbone.Torchvision)
		require.NoError(t, again.Close())
		for i, a := range back {
			if !strings.HasPrefix(a.Name, "fc.") { // a head that is not read: its names are the other library's
				require.Equal(t, plain[i], a)
			}
		}
		require.NoError(t, m.Close())
	}
}

func TestNamesParse(t *testing.T) {
	for _, n := range []backbone.Names{backbone.Torchvision, backbone.Timm, backbone.HuggingFace} {
		got, err := backbone.ParseNames(n.String())
		require.NoError(t, err)
		require.Equal(t, n, got)
	}
	for _, s := range []string{"", "TIMM", "names(7)"} {
		_, err := backbone.ParseNames(s)
		require.ErrorIs(t, err, backbone.ErrNames, s)
	}
	require.Equal(t, "names(-1)", backbone.Names(-1).String())
	require.Equal(t, "names(7)", backbone.Names(7).String())
}

func TestNamesThatAreNot(t *testing.T) {
	for _, name := range []string{
		"", "layer1", "layer1.0", "layer1.0.conv1", "layer0.0.conv1.weight", "layer5.0.conv1.weight", "1.0.conv1.weight", "layer10.0.conv1.weight",
		"layer1.0.conv4.weight", "layer1.0.conv.weight", "layer1.0.se.weight", "layer1.0.downsample.2.weight", "projection.weight",
	} {
		_, err := backbone.HuggingFace.Rename([]tensor.Array{{Name: name}})
		require.ErrorIs(t, err, backbone.ErrNames, name)
	}
	for _, n := range []backbone.Names{-1, 3} {
		_, err := n.Rename(nil)
		require.ErrorIs(t, err, backbone.ErrNames)
	}
	wide := []tensor.Array{{Name: "layer1.0.conv1.weight", Shape: []int64{128, 64, 1, 1}}, {Name: "layer1.0.conv3.weight", Shape: []int64{256, 128, 1, 1}}}
	_, err := backbone.HuggingFace.Rename(wide)
	require.ErrorIs(t, err, backbone.ErrArch)
}

func TestSaveAs(t *testing.T) {
	m, err := backbone.NewResNet18(tensor.CPU, newRand())
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "net.safetensors")
	require.ErrorIs(t, m.SaveAs(t.Context(), path, 9), backbone.ErrNames)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, m.SaveAs(ctx, path, backbone.HuggingFace), context.Canceled)
	require.NoFileExists(t, path)
	require.NoError(t, m.SaveAs(t.Context(), path, backbone.HuggingFace))
	w, err := tensor.OpenWeights(path)
	require.NoError(t, err)
	require.Equal(t, writtenAs(t, m, backbone.HuggingFace), w.Arrays)
	require.NoError(t, m.Close())
	require.ErrorIs(t, m.SaveAs(t.Context(), path, backbone.Torchvision), backbone.ErrClosed)
}
