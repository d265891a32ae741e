package session

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/internal/testutil"
)

// manifestOf makes a plant a data set by its manifest, in which the folders a and b are one class whose parts with
// holes are of one kind.
func manifestOf(t *testing.T, class, kind string) (root string) {
	t.Helper()
	root = t.TempDir()
	testutil.PlantIn(t, root, 3, 2, true, "a", "b")
	all, err := dataset.OpenMVTecAD(root, "", "")
	require.NoError(t, err)
	items := dataset.Items(all)
	for i := range items {
		if items[i].Class = class; items[i].Defect == "hole" {
			items[i].Defect = kind
		}
	}
	f, err := os.Create(filepath.Join(root, dataset.ManifestFile))
	require.NoError(t, err)
	require.NoError(t, dataset.WriteManifest(f, items))
	require.NoError(t, f.Close())
	return root
}

// What a manifest calls a class and a kind of defect names no folder outside of Maps, and each image has a
// picture of its own.
func TestMapsStayInTheirFolder(t *testing.T) {
	for name, of := range map[string]struct{ class, kind string }{
		"class up":   {"../../../line", "cut"},
		"kind up":    {"line", "../../../pictures"},
		"root":       {"/line", "/cut"},
		"dots":       {"..", ".."},
		"as a class": {"line", "../other"},
	} {
		t.Run(name, func(t *testing.T) {
			var fits []string
			c := dark(manifestOf(t, of.class, of.kind), &fits, "")
			dir := t.TempDir()
			c.Maps = filepath.Join(dir, "1", "2", "3", "4", "maps")
			_, err := Run(t.Context(), c)
			require.NoError(t, err)
			pictures := map[string]int{} // by folder
			require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					in, rerr := filepath.Rel(c.Maps, path)
					require.NoError(t, rerr)
					require.True(t, filepath.IsLocal(in), path)
					require.Len(t, strings.Split(in, string(filepath.Separator)), 3, "class, kind, name")
					pictures[filepath.Dir(in)]++
				}
				return err
			}))
			require.Len(t, pictures, 2, "good ones, and the kind")
			for folder, n := range pictures {
				require.Equal(t, 4, n, folder)
			}
		})
	}
}

// noting is a detector that makes a new file where its checkpoint is to be.
type noting struct {
	darkness
	at *[]string
}

func (n noting) Learn(_ context.Context, m evaluate.Material) (evaluate.Learnt, error) {
	*n.at = append(*n.at, m.Checkpoint)
	f, err := os.OpenFile(m.Checkpoint, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return evaluate.Learnt{}, err
	}
	return evaluate.Learnt{Images: m.Good.Len()}, f.Close()
}

// Each class of each root has a checkpoint of its own, in the folder of the records.
func TestCheckpointsOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	hyphen, other := filepath.Join(dir, "a"), filepath.Join(dir, "a-b")
	testutil.PlantIn(t, hyphen, 3, 1, false, "b-c")
	testutil.PlantIn(t, other, 3, 1, false, "c")
	var fits, at []string
	c := dark(hyphen, &fits, "")
	c.Data = []string{hyphen, other, manifestOf(t, "line1/bolt", "cut")}
	plan := c.Methods[0].Plan
	c.Methods[0].Plan = func(ch detectors.Choice) (evaluate.Method, error) {
		m, err := plan(ch)
		m.New = func(evaluate.Seed) (evaluate.Detector, error) { return noting{darkness{&fits, ""}, &at}, nil }
		return m, err
	}
	records := filepath.Join(dir, "records")
	require.NoError(t, os.Mkdir(records, 0o755))
	c.Records = filepath.Join(records, "r.jsonl")
	_, err := Run(t.Context(), c)
	require.NoError(t, err)
	require.Len(t, at, 3)
	for _, path := range at {
		require.Equal(t, records, filepath.Dir(path))
	}
}
