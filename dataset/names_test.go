package dataset_test

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// summary lists items as class, split, kind, label, mask.
func summary(ds dataset.Dataset) map[string]string {
	out := make(map[string]string)
	for _, it := range dataset.Items(ds) {
		out[it.Name] = fmt.Sprintf("%s %s %s %s %s", it.Class, it.Split, it.Defect, it.Label, it.MaskName)
	}
	return out
}

func reasons(ds dataset.Listed) string {
	var b strings.Builder
	for _, i := range ds.Issues() {
		fmt.Fprintln(&b, i)
	}
	return b.String()
}

func layoutOf(t *testing.T, fsys fstest.MapFS, l dataset.Layout) dataset.Listed {
	t.Helper()
	ds, err := dataset.NewLayout(t.Context(), fsys, l, dataset.DefaultConfig())
	require.NoError(t, err)
	return ds
}

// Every common name for good pictures is good in every layout that has folders for
// conditions, and none of them is a defect.
func TestGoodFoldersByTheirCommonNames(t *testing.T) {
	p, m := flat(t, 4, 4, 1), maskFile(t, 4, 4)
	for _, good := range []string{"good", "Good", "GOOD", "ok", "OK", "Ok", "normal", "Normal", "pass", "PASS", "passed", "non_defective", "Non-Defective", "defect free", "良品"} {
		for _, l := range []dataset.Layout{dataset.LayoutMVTecAD, dataset.LayoutBTAD, dataset.LayoutMPDD, dataset.LayoutVisA, dataset.LayoutMVTecAD2} {
			test := "test"
			if l == dataset.LayoutMVTecAD2 {
				test = "test_public"
			}
			ds := layoutOf(t, fstest.MapFS{
				"part/train/" + good + "/0.png":           p,
				"part/" + test + "/" + good + "/0.png":    p,
				"part/" + test + "/NG/1.png":              p,
				"part/" + test + "/ground_truth/NG/1.png": m,
			}, l)
			require.Equal(t, map[string]string{
				"part/train/" + good + "/0.png":        "part train good good ",
				"part/" + test + "/" + good + "/0.png": "part test good good ",
				"part/" + test + "/NG/1.png":           "part test NG defective part/" + test + "/ground_truth/NG/1.png",
			}, summary(ds), "%s %s", l, good)
			require.Empty(t, ds.Issues(), "%s %s", l, good)
		}
		ds := layoutOf(t, fstest.MapFS{good + "/0.png": p, "NG/1.png": p}, dataset.LayoutGoodBad)
		require.Equal(t, map[string]string{good + "/0.png": "product  good good ", "NG/1.png": "product  NG defective "}, summary(ds), good)
	}
}

// A folder of masks is never a kind of defect, and its masks are found.
func TestMaskFoldersByTheirCommonNames(t *testing.T) {
	p, m := flat(t, 4, 4, 1), maskFile(t, 4, 4)
	for _, masks := range []string{"ground_truth", "Ground_Truth", "groundtruth", "GT", "gt", "MASK", "mask", "Masks", "label", "labels", "LABEL", "annotations"} {
		for _, l := range []dataset.Layout{dataset.LayoutMVTecAD, dataset.LayoutBTAD, dataset.LayoutMPDD, dataset.LayoutVisA} {
			for _, at := range []string{masks + "/bad/1.png", masks + "/test/bad/1.png", masks + "/1.png", "test/" + masks + "/bad/1.png", "test/" + masks + "/1.png"} {
				ds := layoutOf(t, fstest.MapFS{"a/train/good/0.png": p, "a/test/good/1.png": p, "a/test/bad/1.png": p, "a/" + at: m}, l)
				require.Equal(t, map[string]string{
					"a/train/good/0.png": "a train good good ", "a/test/good/1.png": "a test good good ",
					"a/test/bad/1.png": "a test bad defective a/" + at,
				}, summary(ds), "%s %s", l, at)
				require.Empty(t, ds.Issues(), "%s %s", l, at)
			}
		}
		for _, at := range []string{masks + "/bad/1.png", masks + "/1.png"} {
			ds := layoutOf(t, fstest.MapFS{"good/1.png": p, "bad/1.png": p, at: m}, dataset.LayoutGoodBad)
			require.Equal(t, map[string]string{"good/1.png": "product  good good ", "bad/1.png": "product  bad defective " + at}, summary(ds), at)
		}
	}
}

func TestMasksByTheirCommonNames(t *testing.T) {
	p, m := flat(t, 4, 4, 1), maskFile(t, 4, 4)
	for _, name := range []string{"001_mask.png", "001_MASK.bmp", "001_GT.png", "001_gt.png", "001_label.png", "mask_001.png", "Label_001.png", "001.bm.png", "001.bm.tif", "001-mask.png", "001_ground_truth.png", "001.png"} {
		for _, l := range []dataset.Layout{dataset.LayoutMVTecAD, dataset.LayoutGoodBad} {
			for _, beside := range []bool{false, true} {
				if beside && stemOf(name) == "001" {
					continue
				}
				root, masks := "a/test/", "a/ground_truth/bad/"
				fsys := fstest.MapFS{"a/train/good/0.png": p, "a/test/good/0.png": p}
				if l == dataset.LayoutGoodBad {
					root, masks = "", "ground_truth/bad/"
					fsys = fstest.MapFS{"good/0.png": p}
				}
				if beside {
					masks = root + "bad/"
				}
				fsys[root+"bad/001.png"], fsys[masks+name] = p, m
				ds := layoutOf(t, fsys, l)
				found := 0
				for _, it := range dataset.Items(ds) {
					if it.IsDefective() {
						require.Equal(t, root+"bad/001.png", it.Name, name)
						require.Equal(t, masks+name, it.MaskName)
						found++
					}
				}
				require.Equal(t, 1, found, "%s %s", l, name)
				if beside {
					require.Contains(t, reasons(ds), "1 files are named as masks of the images beside them")
				} else {
					require.Empty(t, ds.Issues(), name)
				}
			}
		}
	}
}

func stemOf(name string) string { return strings.TrimSuffix(name, path.Ext(name)) }

// A mask that has its picture's name goes before one that has its stem alone, and a
// second mask of a picture is said.
func TestTwoMasksOfAPicture(t *testing.T) {
	p, m := flat(t, 4, 4, 1), maskFile(t, 4, 4)
	ds := layoutOf(t, fstest.MapFS{"a/train/good/0.png": p, "a/test/bad/1.png": p, "a/test/bad/2.png": p,
		"a/ground_truth/bad/1.png": m, "a/ground_truth/bad/1_GT.png": m, "a/ground_truth/bad/1_mask.png": m, "a/ground_truth/bad/3_mask.png": m}, dataset.LayoutMVTecAD)
	require.Equal(t, "a test bad defective a/ground_truth/bad/1_GT.png", summary(ds)["a/test/bad/1.png"])
	require.Equal(t, `a/ground_truth/bad/1.png: not read: 1_GT.png has the same stem, and is the mask of the image
a/ground_truth/bad/1_mask.png: not read: 1_GT.png has the same stem, and is the mask of the image
a/ground_truth/bad/3_mask.png: a mask without an image
a/test/bad/2.png: has no mask, though others of a/test/bad have
`, reasons(ds))
}

func TestSplitFoldersByTheirCommonNames(t *testing.T) {
	p := flat(t, 4, 4, 1)
	for _, s := range [][2]string{{"Train", "Test"}, {"TRAIN", "TEST"}, {"training", "testing"}} {
		for _, root := range []string{"", "part/"} {
			ds := layoutOf(t, fstest.MapFS{root + s[0] + "/good/0.png": p, root + s[1] + "/good/0.png": p, root + s[1] + "/scratch/0.png": p}, dataset.LayoutMVTecAD)
			class := "part"
			if root == "" {
				class = "product"
			}
			require.Equal(t, map[string]string{root + s[0] + "/good/0.png": class + " train good good ", root + s[1] + "/good/0.png": class + " test good good ",
				root + s[1] + "/scratch/0.png": class + " test scratch defective "}, summary(ds))
		}
	}
	cfg := dataset.DefaultMVTecAD()
	cfg.Split = dataset.Validation
	ds, err := dataset.NewMVTecAD(fstest.MapFS{"a/val/good/0.png": p, "a/train/good/0.png": p}, cfg)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a/val/good/0.png": "a validation good good "}, summary(ds))

	k := layouts(t)[dataset.LayoutKSDD2]
	upper := fstest.MapFS{}
	for name, f := range k {
		upper[strings.Replace(strings.Replace(name, "train/", "Train/", 1), "_GT", "_gt", 1)] = f
	}
	require.Equal(t, layoutOf(t, k, dataset.LayoutKSDD2).Len(), layoutOf(t, upper, dataset.LayoutKSDD2).Len())
}

// Names that are set count alone.
func TestNamesThatAreSetCountAlone(t *testing.T) {
	p := flat(t, 4, 4, 1)
	fsys := fstest.MapFS{"a/train/fine/0.png": p, "a/test/fine/0.png": p, "a/test/ok/0.png": p, "a/test/label/0.png": p}
	cfg := dataset.DefaultMVTecAD()
	cfg.Normal, cfg.Masks = []string{"Fine"}, []string{"ground_truth"}
	ds, err := dataset.NewMVTecAD(fsys, cfg)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a/train/fine/0.png": "a train good good ", "a/test/fine/0.png": "a test good good ",
		"a/test/ok/0.png": "a test ok defective ", "a/test/label/0.png": "a test label defective "}, summary(ds))
	cfg.Masks = []string{"FINE"}
	_, err = dataset.NewMVTecAD(fsys, cfg)
	require.ErrorIs(t, err, dataset.ErrConfig)

	// By the usual names, label is no kind, and that its pictures are not read is said.
	found := layoutOf(t, fstest.MapFS{"a/train/good/0.png": p, "a/test/good/0.png": p, "a/test/label/1.png": p}, dataset.LayoutMVTecAD)
	require.Equal(t, 2, found.Len())
	require.Contains(t, reasons(found), "a/test/label: by its name a folder of masks, and none of them fits an image; rename it if it holds images")
}

// Defects are never read as a class of good pictures.
func TestFoldersLearnNoDefects(t *testing.T) {
	p, m := flat(t, 4, 4, 1), maskFile(t, 4, 4)
	for _, names := range [][2]string{{"good", "bad"}, {"OK", "NG"}, {"Normal", "scratch"}, {"pass", "fail"}} {
		fsys := fstest.MapFS{names[0] + "/0.png": p, names[1] + "/1.png": p, "MASK/1.png": m}
		ds := layoutOf(t, fsys, dataset.LayoutFolders)
		require.Equal(t, map[string]string{names[0] + "/0.png": "product train good good "}, summary(ds))
		require.Equal(t, []string{"product"}, ds.Classes())
		require.Contains(t, reasons(ds), names[1]+": not read: it lies beside a folder of good images")

		below := fstest.MapFS{"wood/1.png": p, "empty/.DS_Store": text()}
		for name, f := range fsys {
			below["part/"+name] = f
		}
		ds = layoutOf(t, below, dataset.LayoutFolders)
		require.Equal(t, map[string]string{"part/" + names[0] + "/0.png": "part train good good ", "wood/1.png": "wood train good good "}, summary(ds))
		require.Contains(t, reasons(ds), "empty: an empty folder")
	}
	for _, bad := range []string{"bad", "NG", "Defect"} {
		_, err := dataset.NewLayout(t.Context(), fstest.MapFS{"wood/0.png": p, bad + "/1.png": p}, dataset.LayoutFolders, dataset.DefaultConfig())
		require.ErrorIs(t, err, dataset.ErrLayout)
		require.ErrorContains(t, err, bad+": wrong folder layout: by its name it holds defects")
		cfg := dataset.DefaultConfig()
		cfg.Classes = []string{"wood"}
		ds, err := dataset.NewLayout(t.Context(), fstest.MapFS{"wood/0.png": p, bad + "/1.png": p}, dataset.LayoutFolders, cfg)
		require.NoError(t, err)
		require.Equal(t, 1, ds.Len())
	}
	ds := layoutOf(t, fstest.MapFS{"wood/0.png": p, "GT/0.png": m}, dataset.LayoutFolders)
	require.Equal(t, 1, ds.Len())
	require.Equal(t, "GT: not read: by its name it holds masks\n", reasons(ds))
}

// One class needs no class level, in no layout.
func TestOneClassWithoutAClassLevel(t *testing.T) {
	p := flat(t, 4, 4, 1)
	for l, fsys := range map[dataset.Layout]fstest.MapFS{
		dataset.LayoutMVTecAD:  {"train/good/0.png": p, "test/bad/0.png": p},
		dataset.LayoutBTAD:     {"train/ok/0.png": p, "test/ko/0.png": p},
		dataset.LayoutMPDD:     {"train/good/0.png": p, "test/hole/0.png": p},
		dataset.LayoutVisA:     {"train/good/0.png": p, "test/bad/0.png": p},
		dataset.LayoutMVTecAD2: {"train/good/0_x.png": p, "test_public/bad/0_x.png": p},
		dataset.LayoutFolders:  {"0.png": p, "1.png": p},
		dataset.LayoutGoodBad:  {"good/0.png": p, "bad/0.png": p},
	} {
		cfg := dataset.DefaultConfig()
		cfg.RootClass = "screw"
		ds, err := dataset.NewLayout(t.Context(), fsys, l, cfg)
		require.NoError(t, err, l)
		require.Equal(t, []string{"screw"}, ds.Classes(), l)
		require.Equal(t, 2, ds.Len(), l)
		require.Equal(t, "screw", ds.Item(0).Class)
	}
}

// An empty folder beside the classes keeps none of them from being read.
func TestEmptyFolderBesideTheClasses(t *testing.T) {
	for _, l := range []dataset.Layout{dataset.LayoutMVTecAD, dataset.LayoutMVTecAD2, dataset.LayoutBTAD, dataset.LayoutMPDD, dataset.LayoutFolders} {
		fsys := layouts(t)[l]
		dir := "empty/.DS_Store"
		if l == dataset.LayoutBTAD {
			dir = "BTech_Dataset_transformed/" + dir
		}
		want := layoutOf(t, fsys, l).Len()
		fsys[dir] = text()
		ds := layoutOf(t, fsys, l)
		require.Equal(t, want, ds.Len(), l)
		require.False(t, slices.Contains(ds.Classes(), "empty"))
		require.Contains(t, reasons(ds), "empty: ", l)
	}
}
