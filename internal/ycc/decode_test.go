package ycc

import (
	"bytes"
	"encoding/binary"
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
