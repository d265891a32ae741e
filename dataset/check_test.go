package dataset_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// grey16 is a picture whose values are n, 2n, 3n and so on, below max.
func grey16(w, h int, n, most uint16) *image.Gray16 {
	img := image.NewGray16(image.Rect(0, 0, w, h))
	for i := range w * h {
		img.SetGray16(i%w, i/w, color.Gray16{Y: min(uint16(i+1)*n, most)})
	}
	return img
}

func file(data []byte) *fstest.MapFile { return &fstest.MapFile{Data: data} }

func check(t *testing.T, ds dataset.Dataset) dataset.Report {
	t.Helper()
	r, err := dataset.Check(t.Context(), ds, dataset.DefaultCheck())
	require.NoError(t, err)
	return r
}

func notes(r dataset.Report) string {
	var b strings.Builder
	for _, n := range r.Notes {
		fmt.Fprintln(&b, n)
	}
	return b.String()
}

func openMVTec(t *testing.T, fsys fstest.MapFS, change func(*dataset.Decoder)) *dataset.Files {
	t.Helper()
	cfg := dataset.DefaultMVTecAD()
	if change != nil {
		change(&cfg.Decoder)
	}
	ds, err := dataset.NewMVTecAD(fsys, cfg)
	require.NoError(t, err)
	return ds
}

func TestCheckTellsMasksThatMayNotBeMeant(t *testing.T) {
	p := flat(t, 24, 16, 100)
	codes := encodings(t)
	most := image.NewGray(image.Rect(0, 0, 24, 16))
	for i := 60; i < len(most.Pix)-24; i++ {
		if x := i % 24; x > 0 && x < 23 {
			most.Pix[i] = 255
		}
	}
	fsys := fstest.MapFS{"a/train/good/0.png": p, "a/test/good/9.png": p, "a/ground_truth/good/9.png": file(codes["0 and 255"])}
	for i, m := range [][]byte{codes["0 and 255"], codes["0 and 1"], codes["inverted"], codes["0 and 255"], pngBytes(t, image.NewGray(most.Rect)), pngBytes(t, most)} {
		fsys[fmt.Sprintf("a/test/bad/%d.png", i)] = p
		fsys[fmt.Sprintf("a/ground_truth/bad/%d_mask.png", i)] = file(m)
	}
	ds := openMVTec(t, fsys, nil)
	r := check(t, ds)
	require.NoError(t, r.Err())
	require.Equal(t, 8, r.Samples)
	require.Equal(t, 7, r.Masks)
	require.Len(t, r.Notes, 4)
	got := notes(r)
	require.Contains(t, got, "a/ground_truth/bad: its masks are of several kinds")
	require.Contains(t, got, "3 with 0 and 255 (0_mask.png), 1 with 0 and 255 on a bright ground (2_mask.png), 1 with small numbers (1_mask.png)")
	require.Contains(t, got, "a/ground_truth/bad/4_mask.png: its mask marks nothing")
	require.Regexp(t, `a/ground_truth/bad/5_mask.png: its mask marks 7\d %`, got)
	require.Contains(t, got, "a/ground_truth/good/9.png: its mask marks 16 % of a sample that is called good")

	// Through everything that shows files, and of samples that are no files.
	sub, err := dataset.Subset(ds, []int{5, 6})
	require.NoError(t, err)
	again, err := dataset.Apply(sub, dataset.Items(sub))
	require.NoError(t, err)
	cut, err := dataset.NewRegion(dataset.Concat(again, sub), dataset.RegionConfig{Rect: image.Rect(0, 0, 9, 9)})
	require.NoError(t, err)
	kept, err := dataset.NewCached(cut, dataset.Transform{}, 0)
	require.NoError(t, err)
	r = check(t, kept)
	require.Equal(t, 4, r.Masks)
	require.Len(t, r.Notes, 4)
	all := *most
	memory, err := dataset.NewMemory([]dataset.Sample{{Item: dataset.Item{Name: "x", Label: dataset.LabelDefective}, Image: image.NewRGBA(most.Rect), Mask: &all}})
	require.NoError(t, err)
	require.Contains(t, notes(check(t, memory)), "x: its mask marks 7")
}

func TestCheckListsEveryFault(t *testing.T) {
	p := flat(t, 24, 16, 100)
	fsys := fstest.MapFS{
		"a/train/good/0.png": p, "a/train/good/1.png": text(), "a/train/good/2.png": file(nil),
		"a/train/good/3.png": file(pngHeader(1<<20, 1<<20)),
		"a/test/bad/0.png":   p, "a/ground_truth/bad/0_mask.png": maskFile(t, 23, 16),
		"a/test/bad/1.png": p, "a/ground_truth/bad/1_mask.png": text(),
		"a/test/bad/2.png": file([]byte("version https://git-lfs.github.com/spec/v1")),
	}
	ds := openMVTec(t, fsys, nil)
	r := check(t, ds)
	require.Len(t, r.Faults, 6)
	err := r.Err()
	require.ErrorIs(t, err, dataset.ErrDecode)
	require.ErrorIs(t, err, dataset.ErrTooLarge)
	require.ErrorIs(t, err, dataset.ErrMask)
	for _, s := range []string{"6 of 7 samples", "good/1.png", "good/2.png: cannot decode image: the file is empty", "good/3.png: image too large",
		"0_mask.png is 23x16", "1_mask.png", "git lfs pull"} {
		require.ErrorContains(t, err, s)
	}
	// What it says is what reading says.
	for i := range ds.Len() {
		if _, err := ds.Sample(t.Context(), i); err != nil {
			require.Contains(t, r.Err().Error(), err.Error())
		}
	}
	_, err = dataset.Check(t.Context(), nil, dataset.DefaultCheck())
	require.ErrorIs(t, err, dataset.ErrConfig)
	_, err = dataset.Check(t.Context(), ds, dataset.CheckConfig{})
	require.ErrorIs(t, err, dataset.ErrConfig)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = dataset.Check(ctx, ds, dataset.DefaultCheck())
	require.ErrorIs(t, err, context.Canceled)
}

// Pictures of a camera of 10 bits: what Check proposes gives the pixels of full
// scale, the same from file and from memory, and is kept with the transform.
func TestBitsOfPicturesOf16Bits(t *testing.T) {
	fsys := fstest.MapFS{
		"a/train/good/0.png": file(pngBytes(t, grey16(20, 12, 3, 900))),
		"a/train/good/1.png": file(pngBytes(t, grey16(20, 12, 4, 1023))),
		"a/train/good/2.png": flat(t, 20, 12, 9),
	}
	ds := openMVTec(t, fsys, nil)
	r := check(t, ds)
	require.Equal(t, 10, r.Bits)
	require.Equal(t, 2, r.Deep)
	require.Contains(t, notes(r), "its 2 images of 16 bits need 10 bits, 16 are set: they come out dark; set Bits16 to 10")

	tr := dataset.Transform{Bits16: r.Bits}
	require.Equal(t, "10 of 16 bits", tr.String())
	require.Equal(t, 10, tr.Decoder().Bits16)
	require.Equal(t, dataset.DefaultDecoder(), dataset.Transform{}.Decoder())
	require.ErrorIs(t, tr.Agrees(ds), dataset.ErrConfig)
	_, err := dataset.NewLoader(ds, dataset.LoaderConfig{Batch: 1, Workers: 1, Transform: tr, Normalize: dataset.ImageNet()})
	require.ErrorIs(t, err, dataset.ErrConfig)
	require.ErrorContains(t, err, "Transform.Bits16 is 10, the files are read with Decoder.Bits16 16")
	right, err := ds.WithDecoder(tr.Decoder())
	require.NoError(t, err)
	require.NoError(t, tr.Agrees(right))
	require.ErrorIs(t, dataset.Transform{}.Agrees(right), dataset.ErrConfig)
	require.Empty(t, check(t, right).Notes)

	s, err := right.Sample(t.Context(), 1)
	require.NoError(t, err)
	deep := grey16(20, 12, 4, 1023)
	for i := range 20 * 12 {
		want := byte(min((i+1)*4, 1023) >> 2)
		require.Equal(t, color.RGBA{want, want, want, 255}, s.Image.RGBAAt(i%20, i/20))
	}
	before := bytes.Clone(deep.Pix)
	img, err := tr.Image(deep) // as a caller hands it to Score
	require.NoError(t, err)
	require.Equal(t, s.Image, img)
	require.Equal(t, before, deep.Pix, "the image is the caller's")
	img, err = tr.Decoder().Image(bytes.NewReader(fsys["a/train/good/1.png"].Data))
	require.NoError(t, err)
	require.Equal(t, s.Image, img)

	low, err := ds.WithDecoder(dataset.Decoder{MaxPixels: 1 << 20, Bits16: 9, MaskAbove: -1, MaskBackground: -1})
	require.NoError(t, err)
	require.Contains(t, notes(check(t, low)), "need 10 bits, 9 are set: what is brighter comes out white")
	_, err = ds.WithDecoder(dataset.Decoder{})
	require.ErrorIs(t, err, dataset.ErrConfig)
	for _, bits := range []int{-1, 7, 17} {
		require.ErrorIs(t, dataset.Transform{Bits16: bits}.Validate(), dataset.ErrConfig)
	}
}

// exifJPEG is a picture with an orientation, SHORT or LONG, in either byte order.
func exifJPEG(t *testing.T, img image.Image, o byte, long, big bool) []byte {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, jpeg.Encode(&buf, img, &jpeg.Options{Quality: 100}))
	kind := byte(3)
	if long {
		kind = 4
	}
	e := []byte("Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01" + string([]byte{kind, 0, 1, 0, 0, 0, o, 0, 0, 0, 0, 0, 0, 0}))
	if big {
		v := []byte{0, o, 0, 0}
		if long {
			v = []byte{0, 0, 0, o}
		}
		e = []byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12" + string([]byte{0, kind, 0, 0, 0, 1}) + string(v) + "\x00\x00\x00\x00")
	}
	head := append([]byte("\xff\xd8\xff\xe1"), 0, byte(2+len(e)))
	return append(append(head, e...), buf.Bytes()[2:]...)
}

// A picture lies the same on every path, and a mask lies on it.
func TestMasksFollowTheirPictures(t *testing.T) {
	stored := image.NewGray(image.Rect(0, 0, 24, 16))
	for y := range 16 {
		for x := range 24 {
			stored.Pix[y*24+x] = byte(5*x + 3*y)
		}
	}
	bright := image.Rect(1, 1, 7, 5)
	mark := image.NewGray(stored.Rect)
	for y := bright.Min.Y; y < bright.Max.Y; y++ {
		for x := bright.Min.X; x < bright.Max.X; x++ {
			stored.SetGray(x, y, color.Gray{Y: 255})
			mark.SetGray(x, y, color.Gray{Y: 255})
		}
	}
	for o := byte(1); o <= 8; o++ {
		for _, form := range [][2]bool{{false, false}, {true, false}, {false, true}, {true, true}} {
			data := exifJPEG(t, stored, o, form[0], form[1])
			img, err := dataset.Decode(bytes.NewReader(data))
			require.NoError(t, err)
			fsys := fstest.MapFS{"a/train/good/0.jpg": file(data), "a/test/bad/0.jpg": file(data), "a/ground_truth/bad/0_mask.png": file(pngBytes(t, mark))}
			for _, stays := range []bool{false, true} { // MasksStored
				ds := openMVTec(t, fsys, func(d *dataset.Decoder) { d.MasksStored = stays })
				s, err := ds.Sample(t.Context(), 0)
				require.NoError(t, err)
				require.Equal(t, img, s.Image, "orientation %d: fit and score", o)
				s, err = ds.Sample(t.Context(), 1)
				require.NoError(t, err)
				require.Equal(t, img, s.Image)
				require.Equal(t, s.Image.Rect, s.Mask.Rect)
				r := check(t, ds)
				require.NoError(t, r.Err())
				open := o > 1 && o < 5 && !stays
				require.Equal(t, open, strings.Contains(notes(r), fmt.Sprintf("turned by EXIF orientation %d, and sizes do not tell", o)), notes(r))
				if open {
					continue // taken as drawn on the turned picture
				}
				for i, v := range s.Mask.Pix {
					require.Equal(t, v != 0, s.Image.Pix[4*i] > 200, "orientation %d: the mask is beside the defect", o)
				}
			}
			if o < 5 {
				continue
			}
			// Drawn on the turned picture, as its size says.
			turned := image.NewGray(img.Rect)
			for i := range turned.Pix {
				if img.Pix[4*i] > 200 {
					turned.Pix[i] = 255
				}
			}
			fsys["a/ground_truth/bad/0_mask.png"] = file(pngBytes(t, turned))
			s, err := openMVTec(t, fsys, nil).Sample(t.Context(), 1)
			require.NoError(t, err)
			require.Equal(t, turned.Pix, s.Mask.Pix)
		}
	}
}

// Pages and frames beyond the first are said.
func TestCheckTellsPages(t *testing.T) {
	fsys := fstest.MapFS{"a/train/good/0.png": flat(t, 13, 9, 1)}
	n := 0
	for _, k := range kindFiles(t) {
		if k.Pages > 1 {
			fsys["a/train/good/"+k.File] = file(k.data)
			n++
		}
	}
	require.Equal(t, 2, n)
	r := check(t, openMVTec(t, fsys, nil))
	require.NoError(t, r.Err())
	require.Len(t, r.Notes, n)
	for _, note := range r.Notes {
		require.Contains(t, note.Reason, "has 2 pages or frames; the first is read")
	}
}

// The head of every kind of file is read without its pixels, and says the same
// size.
func TestCheckReadsEveryKind(t *testing.T) {
	fsys := fstest.MapFS{}
	files := kindFiles(t)
	for _, k := range files {
		stem := strings.ReplaceAll(k.File, ".", "-")
		fsys["a/train/good/"+k.File] = file(k.data)
		fsys["a/test/bad/"+stem+path.Ext(k.File)] = file(k.data)
		fsys["a/ground_truth/bad/"+stem+".png"] = file(pngBytes(t, image.NewGray(image.Rect(0, 0, k.Width, k.Height))))
	}
	r := check(t, openMVTec(t, fsys, nil))
	require.NoError(t, r.Err())
	require.Equal(t, 2*len(files), r.Samples)
	require.Equal(t, len(files), r.Masks)
	require.Equal(t, 16, r.Bits)
}

// A long part whose ends a centre crop cuts off, with the only defect at an end.
func TestCheckTellsWhatTheCropHides(t *testing.T) {
	mask := image.NewGray(image.Rect(0, 0, 60, 20))
	for y := 5; y < 9; y++ {
		for x := 52; x < 58; x++ {
			mask.SetGray(x, y, color.Gray{Y: 255})
		}
	}
	seen := image.NewGray(mask.Rect)
	seen.SetGray(30, 10, color.Gray{Y: 255})
	p := flat(t, 60, 20, 9)
	ds := openMVTec(t, fstest.MapFS{
		"a/train/good/0.png": p, "a/test/bad/0.png": p, "a/test/bad/1.png": p,
		"a/ground_truth/bad/0_mask.png": file(pngBytes(t, mask)), "a/ground_truth/bad/1_mask.png": file(pngBytes(t, seen)),
	}, nil)
	cfg := dataset.DefaultCheck()
	cfg.Transform = dataset.PaDiM224()
	r, err := dataset.Check(t.Context(), ds, cfg)
	require.NoError(t, err)
	// Of 768x256 pixels after resizing, 224x224 remain.
	require.InDelta(t, 1-224.0*224/(768*256), r.Unseen, 1e-9)
	require.Equal(t, 1, r.Hidden)
	require.Contains(t, notes(r), "cuts off 74 % of images of 60x20, and with that all defects of 1 of 2 masks: what lies there is not seen")
	cfg.Transform = dataset.Square(64)
	r, err = dataset.Check(t.Context(), ds, cfg)
	require.NoError(t, err)
	require.Zero(t, r.Unseen)
	require.Empty(t, r.Notes)
	cfg.Transform.Shorter = -1
	_, err = dataset.Check(t.Context(), ds, cfg)
	require.ErrorIs(t, err, dataset.ErrConfig)
}
