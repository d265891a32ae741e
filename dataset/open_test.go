package dataset_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// Every layout is found by its names, and Open gives what its reader gives.
func TestOpenFindsEveryLayout(t *testing.T) {
	all := layouts(t)
	require.Len(t, all, len(dataset.Layouts()))
	for layout, files := range all {
		got, err := dataset.FindLayout(files)
		require.NoError(t, err, layout)
		require.Equal(t, layout, got)

		dir := filepath.Join(t.TempDir(), "root")
		require.NoError(t, os.CopyFS(dir, files))
		ds, closer, err := dataset.Open(t.Context(), dir, dataset.DefaultConfig())
		require.NoError(t, err, layout)
		cfg := dataset.DefaultConfig()
		cfg.RootClass = "root"
		want, err := dataset.NewLayout(t.Context(), files, layout, cfg)
		require.NoError(t, err, layout)
		require.Equal(t, dataset.Items(want), dataset.Items(ds), layout)
		_, err = ds.Sample(t.Context(), 0)
		require.NoError(t, err, layout)
		require.NoError(t, closer.Close(), layout)
		if w, ok := want.(io.Closer); ok {
			require.NoError(t, w.Close())
		}
	}
}

// The same content in other forms, and what lies beside it.
func TestFindLayoutOfVariants(t *testing.T) {
	pic := flat(t, 4, 3, 1)
	for name, c := range map[string]struct {
		files fstest.MapFS
		want  dataset.Layout
	}{
		"a class folder":             {fstest.MapFS{"train/good/0.png": pic, "test/hole/0.png": pic}, dataset.LayoutMVTecAD},
		"other names":                {fstest.MapFS{"screw/Training/OK/0.png": pic}, dataset.LayoutMVTecAD},
		"a class folder of MVTec 2":  {fstest.MapFS{"train/good/0.png": pic, "test_public/good/0.png": pic}, dataset.LayoutMVTecAD2},
		"a manifest beside folders":  {fstest.MapFS{"manifest.jsonl": text(), "screw/train/good/0.png": pic}, dataset.LayoutManifest},
		"BTAD without its folder":    {fstest.MapFS{"01/train/ok/0.bmp": pic, "03/test/ko/0.bmp": pic}, dataset.LayoutBTAD},
		"01 and others":              {fstest.MapFS{"01/train/ok/0.bmp": pic, "04/test/ko/0.bmp": pic}, dataset.LayoutMVTecAD},
		"VisA reorganised":           {fstest.MapFS{"candle/train/good/0.JPG": pic, "candle/test/bad/0.JPG": pic, "candle/ground_truth/bad/0.png": pic}, dataset.LayoutMVTecAD},
		"OK and NG":                  {fstest.MapFS{"OK/0.png": pic, "NG/0.png": pic, "GT/0.png": pic}, dataset.LayoutGoodBad},
		"good alone":                 {fstest.MapFS{"good/0.png": pic, "masks/0.png": pic}, dataset.LayoutFolders},
		"images alone":               {fstest.MapFS{"0.png": pic, "notes.txt": text()}, dataset.LayoutFolders},
		"good and bad in each class": {fstest.MapFS{"screw/good/0.png": pic, "screw/bad/0.png": pic}, dataset.LayoutFolders},
		"an npz beside other files":  {fstest.MapFS{"wm.npz": text(), "readme.md": text()}, dataset.LayoutMixedWM},
	} {
		got, err := dataset.FindLayout(c.files)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
}

func TestFindLayoutSaysWhatItLookedFor(t *testing.T) {
	pic := flat(t, 4, 3, 1)
	_, err := dataset.FindLayout(fstest.MapFS{"a/b/c/d.png": pic, "notes.txt": text()})
	require.ErrorIs(t, err, dataset.ErrLayout)
	for _, l := range dataset.Layouts() {
		require.ErrorContains(t, err, " "+string(l)+": ")
	}
	require.ErrorContains(t, err, "it holds a, notes.txt")
	_, err = dataset.FindLayout(fstest.MapFS{"manifest.jsonl": text(), "wm.npz": text()})
	require.ErrorIs(t, err, dataset.ErrLayout)
	require.ErrorContains(t, err, "several layouts fit, and one must be named: manifest (a file manifest.jsonl); mixedwm38 (one file *.npz)")
	_, err = dataset.FindLayout(fstest.MapFS{"train/10000.png": pic, "train/10000_GT.png": pic, "test/good/0.png": pic})
	require.ErrorContains(t, err, "ksdd2 (")
	require.ErrorContains(t, err, "mvtec (")
	_, err = dataset.FindLayout(fstest.MapFS{})
	require.ErrorContains(t, err, "it holds none")
	_, err = dataset.FindLayout(nil)
	require.ErrorIs(t, err, dataset.ErrConfig)
}

// A data set may be one file, or lie in a zip file.
func TestOpenOfFiles(t *testing.T) {
	all := layouts(t)
	dir := filepath.Join(t.TempDir(), "screw")
	require.NoError(t, os.CopyFS(dir, all[dataset.LayoutManifest]))
	require.NoError(t, os.CopyFS(dir, all[dataset.LayoutMixedWM]))
	open := func(name string) []dataset.Item {
		ds, closer, err := dataset.Open(t.Context(), filepath.Join(dir, name), dataset.DefaultConfig())
		require.NoError(t, err, name)
		items := dataset.Items(ds)
		require.NoError(t, closer.Close())
		return items
	}
	require.Len(t, open("manifest.jsonl"), 2)
	require.Equal(t, dataset.WaferClass, open("MixedWM38.npz")[0].Class)
	_, _, err := dataset.Open(t.Context(), dir, dataset.DefaultConfig())
	require.ErrorContains(t, err, "several layouts fit")
	require.ErrorContains(t, err, dir)

	one := filepath.Join(t.TempDir(), "screw")
	require.NoError(t, os.CopyFS(one, fstest.MapFS{"train/good/0.png": flat(t, 4, 3, 1)}))
	t.Chdir(one)
	for _, name := range []string{".", one} {
		ds, _, err := dataset.Open(t.Context(), name, dataset.DefaultConfig())
		require.NoError(t, err)
		require.Equal(t, []string{"screw"}, ds.Classes(), "the class of a class folder has its name")
	}
	cfg := dataset.DefaultConfig()
	cfg.RootClass = "bolt"
	ds, _, err := dataset.Open(t.Context(), one, cfg)
	require.NoError(t, err)
	require.Equal(t, []string{"bolt"}, ds.Classes())

	_, _, err = dataset.Open(t.Context(), filepath.Join(one, "none"), dataset.DefaultConfig())
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, _, err = dataset.Open(t.Context(), one, dataset.Config{})
	require.ErrorIs(t, err, dataset.ErrConfig)
	cfg = dataset.DefaultConfig()
	cfg.Classes = []string{"gone"}
	_, _, err = dataset.Open(t.Context(), one, cfg)
	require.ErrorIs(t, err, dataset.ErrLayout)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ksdd := filepath.Join(t.TempDir(), "ksdd2")
	require.NoError(t, os.CopyFS(ksdd, all[dataset.LayoutKSDD2]))
	_, _, err = dataset.Open(ctx, ksdd, dataset.DefaultConfig())
	require.ErrorIs(t, err, context.Canceled)
}

// A folder that is no data set, however large, is looked at in part.
func TestFindLayoutIsBounded(t *testing.T) {
	files := fstest.MapFS{}
	for i := range 30_000 {
		files[fmt.Sprintf("big/%05d.txt", i)] = text()
	}
	watch := &watchedFS{MapFS: files}
	_, err := dataset.FindLayout(watch)
	require.ErrorIs(t, err, dataset.ErrLayout)
	require.Equal(t, 10_001, watch.read)
}

// watchedFS counts the entries of folders that are read.
type watchedFS struct {
	fstest.MapFS
	read int
}

func (c *watchedFS) Open(name string) (fs.File, error) {
	f, err := c.MapFS.Open(name)
	if d, ok := f.(fs.ReadDirFile); ok {
		return watchedDir{d, c}, err
	}
	return f, err
}

type watchedDir struct {
	fs.ReadDirFile
	of *watchedFS
}

func (d watchedDir) ReadDir(n int) ([]fs.DirEntry, error) {
	entries, err := d.ReadDirFile.ReadDir(n)
	d.of.read += len(entries)
	return entries, err
}
