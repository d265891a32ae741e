package dataset_test

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

func lines(ds dataset.Dataset) string {
	out := ""
	for i := range ds.Len() {
		it := ds.Item(i)
		out += "\n" + strings.Join([]string{it.Name, it.Class, it.Split, it.Defect, it.MaskName, it.Group}, " ")
	}
	return out
}

func requireSamples(t *testing.T, ds dataset.Dataset, name any) {
	t.Helper()
	for i := range ds.Len() {
		s, err := ds.Sample(t.Context(), i)
		require.NoError(t, err, name)
		require.Equal(t, ds.Item(i), s.Item)
		require.Equal(t, s.MaskName != "", s.Mask != nil)
		if s.Mask != nil && !strings.HasSuffix(s.MaskName, ".bmp") {
			require.Equal(t, s.IsDefective(), s.Mask.Pix[0] == 255, s.Name)
		}
		require.Equal(t, dataset.LabelOf(s.Defect), s.Label)
	}
}

// Every layout from memory, from a folder and out of a zip file.
func TestLayouts(t *testing.T) {
	for l, fsys := range layouts(t) {
		dir := write(t, fsys)
		archive := filepath.Join(t.TempDir(), "set.zip")
		zipUp(t, archive, fsys)
		for _, open := range []func() (fs.FS, io.Closer, error){
			func() (fs.FS, io.Closer, error) { return fsys, io.NopCloser(nil), nil },
			func() (fs.FS, io.Closer, error) { return dataset.OpenRoot(dir) },
			func() (fs.FS, io.Closer, error) { return dataset.OpenRoot(archive) },
		} {
			root, c, err := open()
			require.NoError(t, err)
			ds, err := dataset.NewLayout(t.Context(), root, l, dataset.DefaultConfig())
			require.NoError(t, err, l)
			if w, ok := want()[l]; ok {
				require.Equal(t, w, lines(ds), l)
			} else {
				require.Equal(t, 9, ds.Len())
			}
			requireSamples(t, ds, l)
			if w, ok := ds.(io.Closer); ok {
				require.NoError(t, w.Close())
			}
			require.NoError(t, c.Close())
		}
	}
	require.Len(t, dataset.Layouts(), len(layouts(t)))
}

func zipBytes(t testing.TB, fsys fstest.MapFS) []byte {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	require.NoError(t, z.AddFS(fsys))
	require.NoError(t, z.Close())
	return buf.Bytes()
}

func newZip(data []byte) (fs.FS, error) {
	return zip.NewReader(bytes.NewReader(data), int64(len(data)))
}

func zipUp(t *testing.T, name string, fsys fstest.MapFS) {
	t.Helper()
	require.NoError(t, os.WriteFile(name, zipBytes(t, fsys), 0o644))
}

func TestOpenRoot(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "set.zip")
	zipUp(t, name, layouts(t)[dataset.LayoutBTAD])
	root, c, err := dataset.OpenRoot(filepath.Join(name, "BTech_Dataset_transformed", "02"))
	require.NoError(t, err)
	list, err := fs.ReadDir(root, ".")
	require.NoError(t, err)
	require.Len(t, list, 3)
	require.NoError(t, c.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "no.zip"), []byte("words"), 0o644))
	for _, bad := range []string{filepath.Join(name, "nowhere"), filepath.Join(dir, "gone"), filepath.Join(dir, "no.zip"), filepath.Join(dir, "gone", "deeper.zip")} {
		_, _, err := dataset.OpenRoot(bad)
		require.ErrorIs(t, err, dataset.ErrLayout, bad)
	}
}

func requireIssues(t *testing.T, ds dataset.Listed, want map[string]string) {
	t.Helper()
	require.Len(t, ds.Issues(), len(want), "%v", ds.Issues())
	for _, i := range ds.Issues() {
		require.NotEmpty(t, want[i.Name], i)
		require.Contains(t, i.Reason, want[i.Name])
	}
}

func TestMVTecAD2Private(t *testing.T) {
	cfg := dataset.DefaultConfig()
	fsys := layouts(t)[dataset.LayoutMVTecAD2]
	fsys["can/extra/1.png"], fsys["can/train/bad/1.png"], fsys["docs/x"] = text(), text(), text()
	cfg.Split = dataset.TestPrivate
	ds, err := dataset.NewMVTecAD2(fsys, cfg)
	require.NoError(t, err)
	require.Equal(t, "\ncan/test_private/000_regular.png can test_private unknown  can/test_private/000", lines(ds))
	requireSamples(t, ds, "private")
	cfg.Split = ""
	ds, err = dataset.NewMVTecAD2(fsys, cfg)
	require.NoError(t, err)
	requireIssues(t, ds, map[string]string{"license.txt": "beside", "docs": "not a class folder", "can/extra": "not a folder",
		"can/train/bad": "good images only", "can/test_public/bad/001_shift_1.png": "has no mask"})
	cfg.Classes = []string{"rice"}
	ds, err = dataset.NewMVTecAD2(fsys, cfg)
	require.NoError(t, err)
	require.Equal(t, 1, ds.Len())
	cfg.Split = dataset.Test
	_, err = dataset.NewMVTecAD2(fsys, cfg)
	require.ErrorIs(t, err, dataset.ErrLayout)
	_, err = dataset.NewMVTecAD2(fstest.MapFS{"a.png": text()}, dataset.DefaultConfig())
	require.ErrorIs(t, err, dataset.ErrLayout)
}

func TestKSDD2Quirks(t *testing.T) {
	fsys := layouts(t)[dataset.LayoutKSDD2]
	cfg := dataset.DefaultConfig()
	ds, err := dataset.NewKSDD2(t.Context(), fsys, cfg)
	require.NoError(t, err)
	requireIssues(t, ds, map[string]string{"split_weakly_0.pyb": "beside", "train/10301(copy).png": "five digits", "train/copy.png": "five digits",
		"train/10009.png": "no mask", "train/10010_GT.png": "without an image", "train": "1 images with defects left out"})
	cfg.TrainDefects = true
	ds, err = dataset.NewKSDD2(t.Context(), fsys, cfg)
	require.NoError(t, err)
	require.Equal(t, 5, ds.Len())
	require.Equal(t, dataset.Item{Name: "train/10001.png", Class: "kolektorsdd2", Split: "train", Defect: "defect", Label: dataset.LabelDefective, MaskName: "train/10001_GT.png"}, ds.Item(1))
	// A mask value of 1 counts; with another limit it does not.
	cfg.Decoder.MaskAbove = 200
	ds, err = dataset.NewKSDD2(t.Context(), fsys, cfg)
	require.NoError(t, err)
	require.True(t, ds.Item(1).IsGood())
	cfg.Split = dataset.Test
	ds, err = dataset.NewKSDD2(t.Context(), fsys, cfg)
	require.NoError(t, err)
	require.Equal(t, 2, ds.Len())

	fsys["test/20001_GT.png"] = text()
	_, err = dataset.NewKSDD2(t.Context(), fsys, dataset.DefaultConfig())
	require.ErrorIs(t, err, dataset.ErrDecode)
	require.ErrorContains(t, err, "test/20001_GT.png")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = dataset.NewKSDD2(ctx, fsys, dataset.DefaultConfig())
	require.ErrorIs(t, err, context.Canceled)
	_, err = dataset.NewKSDD2(t.Context(), fstest.MapFS{"train/1.png": text()}, dataset.DefaultConfig())
	require.ErrorIs(t, err, dataset.ErrLayout)
}

func TestVisAQuirks(t *testing.T) {
	fsys := layouts(t)[dataset.LayoutVisA]
	cfg := dataset.DefaultConfig()
	ds, err := dataset.NewVisA(fsys, cfg)
	require.NoError(t, err)
	var reasons []string
	for _, i := range ds.Issues() {
		require.Equal(t, "split_csv/1cls.csv", i.Name)
		reasons = append(reasons, i.Reason)
	}
	require.Equal(t, []string{`line 6: there is no image "candle/Data/Images/Normal/0009.JPG"`, `line 7: label is "odd", want normal or anomaly`,
		`line 8: image "candle/Data/Images/Normal/0001.JPG" is listed twice`}, reasons)
	cfg.Setup = "2cls_fewshot"
	ds, err = dataset.NewVisA(fsys, cfg)
	require.NoError(t, err)
	require.Equal(t, dataset.Item{Name: "candle/Data/Images/Anomaly/000.JPG", Class: "candle", Split: "train", Defect: "anomaly", Label: dataset.LabelDefective}, ds.Item(0))
	require.Len(t, ds.Issues(), 1)
	cfg.Setup = "2cls_highshot"
	_, err = dataset.NewVisA(fsys, cfg)
	require.ErrorIs(t, err, dataset.ErrLayout)
	cfg.Setup = "../1cls"
	_, err = dataset.NewVisA(fsys, cfg)
	require.ErrorIs(t, err, dataset.ErrConfig)
	cfg = dataset.DefaultConfig()
	cfg.Classes = []string{"cashew"}
	_, err = dataset.NewVisA(fsys, cfg)
	require.ErrorIs(t, err, dataset.ErrLayout)
	for says, list := range map[string]*fstest.MapFile{
		`no column "mask"`: csvFile("object,split,label,image", "a,b,c,d"),
		"list is empty":    csvFile("object,split,label,image,mask"),
		"none of its":      csvFile("object,split,label,image,mask", "a,train,normal,../x.png,"),
		"wrong number":     csvFile("object,split,label,image,mask", "a,b"),
		"first line":       {},
	} {
		fsys["split_csv/1cls.csv"] = list
		_, err = dataset.NewVisA(fsys, dataset.DefaultConfig())
		require.ErrorIs(t, err, dataset.ErrLayout, says)
		require.ErrorContains(t, err, says)
	}

	// Reorganised: masks are named like the pictures and hold small numbers.
	ds, err = dataset.NewVisA(fstest.MapFS{
		"candle/train/good/0000.JPG": flat(t, 6, 4, 1), "candle/test/good/0001.JPG": flat(t, 6, 4, 1),
		"candle/test/bad/000.JPG": flat(t, 6, 4, 1), "candle/ground_truth/bad/000.png": grayFile(t, 6, 4, 3),
	}, dataset.DefaultConfig())
	require.NoError(t, err)
	require.Equal(t, "candle/ground_truth/bad/000.png", ds.Item(1).MaskName)
	requireSamples(t, ds, "reorganised")
}

func TestGoodBad(t *testing.T) {
	fsys := layouts(t)[dataset.LayoutGoodBad]
	fsys["scratch/3.png"], fsys["masks/3_mask.png"] = flat(t, 4, 3, 5), maskFile(t, 4, 3)
	fsys["ground_truth/good/2.png"], fsys["note"], fsys["empty"] = grayFile(t, 4, 3, 0), text(), &fstest.MapFile{Mode: fs.ModeDir | 0o755}
	ds, err := dataset.NewGoodBad(fsys, dataset.DefaultGoodBad())
	require.NoError(t, err)
	require.Equal(t, `
bad/1.png product  bad masks/1.png 
bad/3.png product  bad  
good/1.png product  good  
good/2.png product  good ground_truth/good/2.png 
scratch/3.png product  scratch  `, lines(ds))
	var reasons []string
	for _, i := range ds.Issues() {
		reasons = append(reasons, i.String())
	}
	require.Contains(t, strings.Join(reasons, "\n"), "masks/3_mask.png: not read: several folders have an image 3; put it into masks/bad")
	require.Contains(t, strings.Join(reasons, "\n"), "bad/3.png: has no mask")
	require.Contains(t, strings.Join(reasons, "\n"), "empty: holds no image")

	cfg := dataset.DefaultGoodBad()
	cfg.Good = []string{"fine"}
	_, err = dataset.NewGoodBad(fsys, cfg)
	require.ErrorIs(t, err, dataset.ErrLayout)
	cfg.Good = nil
	_, err = dataset.NewGoodBad(fsys, cfg)
	require.ErrorIs(t, err, dataset.ErrConfig)
	cfg.Good = []string{"masks"}
	_, err = dataset.NewGoodBad(fsys, cfg)
	require.ErrorIs(t, err, dataset.ErrConfig)
}

func TestNewLayoutErrors(t *testing.T) {
	_, err := dataset.NewLayout(t.Context(), fstest.MapFS{}, "nothing", dataset.DefaultConfig())
	require.ErrorIs(t, err, dataset.ErrConfig)
	_, err = dataset.NewLayout(t.Context(), nil, dataset.LayoutVisA, dataset.DefaultConfig())
	require.ErrorIs(t, err, dataset.ErrConfig)
	for _, l := range dataset.Layouts() {
		_, err = dataset.NewLayout(t.Context(), fstest.MapFS{}, l, dataset.DefaultConfig())
		require.ErrorIs(t, err, dataset.ErrLayout, l)
	}
	for l, fsys := range layouts(t) {
		cfg := dataset.DefaultConfig()
		cfg.Split = "nowhere"
		_, err = dataset.NewLayout(t.Context(), fsys, l, cfg)
		require.ErrorIs(t, err, dataset.ErrLayout, l)
		cfg = dataset.DefaultConfig()
		cfg.Classes = []string{"nothing"}
		_, err = dataset.NewLayout(t.Context(), fsys, l, cfg)
		require.ErrorIs(t, err, dataset.ErrLayout, l)
	}
	cfg := dataset.DefaultConfig()
	cfg.Classes = []string{}
	_, err = dataset.NewLayout(t.Context(), fstest.MapFS{}, dataset.LayoutVisA, cfg)
	require.ErrorIs(t, err, dataset.ErrConfig)
}
