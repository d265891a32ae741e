package ycc

import (
	"encoding/binary"
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
