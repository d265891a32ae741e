package dataset_test

import (
	"context"
	"image"
	"image/color"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// flat is a small picture of one colour.
func flat(t testing.TB, w, h int, v byte) *fstest.MapFile {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetRGBA(x, y, color.RGBA{v, v / 2, 255 - v, 255})
		}
	}
	return &fstest.MapFile{Data: pngBytes(t, img)}
}

func maskFile(t testing.TB, w, h int) *fstest.MapFile {
	m := image.NewGray(image.Rect(0, 0, w, h))
	m.Pix[0] = 255
	m.Pix[1] = 100
	return &fstest.MapFile{Data: pngBytes(t, m)}
}

func text() *fstest.MapFile { return &fstest.MapFile{Data: []byte("words")} }

func mvtec(t testing.TB) fstest.MapFS {
	return fstest.MapFS{
		"license.txt":                             text(),
		"docs/readme.md":                          text(),
		".git/config":                             text(),
		"bottle/readme.txt":                       text(),
		"bottle/extra/x.png":                      flat(t, 4, 3, 1),
		"bottle/train/good/001.png":               flat(t, 4, 3, 11),
		"bottle/train/good/000.PNG":               flat(t, 4, 3, 10),
		"bottle/train/good/Thumbs.db":             text(),
		"bottle/train/good/.hidden.png":           text(),
		"bottle/train/good/more/1.png":            flat(t, 4, 3, 1),
		"bottle/train/broken/000.png":             flat(t, 4, 3, 1),
		"bottle/train/stray.png":                  flat(t, 4, 3, 1),
		"bottle/test/good/000.png":                flat(t, 4, 3, 20),
		"bottle/test/broken/000.png":              flat(t, 4, 3, 30),
		"bottle/test/broken/001.png":              flat(t, 4, 3, 31),
		"bottle/test/broken/002.png":              flat(t, 4, 3, 32),
		"bottle/test/empty":                       {Mode: fs.ModeDir | 0o755},
		"bottle/ground_truth/broken/000_mask.png": maskFile(t, 4, 3),
		"bottle/ground_truth/broken/001.tif":      text(),
		"bottle/ground_truth/broken/001.png":      maskFile(t, 4, 3),
		"bottle/ground_truth/broken/009_mask.png": maskFile(t, 4, 3),
		"cable/train/good/0.png":                  flat(t, 5, 5, 40),
		"cable/test/ok/0.png":                     flat(t, 5, 5, 41),
		"cable/test/cut/0.png":                    flat(t, 5, 5, 42),
	}
}

func names(ds dataset.Dataset) []string {
	var out []string
	for i := range ds.Len() {
		out = append(out, ds.Item(i).Name)
	}
	return out
}

func TestMVTecADReadsEverything(t *testing.T) {
	ds, err := dataset.NewMVTecAD(mvtec(t), dataset.DefaultMVTecAD())
	require.NoError(t, err)
	require.Equal(t, []string{"bottle", "cable"}, ds.Classes())
	require.Equal(t, []string{
		"bottle/train/good/000.PNG", "bottle/train/good/001.png",
		"bottle/test/broken/000.png", "bottle/test/broken/001.png", "bottle/test/broken/002.png", "bottle/test/good/000.png",
		"cable/train/good/0.png", "cable/test/cut/0.png", "cable/test/ok/0.png",
	}, names(ds))
	require.Equal(t, dataset.Item{
		Name: "bottle/test/broken/000.png", Class: "bottle", Split: "test", Defect: "broken", Label: dataset.LabelDefective,
		MaskName: "bottle/ground_truth/broken/000_mask.png",
	}, ds.Item(2))
	require.Equal(t, dataset.Item{Name: "cable/test/ok/0.png", Class: "cable", Split: "test", Defect: "good", Label: dataset.LabelGood}, ds.Item(8))
	require.Equal(t, dataset.Item{}, ds.Item(9))
	require.Equal(t, dataset.Item{}, ds.Item(-1))

	reasons := map[string]string{
		".git":                                    "hidden",
		"license.txt":                             "beside the class folders",
		"docs":                                    "not a class folder",
		"bottle/readme.txt":                       "beside the folders of a class",
		"bottle/extra":                            "not a folder of MVTec AD's layout",
		"bottle/train/good/Thumbs.db":             "not an image by its name",
		"bottle/train/good/.hidden.png":           "hidden",
		"bottle/train/good/more":                  "a folder where images were expected",
		"bottle/train/broken":                     "good images only",
		"bottle/train/stray.png":                  "only folders such as good were expected",
		"bottle/test/empty":                       "holds no image",
		"bottle/test/broken/002.png":              "has no mask",
		"bottle/ground_truth/broken/001.tif":      "has the same stem",
		"bottle/ground_truth/broken/009_mask.png": "a mask without an image",
	}
	got := map[string]string{}
	last := ""
	for _, i := range ds.Issues() {
		require.LessOrEqual(t, last, i.Name, "not sorted")
		last = i.Name
		got[i.Name] = i.Reason
		require.Equal(t, i.Name+": "+i.Reason, i.String())
	}
	require.Len(t, ds.Issues(), len(reasons), "%v", got)
	for name, reason := range reasons {
		require.Contains(t, got[name], reason, name)
	}
}

func TestMVTecADSamples(t *testing.T) {
	ds, err := dataset.NewMVTecAD(mvtec(t), dataset.DefaultMVTecAD())
	require.NoError(t, err)
	for i := range ds.Len() {
		s, err := ds.Sample(t.Context(), i)
		require.NoError(t, err)
		require.Equal(t, ds.Item(i), s.Item)
		require.Equal(t, ds.Item(i).MaskName != "", s.Mask != nil)
	}
	s, err := ds.Sample(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, color.RGBA{30, 15, 225, 255}, s.Image.RGBAAt(3, 2))
	require.Equal(t, []byte{255, 255, 0}, s.Mask.Pix[:3]) // 255 and 100 are not the background

	_, err = ds.Sample(t.Context(), -1)
	require.ErrorIs(t, err, dataset.ErrIndex)
	_, err = ds.Sample(t.Context(), ds.Len())
	require.ErrorIs(t, err, dataset.ErrIndex)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = ds.Sample(ctx, 0)
	require.ErrorIs(t, err, context.Canceled)
}

func TestMVTecADSplitsAndClasses(t *testing.T) {
	cfg := dataset.DefaultMVTecAD()
	cfg.Split = dataset.Train
	ds, err := dataset.NewMVTecAD(mvtec(t), cfg)
	require.NoError(t, err)
	require.Equal(t, []string{"bottle/train/good/000.PNG", "bottle/train/good/001.png", "cable/train/good/0.png"}, names(ds))
	cfg.Split = dataset.Test
	cfg.Classes = []string{"cable", "cable"}
	ds, err = dataset.NewMVTecAD(mvtec(t), cfg)
	require.NoError(t, err)
	require.Equal(t, []string{"cable"}, ds.Classes())
	require.Equal(t, []string{"cable/test/cut/0.png", "cable/test/ok/0.png"}, names(ds))

	// A class folder given directly.
	sub, err := fs.Sub(mvtec(t), "cable")
	require.NoError(t, err)
	cfg = dataset.DefaultMVTecAD()
	_, err = dataset.NewMVTecAD(sub, cfg)
	require.ErrorIs(t, err, dataset.ErrConfig)
	require.ErrorContains(t, err, "RootClass")
	cfg.RootClass = "cable"
	ds, err = dataset.NewMVTecAD(sub, cfg)
	require.NoError(t, err)
	require.Equal(t, []string{"train/good/0.png", "test/cut/0.png", "test/ok/0.png"}, names(ds))
	require.Equal(t, "cable", ds.Item(0).Class)
	cfg.Classes = []string{"bottle"}
	_, err = dataset.NewMVTecAD(sub, cfg)
	require.ErrorIs(t, err, dataset.ErrLayout)
}

func TestMVTecADWrongLayouts(t *testing.T) {
	dir := &fstest.MapFile{Mode: fs.ModeDir | 0o755}
	for name, c := range map[string]struct {
		fsys  fstest.MapFS
		split string
		class string
		says  []string
	}{
		"nothing":              {fsys: fstest.MapFS{}, says: []string{"no class folder found", "train/good", "holds none"}},
		"files only":           {fsys: fstest.MapFS{"a.png": text()}, says: []string{"no class folder found", "a.png"}},
		"empty class":          {fsys: fstest.MapFS{"bottle": dir}, says: []string{"open bottle", "empty", "train/good/*.png"}},
		"empty class asked":    {fsys: fstest.MapFS{"bottle": dir}, class: "bottle", says: []string{"open bottle", "neither a folder train nor test"}},
		"empty train":          {fsys: fstest.MapFS{"bottle/train": dir}, says: []string{"open bottle/train", "no good image", "good/*.png"}},
		"empty good":           {fsys: fstest.MapFS{"bottle/train/good": dir}, says: []string{"open bottle/train", "no good image"}},
		"empty test":           {fsys: fstest.MapFS{"bottle/test/good": dir}, says: []string{"open bottle/test", "has no image"}},
		"missing split":        {fsys: fstest.MapFS{"bottle/train/good/0.png": text()}, split: "test", says: []string{"open bottle", `no folder "test"`, "test/good/*.png"}},
		"missing class":        {fsys: fstest.MapFS{"bottle/train/good/0.png": text()}, class: "cable", says: []string{`no class folder "cable"`, "found bottle"}},
		"images in train":      {fsys: fstest.MapFS{"bottle/train/0.png": text()}, says: []string{"open bottle/train", "expected good/*.png", "0.png"}},
		"defects in train":     {fsys: fstest.MapFS{"bottle/train/bad/0.png": text()}, says: []string{"no good image", "bad"}},
		"classes in a class":   {fsys: fstest.MapFS{"x/bottle/train/good/0.png": text()}, says: []string{"no class folder found", "holds x"}},
		"one of two has train": {fsys: fstest.MapFS{"a/train/good/0.png": text(), "b/test/good/0.png": text()}, split: "train", says: []string{"open b", `no folder "train"`}},
	} {
		cfg := dataset.DefaultMVTecAD()
		cfg.Split = c.split
		if c.class != "" {
			cfg.Classes = []string{c.class}
		}
		_, err := dataset.NewMVTecAD(c.fsys, cfg)
		require.ErrorIs(t, err, dataset.ErrLayout, name)
		for _, s := range c.says {
			require.ErrorContains(t, err, s, name)
		}
	}
}

func TestMVTecADConfig(t *testing.T) {
	for field, change := range map[string]func(*dataset.MVTecADConfig){
		"Classes":   func(c *dataset.MVTecADConfig) { c.Classes = []string{} },
		"Split":     func(c *dataset.MVTecADConfig) { c.Split = "a/b" },
		"Normal":    func(c *dataset.MVTecADConfig) { c.Normal = nil },
		"MaxPixels": func(c *dataset.MVTecADConfig) { c.Decoder.MaxPixels = 0 },
	} {
		cfg := dataset.DefaultMVTecAD()
		change(&cfg)
		_, err := dataset.NewMVTecAD(mvtec(t), cfg)
		require.ErrorIs(t, err, dataset.ErrConfig)
		require.ErrorContains(t, err, field)
	}
	_, err := dataset.NewMVTecAD(nil, dataset.DefaultMVTecAD())
	require.ErrorIs(t, err, dataset.ErrConfig)
	_, err = dataset.NewFolders(nil, dataset.DefaultFolders())
	require.ErrorIs(t, err, dataset.ErrConfig)
}

func TestBadFilesAreNamed(t *testing.T) {
	fsys := mvtec(t)
	good := fsys["bottle/test/broken/000.png"].Data
	cfg := dataset.DefaultMVTecAD()
	cfg.Classes, cfg.Split = []string{"bottle"}, "test"
	sample := func() error {
		ds, err := dataset.NewMVTecAD(fsys, cfg)
		require.NoError(t, err)
		_, err = ds.Sample(t.Context(), 0)
		require.Error(t, err)
		return err
	}
	fsys["bottle/test/broken/000.png"] = &fstest.MapFile{Data: good[:len(good)/2]}
	err := sample()
	require.ErrorIs(t, err, dataset.ErrDecode)
	require.ErrorContains(t, err, "bottle/test/broken/000.png")
	require.ErrorContains(t, err, "ends too early")

	fsys["bottle/test/broken/000.png"] = flat(t, 5, 3, 7)
	err = sample()
	require.ErrorIs(t, err, dataset.ErrMask)
	for _, s := range []string{"bottle/test/broken/000.png", "bottle/ground_truth/broken/000_mask.png", "4x3", "5x3"} {
		require.ErrorContains(t, err, s)
	}

	fsys["bottle/test/broken/000.png"] = &fstest.MapFile{Data: good}
	fsys["bottle/ground_truth/broken/000_mask.png"] = text()
	err = sample()
	require.ErrorIs(t, err, dataset.ErrDecode)
	require.ErrorContains(t, err, "bottle/ground_truth/broken/000_mask.png")

	cfg.Decoder.MaxPixels = 11
	err = sample()
	require.ErrorIs(t, err, dataset.ErrTooLarge)
	require.ErrorContains(t, err, "bottle/test/broken/000.png")

	// A file that goes away after opening.
	ds, err := dataset.NewMVTecAD(fsys, cfg)
	require.NoError(t, err)
	delete(fsys, "bottle/test/broken/000.png")
	_, err = ds.Sample(t.Context(), 0)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "bottle/test/broken/000.png")
}

func TestFolders(t *testing.T) {
	fsys := fstest.MapFS{
		"readme.txt":    text(),
		"wood/b.png":    flat(t, 3, 3, 2),
		"wood/a.png":    flat(t, 3, 3, 1),
		"wood/x/c.png":  flat(t, 3, 3, 1),
		"carpet/0.png":  flat(t, 3, 3, 3),
		"carpet/note":   text(),
		"__MACOSX/a.db": text(),
	}
	ds, err := dataset.NewFolders(fsys, dataset.DefaultFolders())
	require.NoError(t, err)
	require.Equal(t, []string{"carpet", "wood"}, ds.Classes())
	require.Equal(t, []string{"carpet/0.png", "wood/a.png", "wood/b.png"}, names(ds))
	require.Equal(t, dataset.Item{Name: "wood/a.png", Class: "wood", Split: "train", Defect: "good", Label: dataset.LabelGood}, ds.Item(1))
	var issues []string
	for _, i := range ds.Issues() {
		issues = append(issues, i.Name)
	}
	require.Equal(t, []string{"__MACOSX", "carpet/note", "readme.txt", "wood/x"}, issues)
	s, err := ds.Sample(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, byte(1), s.Image.Pix[0])
	require.Nil(t, s.Mask)

	cfg := dataset.DefaultFolders()
	cfg.Classes = []string{"wood"}
	ds, err = dataset.NewFolders(fsys, cfg)
	require.NoError(t, err)
	require.Equal(t, []string{"wood"}, ds.Classes())
	require.Equal(t, 2, ds.Len())
	cfg.Classes = []string{"stone"}
	_, err = dataset.NewFolders(fsys, cfg)
	require.ErrorIs(t, err, dataset.ErrLayout)
	require.ErrorContains(t, err, `"stone"`)
	cfg.Classes = []string{}
	_, err = dataset.NewFolders(fsys, cfg)
	require.ErrorIs(t, err, dataset.ErrConfig)

	_, err = dataset.NewFolders(fstest.MapFS{"a.png": text()}, dataset.DefaultFolders())
	require.ErrorIs(t, err, dataset.ErrLayout)
	_, err = dataset.NewFolders(fstest.MapFS{"wood": {Mode: fs.ModeDir | 0o755}}, dataset.DefaultFolders())
	require.ErrorIs(t, err, dataset.ErrLayout)
	require.ErrorContains(t, err, "open wood")
	require.ErrorContains(t, err, "wood/*.png")
	_, err = dataset.NewFolders(mvtec(t), dataset.DefaultFolders())
	require.ErrorIs(t, err, dataset.ErrLayout)
	require.ErrorContains(t, err, "looks like MVTec AD's layout")
}

// write puts a file system on the disk.
func write(t *testing.T, fsys fstest.MapFS) string {
	t.Helper()
	dir := t.TempDir()
	for name, f := range fsys {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if f.Mode.IsDir() {
			require.NoError(t, os.MkdirAll(at, 0o755))
			continue
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		require.NoError(t, os.WriteFile(at, f.Data, 0o644))
	}
	return dir
}

func TestOpenFromDisk(t *testing.T) {
	dir := write(t, mvtec(t))
	ds, err := dataset.OpenMVTecAD(dir, "", "")
	require.NoError(t, err)
	require.Equal(t, 9, ds.Len())
	ds, err = dataset.OpenMVTecAD(dir, "cable", dataset.Test)
	require.NoError(t, err)
	require.Equal(t, 2, ds.Len())

	// The class folder itself: its name is the class.
	for _, class := range []string{"", "cable"} {
		ds, err = dataset.OpenMVTecAD(filepath.Join(dir, "cable"), class, "")
		require.NoError(t, err)
		require.Equal(t, []string{"cable"}, ds.Classes())
		require.Equal(t, 3, ds.Len())
	}
	_, err = dataset.OpenMVTecAD(filepath.Join(dir, "cable"), "bottle", "")
	require.ErrorIs(t, err, dataset.ErrLayout)

	_, err = dataset.OpenMVTecAD(filepath.Join(dir, "nowhere"), "", "")
	require.ErrorIs(t, err, dataset.ErrLayout)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "nowhere")
	_, err = dataset.OpenFolders(filepath.Join(dir, "nowhere"))
	require.ErrorIs(t, err, dataset.ErrLayout)

	// Links are followed, broken ones reported; messages have the whole path.
	linked := filepath.Join(dir, "linked", "train", "good")
	require.NoError(t, os.MkdirAll(linked, 0o755))
	require.NoError(t, os.Symlink(filepath.Join(dir, "cable", "train", "good", "0.png"), filepath.Join(linked, "0.png")))
	require.NoError(t, os.Symlink(filepath.Join(dir, "gone.png"), filepath.Join(linked, "1.png")))
	require.NoError(t, os.WriteFile(filepath.Join(linked, "2.png"), []byte("words"), 0o644))
	ds, err = dataset.OpenMVTecAD(dir, "linked", dataset.Train)
	require.NoError(t, err)
	require.Equal(t, 2, ds.Len())
	found := false
	for _, i := range ds.Issues() {
		found = found || i.Name == "linked/train/good/1.png" && strings.Contains(i.Reason, "link")
	}
	require.True(t, found)
	_, err = ds.Sample(t.Context(), 0)
	require.NoError(t, err)
	_, err = ds.Sample(t.Context(), 1)
	require.ErrorIs(t, err, dataset.ErrDecode)
	require.ErrorContains(t, err, filepath.ToSlash(filepath.Join(linked, "2.png")))

	flatDir := write(t, fstest.MapFS{"wood/a.png": flat(t, 3, 3, 1)})
	ds, err = dataset.OpenFolders(flatDir)
	require.NoError(t, err)
	require.Equal(t, 1, ds.Len())
}
