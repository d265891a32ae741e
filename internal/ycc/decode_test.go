package ycc

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// segment is a marker with its length.
func segment(marker byte, body string) string {
	return string(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(2+len(body)))) + body
}

// Of many frame headers the first counts, and no more is kept.
func TestManyFrameHeaders(t *testing.T) {
	frame := segment(0xc0, "\x08\x00\x01\x00\x01\xff"+strings.Repeat("R\x11\x00", 255))
	h := headOf([]byte("\xff\xd8" + segment(0xc0, "\x08\x00\x01\x00\x01\x03R\x11\x00G\x11\x00B\x11\x00") + strings.Repeat(frame, 2000)))
	require.Equal(t, "RGB", h.ids)
	require.Equal(t, 3, h.components)
	require.Less(t, len(headOf([]byte("\xff\xd8"+strings.Repeat(frame, 2000))).ids), 1000)
}

// progressive is a grey file of 8x8 with so many scans, all but the first of nothing.
func progressive(scans int) []byte {
	code := "\x01" + strings.Repeat("\x00", 15) + "\x00" // a bit 0: nothing
	return []byte("\xff\xd8" + segment(0xdb, "\x00"+strings.Repeat("\x01", 64)) + segment(0xc2, "\x08\x00\x08\x00\x08\x01\x01\x11\x00") +
		segment(0xc4, "\x00"+code) + segment(0xc4, "\x10"+code) + segment(0xda, "\x01\x01\x00\x00\x00\x00") + "\x7f" +
		strings.Repeat(segment(0xda, "\x01\x01\x00\x01\x3f\x00")+"\x7f", scans-1) + "\xff\xd9")
}

func TestManyScans(t *testing.T) {
	img, err := Decode(progressive(maxScans))
	require.NoError(t, err)
	require.Equal(t, color.Gray{128}, img.At(7, 7))
	_, err = Decode(progressive(maxScans + 1))
	require.EqualError(t, err, "more than 500 scans are not read; convert it without loss with: jpegtran -outfile NEW.jpg OLD.jpg")
	// What stands behind the end, or within a segment, is no scan of the picture.
	small := segment(0xe1, strings.Repeat("\xff\xda", 1000))
	file := append(append([]byte("\xff\xd8"), small...), progressive(2)[2:]...)
	_, err = Decode(append(file, bytes.Repeat([]byte("\xff\xda\x00\x02"), 1000)...))
	require.NoError(t, err)
	require.Equal(t, 2, scans(file))
	require.Equal(t, 4, scans(progressive(9)[:len(progressive(4))-3]))
	for n := range len(file) {
		require.LessOrEqual(t, scans(file[:n]), 2)
	}
	inks, err := os.ReadFile("testdata/420.jpg")
	require.NoError(t, err)
	require.Equal(t, 1, scans(inks))
}

// Markers of programs behind JFIF's say nothing about colours, whether internal/jpeg8 reads the file or image/jpeg does.
func TestMarkersOfProgramsBehindJFIF(t *testing.T) {
	data, err := os.ReadFile("testdata/444.jpg")
	require.NoError(t, err)
	frame, scan := bytes.Index(data, []byte("\xff\xc0")), bytes.Index(data, []byte("\xff\xda"))
	for i, id := range []byte("RGB") {
		data[frame+10+3*i], data[scan+5+2*i] = id, id
	}
	require.Equal(t, "JFIF", string(data[6:10]))
	after := 4 + int(binary.BigEndian.Uint16(data[4:]))
	want, err := Decode(data)
	require.NoError(t, err)
	for _, more := range []string{segment(0xe0, "JFXX\x00\x10\x00"), segment(0xee, "Adobe\x00\x64\x00\x00\x00\x00\x00") + segment(0xe0, "other")} {
		file := append(append(bytes.Clone(data[:after]), more...), data[after:]...)
		got, err := Decode(file)
		require.NoError(t, err)
		require.Equal(t, want, got)
		// Two bytes more in the scan are image/jpeg's to read.
		got, err = Decode(append(bytes.Clone(file[:len(file)-2]), 0, 0, 0xff, 0xd9))
		require.NoError(t, err)
		a, ok := want.(*image.RGBA)
		require.True(t, ok)
		b, ok := got.(*image.RGBA)
		require.True(t, ok)
		require.Equal(t, a.Rect, b.Rect)
		for i, v := range a.Pix {
			require.LessOrEqual(t, max(v, b.Pix[i])-min(v, b.Pix[i]), byte(5))
		}
	}
}
