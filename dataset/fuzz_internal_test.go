package dataset

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"os"
	"testing"
	"unicode/utf8"

	"github.com/gotab/gotab/internal/tiff"
)

// kindSeeds are the files of testdata/parity/files.py that begin like a format.
func kindSeeds(f *testing.F, c codec) (out [][]byte) {
	f.Helper()
	for _, part := range []string{"tiff", "others", "colours"} {
		file, err := os.Open("testdata/parity/files_" + part + ".gz")
		if err != nil {
			f.Fatal(err)
		}
		z, err := gzip.NewReader(file)
		if err != nil {
			f.Fatal(err)
		}
		r := bufio.NewReader(z)
		line, err := r.ReadBytes('\n')
		if err != nil {
			f.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			f.Fatal(err)
		}
		if err := file.Close(); err != nil {
			f.Fatal(err)
		}
		var index struct{ Files []struct{ At [2]int } }
		if err := json.Unmarshal(line, &index); err != nil {
			f.Fatal(err)
		}
		for _, k := range index.Files {
			if data := body[k.At[0]:][:k.At[1]]; c.is(data) {
				out = append(out, data)
			}
		}
	}
	if len(out) == 0 {
		f.Fatalf("no seeds for %s", c.name)
	}
	return out
}

// fuzzCodec decodes without the net that Decoder spreads under decoders: nothing
// may panic, and what is decoded has the size of the header.
func fuzzCodec(f *testing.F, name string) {
	var c codec
	for _, k := range codecs() {
		if k.name == name {
			c = k
		}
	}
	for _, data := range kindSeeds(f, c) {
		f.Add(data)
		f.Add(data[:len(data)*2/3])
	}
	d := DefaultDecoder()
	d.MaxPixels = 1 << 16
	f.Fuzz(func(t *testing.T, data []byte) {
		if !c.is(data) || int64(len(data)) > d.maxFile() {
			return
		}
		size, err := c.size(data)
		if err == nil {
			err = d.admit(c, size)
		}
		if err != nil {
			return
		}
		for _, use := range []purpose{picturePixels, maskPixels} {
			p, err := c.decode(d, data, use)
			if err != nil {
				continue
			}
			if got := p.Bounds(); got.Size() != size || got.Min != (image.Point{}) {
				t.Fatalf("an image of %v, the header says %v", got, size)
			}
			p.turn = orientation(c.name, data)
			if p.turn < 1 || p.turn > 8 {
				t.Fatalf("orientation %d", p.turn)
			}
			if use == maskPixels {
				if m, facts := d.mask(p); m.Rect.Size() != turned(size, p.turn) || facts.share < 0 || facts.share > 1 {
					t.Fatalf("a mask of %v, share %v", m.Rect, facts.share)
				}
				continue
			}
			if img := d.colours(p); img.Rect.Size() != turned(size, p.turn) {
				t.Fatalf("colours of %v", img.Rect)
			}
		}
		// What Check learns of the first bytes must not depend on a net either.
		_ = fmt.Sprint(look(c, data))
		if c.name == "TIFF" {
			_ = fmt.Sprint(tiff.ReadHeader(data[:min(len(data), 16)], bytes.NewReader(data), int64(len(data))))
		}
	})
}

func FuzzTIFF(f *testing.F) { fuzzCodec(f, "TIFF") }
func FuzzBMP(f *testing.F)  { fuzzCodec(f, "BMP") }
func FuzzPNM(f *testing.F)  { fuzzCodec(f, "PNM") }
func FuzzPNG(f *testing.F)  { fuzzCodec(f, "PNG") }
func FuzzJPEG(f *testing.F) { fuzzCodec(f, "JPEG") }
func FuzzWebP(f *testing.F) { fuzzCodec(f, "WebP") }
func FuzzGIF(f *testing.F)  { fuzzCodec(f, "GIF") }

// The net itself: files of no known kind, and damaged ones.
func TestDecoderReportsDamageOfEveryKind(t *testing.T) {
	d := DefaultDecoder()
	d.MaxPixels = 1 << 16
	for _, data := range [][]byte{[]byte("II*\x00\x08\x00\x00\x00"), []byte("BM"), []byte("P5"), []byte("P5 9"), []byte("RIFF\x10\x00\x00\x00WEBPVP8 "), []byte("GIF89a")} {
		if _, err := d.Image(bytes.NewReader(data)); err == nil {
			t.Errorf("%q was read", data)
		}
	}
}

// FuzzTable reads lists of any bytes: a row has all its columns, and the text is
// bounded by what it is read from.
func FuzzTable(f *testing.F) {
	for _, seed := range []string{"sep=;\nimage;label\na\\b;c\n", "\xff\xfei\x00m\x00a\x00g\x00e\x00", "image,label\n\"x\"\"y\",\"a\nb\"\n", "\xef\xbb\xbfimage\tlabel\n1\t2"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text, err := io.ReadAll(utf8Reader(bytes.NewReader(data)))
		if err != nil {
			return
		}
		if len(text) > 3*len(data)+3 {
			t.Fatalf("%d bytes became %d", len(data), len(text))
		}
		rows, err := parseTable(text, []string{"image", "label"})
		if err == nil && len(rows) == 0 {
			t.Fatal("no rows and no error")
		}
		for _, r := range rows {
			if len(r) != 2 {
				t.Fatalf("a row of %d", len(r))
			}
		}
	})
}

// FuzzNames escapes names of any bytes and back.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"\xb6\xcb%41", "%B6", "a%25\xff", "端子\xd7"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if back, ok := unescapeName(escapeName(name)); ok != !utf8.ValidString(name) || ok && back != name {
			t.Fatalf("%q became %q", name, back)
		}
		if raw, ok := unescapeName(name); ok && escapeName(raw) != name {
			t.Fatalf("%q stands for %q, which is shown otherwise", name, raw)
		}
		if !utf8.ValidString(page437(name)) {
			t.Fatalf("%q is read as no UTF-8", name)
		}
	})
}
