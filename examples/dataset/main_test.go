package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

func put(t *testing.T, root, name string, img image.Image) {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, png.Encode(&buf, img))
	putBytes(t, root, name, buf.Bytes())
}

func putBytes(t *testing.T, root, name string, data []byte) {
	t.Helper()
	at := filepath.Join(root, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
	require.NoError(t, os.WriteFile(at, data, 0o644))
}

// grey is a picture unlike those of other seeds.
func grey(w, h, seed int) *image.Gray {
	g := image.NewGray(image.Rect(0, 0, w, h))
	for i := range g.Pix {
		g.Pix[i] = byte(i*7 + seed*13 + i*seed%11)
	}
	return g
}

func mask(w, h, pixels int) *image.Gray {
	g := image.NewGray(image.Rect(0, 0, w, h))
	for i := range pixels {
		g.Pix[i] = 255
	}
	return g
}

// sound is a small data set without a fault.
func sound(t *testing.T) string {
	root := t.TempDir()
	for i, n := range []string{"000", "001", "002", "003", "004"} {
		put(t, root, "bolt/train/good/"+n+".png", grey(20, 12, i))
	}
	put(t, root, "bolt/test/good/000.png", grey(20, 12, 20))
	put(t, root, "bolt/test/cut/000.png", grey(20, 12, 30))
	put(t, root, "bolt/test/cut/001.png", grey(20, 12, 31))
	put(t, root, "bolt/ground_truth/cut/000_mask.png", mask(20, 12, 24))
	put(t, root, "bolt/ground_truth/cut/001_mask.png", mask(20, 12, 48))
	return root
}

func do(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	err = run(t.Context(), args, &out, &errs)
	return out.String(), errs.String(), err
}

func TestDescribe(t *testing.T) {
	root, sheet := sound(t), filepath.Join(t.TempDir(), "sheet.png")
	out, _, err := do(t, "describe", "-data", root, "-sheet", sheet)
	require.NoError(t, err)
	flat := strings.Join(strings.Fields(out), " ")
	for _, says := range []string{"8 images of 1 classes, 0 of them cannot be read", "bolt train good 5 0 -", "bolt test cut 2 2 10, 20, 20", "bolt test good 1 0 -",
		"bolt 20x12 (8) grey 8-bit png (8)", "contact sheet: "} {
		require.Contains(t, flat, says)
	}
	f, err := os.Open(sheet)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	img, err := png.Decode(f)
	require.NoError(t, err)
	outline := 0
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			if img.At(x, y) == (color.RGBA{255, 0, 200, 255}) {
				outline++
			}
		}
	}
	require.Greater(t, outline, 100, "the outline of two masks")
}

func TestCheckFindsNothing(t *testing.T) {
	out, _, err := do(t, "check", "-data", sound(t))
	require.NoError(t, err)
	require.Equal(t, "no fault found in 8 images\n", out)
}

// Every kind of fault at once: all are listed.
func TestCheckListsAllFaults(t *testing.T) {
	root := sound(t)
	put(t, root, "bolt/test/good/leak.png", grey(20, 12, 0)) // as train/good/000
	put(t, root, "bolt/test/cut/002.png", grey(20, 12, 32))
	put(t, root, "bolt/ground_truth/cut/002_mask.png", mask(20, 12, 0))
	put(t, root, "bolt/test/cut/003.png", grey(20, 12, 33))
	put(t, root, "bolt/ground_truth/cut/003_mask.png", mask(20, 11, 5))
	put(t, root, "bolt/test/cut/004.png", grey(20, 12, 34))
	put(t, root, "bolt/test/good/005.png", grey(20, 12, 35))
	put(t, root, "bolt/ground_truth/good/005_mask.png", mask(20, 12, 7))
	put(t, root, "bolt/test/cut/same.png", grey(20, 12, 20)) // as test/good/000
	deep := image.NewGray16(image.Rect(0, 0, 20, 12))
	put(t, root, "bolt/train/good/deep.png", deep)
	putBytes(t, root, "bolt/train/good/torn.png", pngOf(t)[:60])
	putBytes(t, root, "bolt/train/good/text.png", []byte("words"))
	putBytes(t, root, "bolt/notes.txt", []byte("words"))
	put(t, root, "bolt/stray.png", grey(20, 12, 50))
	out, notes, err := do(t, "check", "-data", root)
	require.ErrorIs(t, err, errFaults)
	for _, says := range []string{
		"layout: bolt/stray.png", "layout: bolt/test/cut/004.png: has no mask", "unreadable: dataset: read bolt/train/good/torn.png", "unreadable: dataset: read bolt/train/good/text.png",
		"empty mask: bolt/ground_truth/cut/002_mask.png of bolt/test/cut/002.png, which is cut",
		"003_mask.png is 20x11, the image is 20x12",
		"mask of a good image: bolt/ground_truth/good/005_mask.png marks 7 pixels of bolt/test/good/005.png",
		"colour depth: bolt/train/good/deep.png is grey 16-bit png",
		"same pixels in two splits: bolt/train/good/000.png in train, bolt/test/good/leak.png in test",
		"same pixels with two labels: bolt/test/cut/same.png is cut, bolt/test/good/000.png is good",
	} {
		require.Contains(t, out, says)
	}
	require.NotContains(t, out, "notes.txt", "a licence or a note is no fault")
	require.Contains(t, notes, "note: bolt/notes.txt")
	require.ErrorContains(t, err, "13 in 17 images", out)
}

func pngOf(t *testing.T) []byte {
	var buf bytes.Buffer
	require.NoError(t, png.Encode(&buf, grey(20, 12, 9)))
	return buf.Bytes()
}

func TestSplitAndCheckItsManifest(t *testing.T) {
	root, list := sound(t), filepath.Join(t.TempDir(), "split.jsonl")
	out, _, err := do(t, "split", "-data", root, "-out", list, "-seed", "3")
	require.NoError(t, err)
	require.Contains(t, out, "train: 4 normal, 0 with defects")
	require.Contains(t, out, "validation: 1 normal, 0 with defects")
	require.Contains(t, out, "test: 1 normal, 2 with defects")
	first, err := os.ReadFile(list)
	require.NoError(t, err)
	_, _, err = do(t, "split", "-data", root, "-out", list, "-seed", "3")
	require.NoError(t, err)
	again, err := os.ReadFile(list)
	require.NoError(t, err)
	require.Equal(t, first, again, "same seed, same bytes")
	_, _, err = do(t, "check", "-data", root, "-manifest", list)
	require.NoError(t, err)

	// A manifest that tears a part apart is caught.
	torn := strings.NewReplacer(`"split":"validation"`, `"split":"validation","group":"p"`, `"split":"test"`, `"split":"test","group":"p"`).Replace(string(first))
	require.NoError(t, os.WriteFile(list, []byte(torn), 0o644))
	out, _, err = do(t, "check", "-data", root, "-manifest", list)
	require.ErrorIs(t, err, errFaults)
	require.Contains(t, out, "one part in two splits: bolt: p is in ")

	// Groups from names: 000 and 001 are one part, 002 to 004 another.
	_, _, err = do(t, "split", "-data", root, "-out", list, "-parts", "train=0.6,validation=0.4", "-group", `good/00([01]|[^01])`)
	require.NoError(t, err)
	out, _, err = do(t, "split", "-data", root, "-out", list, "-shots", "2")
	require.NoError(t, err)
	require.Contains(t, out, "train: 2 normal, 0 with defects")
}

// Pictures that repeat others, and the parts they belong to, stay on one side.
func TestSplitKeepsDuplicatesTogether(t *testing.T) {
	root, list := sound(t), filepath.Join(t.TempDir(), "split.jsonl")
	for i := range 12 {
		put(t, root, fmt.Sprintf("bolt/train/good/again%02d.png", i), grey(20, 12, i%5))
	}
	for seed := range 6 {
		_, notes, err := do(t, "split", "-data", root, "-out", list, "-seed", fmt.Sprint(seed))
		require.NoError(t, err)
		require.Contains(t, notes, "12 images have the pixels of another one")
		_, _, err = do(t, "check", "-data", root, "-manifest", list)
		require.NoError(t, err)
	}
	_, _, err := do(t, "split", "-data", root, "-out", list, "-together=false")
	require.NoError(t, err)
	_, _, err = do(t, "check", "-data", root, "-manifest", list)
	require.ErrorIs(t, err, errFaults)
}

func TestConvert(t *testing.T) {
	root := sound(t)
	to := filepath.Join(t.TempDir(), "out")
	out, _, err := do(t, "convert", "-data", root, "-out", to)
	require.NoError(t, err)
	require.Contains(t, out, "8 images and 2 masks")
	was, err := dataset.OpenMVTecAD(root, "", "")
	require.NoError(t, err)
	now, err := dataset.OpenMVTecAD(to, "", "")
	require.NoError(t, err)
	require.Empty(t, now.Issues())
	require.Equal(t, was.Len(), now.Len())
	for i := range was.Len() {
		a, err := was.Sample(t.Context(), i)
		require.NoError(t, err)
		b, err := now.Sample(t.Context(), i)
		require.NoError(t, err)
		require.Equal(t, a.Image, b.Image)
		require.Equal(t, a.Mask, b.Mask)
		require.Equal(t, [3]string{a.Class, a.Split, a.Defect}, [3]string{b.Class, b.Split, b.Defect})
	}
	_, _, err = do(t, "convert", "-data", root, "-out", to)
	require.ErrorContains(t, err, "is not empty")

	// To a manifest and back.
	list := filepath.Join(root, dataset.ManifestFile)
	_, _, err = do(t, "convert", "-data", root, "-out", list)
	require.NoError(t, err)
	out, _, err = do(t, "describe", "-data", root, "-layout", "manifest")
	require.NoError(t, err)
	require.Contains(t, out, "8 images of 1 classes")

	// Pictures without a split are named, all of them.
	plain := t.TempDir()
	put(t, plain, "good/1.png", grey(5, 5, 1))
	put(t, plain, "bad/1.png", grey(5, 5, 2))
	_, _, err = do(t, "convert", "-data", plain, "-layout", "goodbad", "-out", filepath.Join(t.TempDir(), "x"))
	require.ErrorContains(t, err, "2 images were left out")
	require.ErrorContains(t, err, "bad/1.png is in no split")
	require.ErrorContains(t, err, "good/1.png is in no split")
}

func TestWaferMaps(t *testing.T) {
	data := filepath.Join("..", "..", "dataset", "testdata", "parity", "wm_deflate.npz")
	root := t.TempDir()
	b, err := os.ReadFile(data)
	require.NoError(t, err)
	putBytes(t, root, "w.npz", b)
	list, to := filepath.Join(root, "split.jsonl"), filepath.Join(root, "out")
	_, _, err = do(t, "split", "-data", root, "-layout", "mixedwm38", "-out", list, "-parts", "train=0.5,test=0.5", "-defects", "")
	require.NoError(t, err)
	out, _, err := do(t, "describe", "-data", root, "-layout", "mixedwm38", "-sheet", filepath.Join(root, "sheet.png"))
	require.NoError(t, err)
	require.Contains(t, out, "24 images of 1 classes")
	require.Contains(t, out, "52x52 (24)")
	_, _, err = do(t, "convert", "-data", root, "-layout", "mixedwm38", "-manifest", list, "-out", to)
	require.ErrorContains(t, err, "in train, where the layout has good images only")
}

func TestArguments(t *testing.T) {
	root := sound(t)
	for _, args := range [][]string{
		{}, {"paint"}, {"check"}, {"check", "-data", root, "more"}, {"split", "-data", root}, {"check", "-nothing"}, {"check", "-data", root, "-mask-above", "300"},
		{"split", "-data", root, "-out", "x", "-shots", "-1"}, {"split", "-data", root, "-out", "x", "-shots", "0"}, {"check", "-data", root, "-threads", "-1"}, {"split", "-data", root, "-out", "x", "-parts", "a=b"}, {"split", "-data", root, "-out", "x", "-group", "("}, {"split", "-data", root, "-out", "x", "-group", "good"},
	} {
		_, _, err := do(t, args...)
		require.ErrorIs(t, err, errUsage, args)
	}
	_, _, err := do(t, "check", "-h")
	require.ErrorIs(t, err, flag.ErrHelp)
	for _, args := range [][]string{
		{"check", "-data", filepath.Join(root, "gone")}, {"check", "-data", root, "-layout", "nothing"}, {"check", "-data", root, "-manifest", "gone.jsonl"},
		{"split", "-data", root, "-out", filepath.Join(root, "x"), "-parts", "a=0.5"}, {"split", "-data", root, "-out", filepath.Join(root, "x"), "-shots", "99"},
	} {
		_, _, err := do(t, args...)
		require.Error(t, err, args)
		require.False(t, errors.Is(err, errUsage), args)
	}
	_, err = os.Stat(filepath.Join(root, "x"))
	require.ErrorIs(t, err, os.ErrNotExist)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ctx, []string{"check", "-data", root}, &bytes.Buffer{}, &bytes.Buffer{}), context.Canceled)
}

// check says what is no fault and may not be meant, as the programs do that go on to
// long work.
func TestCheckNotes(t *testing.T) {
	root := sound(t)
	_, stderr, err := do(t, "check", "-data", root)
	require.NoError(t, err)
	require.Empty(t, stderr)
	ones := image.NewGray(image.Rect(0, 0, 20, 12))
	ones.Pix[100] = 1
	put(t, root, "bolt/ground_truth/cut/001_mask.png", ones)
	deep := image.NewGray16(image.Rect(0, 0, 20, 12))
	for i := range 20 * 12 {
		deep.SetGray16(i%20, i/20, color.Gray16{Y: uint16(i * 17)})
	}
	put(t, root, "wide/train/good/000.png", deep)
	stdout, stderr, err := do(t, "check", "-data", root)
	require.NoError(t, err)
	require.Contains(t, stdout, "no fault found in 9 images")
	require.Contains(t, stderr, "note: bolt/ground_truth/cut: its masks are of several kinds")
	require.Contains(t, stderr, "note: the values of its 1 images of 16 bits need 12 bits, 16 are set")
	require.Contains(t, stderr, "note: -bits sets Bits16, and it is 16 now")
	_, stderr, err = do(t, "check", "-data", root, "-bits", "12")
	require.NoError(t, err)
	require.NotContains(t, stderr, "16 bits")

	// What is a fault is said once.
	put(t, root, "bolt/ground_truth/cut/001_mask.png", image.NewGray(image.Rect(0, 0, 20, 12)))
	stdout, stderr, err = do(t, "check", "-data", root)
	require.ErrorIs(t, err, errFaults)
	require.Contains(t, stdout, "empty mask: bolt/ground_truth/cut/001_mask.png")
	require.NotContains(t, stderr, "001_mask.png")
}
