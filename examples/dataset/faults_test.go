package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/faulttest"
)

// fileWriters are all that the program writes. Version 1 is of one more picture.
func fileWriters(t *testing.T) []faulttest.Writer {
	roots := [2]string{sound(t), sound(t)}
	put(t, roots[1], "bolt/train/good/005.png", grey(20, 12, 6))
	of := func(name string, args func(dir string) []string) faulttest.Writer {
		return faulttest.Writer{Name: name, Write: func(dir string, version int) error {
			return run(context.Background(), append(args(dir), "-data", roots[version]), io.Discard, io.Discard)
		}}
	}
	tree := of("convert", func(dir string) []string { return []string{"convert", "-out", filepath.Join(dir, "out")} })
	tree.Tree = true
	shards := of("shard", func(dir string) []string { return []string{"shard", "-out", filepath.Join(dir, "out")} })
	shards.Tree = true
	return []faulttest.Writer{
		of("split", func(dir string) []string { return []string{"split", "-out", filepath.Join(dir, "split.jsonl")} }),
		of("support set", func(dir string) []string {
			return []string{"split", "-shots", "5", "-seed", "3", "-out", filepath.Join(dir, "support.jsonl")}
		}),
		of("manifest", func(dir string) []string {
			return []string{"convert", "-out", filepath.Join(dir, dataset.ManifestFile)}
		}),
		of("contact sheet", func(dir string) []string { return []string{"describe", "-sheet", filepath.Join(dir, "sheet.png")} }),
		tree, shards,
	}
}

func TestFilesAreWholeOrNotThere(t *testing.T) { faulttest.Check(t, fileWriters(t)...) }

func TestFilesSurviveKills(t *testing.T) {
	faulttest.Kill(t, "TestFilesSurviveKills", 45, 11, fileWriters(t)...)
}

func TestShard(t *testing.T) {
	root, dir := sound(t), filepath.Join(t.TempDir(), "set")
	out, _, err := do(t, "shard", "-data", root, "-out", dir)
	require.NoError(t, err)
	require.Contains(t, out, "8 images of 1 classes in 1 shards")
	out, _, err = do(t, "check", "-data", dir, "-layout", "shards")
	require.NoError(t, err)
	require.Contains(t, out, "no fault found in 8 images")
	want, err := dataset.OpenMVTecAD(root, "", "")
	require.NoError(t, err)
	got, closer, err := dataset.Open(t.Context(), dir, dataset.DefaultConfig())
	require.NoError(t, err)
	require.ElementsMatch(t, dataset.Items(want), dataset.Items(got))
	require.NoError(t, closer.Close())

	_, _, err = do(t, "shard", "-data", root, "-out", dir)
	require.ErrorIs(t, err, dataset.ErrConfig, "a set is not overwritten")
	_, _, err = do(t, "shard", "-data", root, "-out", dir, "-size", "0")
	require.ErrorIs(t, err, errUsage)

	name := filepath.Join(dir, "shard-000000.tar")
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	data[600] ^= 1
	require.NoError(t, os.WriteFile(name, data, 0o644))
	out, _, err = do(t, "check", "-data", dir, "-layout", "shards")
	require.ErrorIs(t, err, errFaults)
	require.Contains(t, out, "shard-000000.tar/bolt/")
	require.Contains(t, out, "damaged")
}

// What a killed convert leaves is no data set, and in nobody's way.
func TestConvertLeftovers(t *testing.T) {
	parent := t.TempDir()
	left := filepath.Join(parent, ".out.converting-1", "out", "bolt", "train", "good")
	require.NoError(t, os.MkdirAll(left, 0o755))
	put(t, left, "000.png", grey(20, 12, 1))
	_, err := dataset.OpenMVTecAD(parent, "", "")
	require.ErrorIs(t, err, dataset.ErrLayout)
	_, _, err = do(t, "convert", "-data", sound(t), "-out", filepath.Join(parent, "out"))
	require.NoError(t, err)
	_, err = dataset.OpenMVTecAD(filepath.Join(parent, "out"), "", "")
	require.NoError(t, err)

	// An empty folder may be there already, also behind a link.
	require.NoError(t, os.Mkdir(filepath.Join(parent, "empty"), 0o755))
	require.NoError(t, os.Symlink("empty", filepath.Join(parent, "link")))
	_, _, err = do(t, "convert", "-data", sound(t), "-out", filepath.Join(parent, "link"))
	require.NoError(t, err)
	_, err = dataset.OpenMVTecAD(filepath.Join(parent, "empty"), "", "")
	require.NoError(t, err)
}
