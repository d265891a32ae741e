package audit_test

import (
	"context"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/dataset/audit"
	"github.com/gotab/gotab/internal/hostile"
)

// sample is an image that differs from those of other seeds, with a mask of so many pixels; none with -1.
func sample(name, split, defect string, seed, marked int) dataset.Sample {
	s := dataset.Sample{Item: dataset.Item{Name: name, Class: "bolt", Split: split, Defect: defect, Label: dataset.LabelOf(defect), MaskName: name + "_mask"},
		Image: image.NewRGBA(image.Rect(0, 0, 20, 10))}
	for i := range s.Image.Pix {
		s.Image.Pix[i] = byte(i*7 + seed*13)
		if i%4 == 3 {
			s.Image.Pix[i] = 255
		}
	}
	if marked >= 0 {
		s.Mask = image.NewGray(s.Image.Rect)
		for i := range marked {
			s.Mask.Pix[i] = 255
		}
	}
	return s
}

func memory(t *testing.T, samples ...dataset.Sample) *dataset.Memory {
	t.Helper()
	ds, err := dataset.NewMemory(samples)
	require.NoError(t, err)
	return ds
}

func TestFaults(t *testing.T) {
	torn := sample("torn", dataset.Test, dataset.Good, 9, -1)
	torn.Group = "part 1"
	rest := sample("rest", dataset.Train, dataset.Good, 10, -1)
	rest.Group = "part 1"
	ds := memory(t,
		sample("a", dataset.Train, dataset.Good, 1, -1), sample("leak", dataset.Test, dataset.Good, 1, -1),
		sample("b", dataset.Test, "cut", 2, 0), sample("c", dataset.Test, dataset.Good, 3, 5), sample("d", dataset.Test, dataset.Unknown, 4, 6),
		sample("e", dataset.Test, "cut", 5, 40), sample("same", dataset.Test, dataset.Good, 5, -1), torn, rest)
	s, err := audit.Look(t.Context(), ds)
	require.NoError(t, err)
	require.Equal(t, []audit.Fault{
		{What: "empty mask", Detail: "b_mask of b, which is cut"},
		{What: "mask of a good image", Detail: "c_mask marks 5 pixels of c"},
		{What: "mask of an image without a label", Detail: "d_mask marks 6 pixels of d"},
		{What: "same pixels in two splits", Detail: "a in train, leak in test"},
		{What: "same pixels with two labels", Detail: "e is cut, same is good"},
		{What: "one part in two splits", Detail: "bolt: part 1 is in test, train"},
	}, s.Faults())
	require.Equal(t, "empty mask: b_mask of b, which is cut", s.Faults()[0].String())
	require.Equal(t, []audit.Group{
		{Class: "bolt", Split: dataset.Train, Kind: dataset.Good, Samples: 2},
		{Class: "bolt", Split: dataset.Test, Kind: "cut", Samples: 2, Masks: 2, Areas: []float64{0.2}},
		{Class: "bolt", Split: dataset.Test, Kind: dataset.Good, Samples: 4, Masks: 1, Areas: []float64{0.025}},
		{Class: "bolt", Split: dataset.Test, Kind: dataset.Unknown, Samples: 1, Masks: 1, Areas: []float64{0.03}},
	}, s.Groups())
	require.Equal(t, "(no split)", audit.SplitOf(dataset.Item{}))
}

// Files tell how deep their colours are; one that cannot be read is a fault and no error.
func TestFaultsOfFiles(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, img image.Image) {
		f, err := os.Create(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, img))
		require.NoError(t, f.Close())
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "bolt"), 0o755))
	for i, name := range []string{"bolt/0.png", "bolt/1.png"} {
		g := image.NewGray(image.Rect(0, 0, 8, 8))
		g.Pix[i] = 200
		put(name, g)
	}
	deep := image.NewGray16(image.Rect(0, 0, 8, 8))
	deep.SetGray16(3, 3, color.Gray16{Y: 40000})
	put("bolt/2.png", deep)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bolt", "3.png"), []byte("words"), 0o600))
	ds, err := dataset.OpenFolders(dir)
	require.NoError(t, err)
	s, err := audit.Look(t.Context(), ds)
	require.NoError(t, err)
	require.Equal(t, "grey 8-bit png", s[0].Depth)
	require.ErrorIs(t, s[3].Err, dataset.ErrDecode)
	var notes strings.Builder
	require.NoError(t, s.WriteUnread(&notes))
	require.Equal(t, "note: "+s[3].Err.Error()+"\n", notes.String())
	require.ErrorIs(t, s.WriteUnread(nil), dataset.ErrConfig)
	faults := s.Faults()
	require.Len(t, faults, 2)
	require.Equal(t, "unreadable", faults[0].What)
	require.Equal(t, audit.Fault{What: "colour depth", Detail: "bolt/2.png is grey 16-bit png, 2 images of class bolt are grey 8-bit png"}, faults[1])
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = audit.Look(ctx, ds)
	require.ErrorIs(t, err, context.Canceled)
}

// A part joins two duplicates into one group.
func TestTogether(t *testing.T) {
	items := []dataset.Item{{Name: "a", Class: "x"}, {Name: "b", Class: "x", Group: "p"}, {Name: "c", Class: "x", Group: "p"}, {Name: "d", Class: "x"}, {Name: "e", Class: "y"}, {Name: "f", Class: "x"}}
	all := make(audit.Survey, len(items))
	for i, h := range []byte{1, 1, 2, 2, 1, 3} {
		all[i].Sum[0] = h
	}
	n, err := all.Together(items)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	for _, i := range []int{0, 1, 2, 3} {
		require.Equal(t, "same as a", items[i].Group)
	}
	require.Empty(t, items[4].Group+items[5].Group)
	_, err = all.Together(items[1:])
	require.ErrorIs(t, err, dataset.ErrConfig)
}

// The sheet has a row a class, and the outline of each mask, however small it becomes.
func TestSheet(t *testing.T) {
	ds := memory(t, sample("a", dataset.Train, dataset.Good, 1, -1), sample("b", dataset.Test, "cut", 2, 43))
	s, err := audit.Look(t.Context(), ds)
	require.NoError(t, err)
	img, err := audit.Sheet(t.Context(), ds, s)
	require.NoError(t, err)
	outline := 0
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			if img.RGBAAt(x, y) == (color.RGBA{255, 0, 200, 255}) {
				outline++
			}
		}
	}
	require.Greater(t, outline, 100)
	_, err = audit.Sheet(t.Context(), ds, s[1:])
	require.ErrorIs(t, err, dataset.ErrConfig)
}

// No argument of anything that this package exports makes it panic, hang or take memory without
// bound.
func TestHostileArguments(t *testing.T) {
	ds := memory(t, sample("a", dataset.Train, dataset.Good, 1, -1), sample("b", dataset.Test, "cut", 2, 5))
	s, err := audit.Look(t.Context(), ds)
	require.NoError(t, err)
	r := hostile.Registry{
		Funcs:  []any{audit.Look, audit.Sheet, audit.SplitOf, audit.Check, audit.WriteCounts},
		Types:  []any{new(audit.Facts), new(audit.Survey), new(audit.Fault), new(audit.Group)},
		Values: []any{ds, s, s[1], dataset.Items(ds)},
	}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	r.Run(t, 200)
}

// What is said of a data set names its classes, and faults are told once.
func TestWords(t *testing.T) {
	ds := memory(t, sample("a", dataset.Train, dataset.Good, 1, -1), sample("leak", dataset.Test, dataset.Good, 1, -1), sample("b", dataset.Test, "cut", 2, 50))
	s, err := audit.Look(t.Context(), ds)
	require.NoError(t, err)
	var b strings.Builder
	require.NoError(t, s.WriteText(&b, ds))
	require.Contains(t, b.String(), "3 images of 1 classes, 0 of them cannot be read")
	require.Contains(t, b.String(), "20x10 (3)")
	b.Reset()
	require.NoError(t, audit.WriteCounts(&b, append(dataset.Items(ds), dataset.Item{})))
	require.Equal(t, "train: 1 normal, 0 with defects\ntest: 1 normal, 1 with defects\n(no split): 0 normal, 0 with defects, 1 without a label\n", b.String())
	faults, notes, err := audit.Check(t.Context(), ds, listed{ds, []dataset.Issue{{Name: "x", Reason: "stray", Stray: true}, {Name: "y", Reason: "lost"}}})
	require.NoError(t, err)
	require.Len(t, faults, 2)
	require.Contains(t, faults[0], "layout: y")
	require.Contains(t, faults[1], "same pixels in two splits")
	require.Contains(t, notes[0].String(), "stray")
}

// listed is a data set with issues.
type listed struct {
	dataset.Dataset
	issues []dataset.Issue
}

func (l listed) Issues() []dataset.Issue { return l.issues }
