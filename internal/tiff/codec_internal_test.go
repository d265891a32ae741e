package tiff

import (
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every code of T.4 leads to its run and to no other, and no code begins another.
func TestFaxTables(t *testing.T) {
	for name, c := range map[string]struct{ short, long string }{
		"white": {faxWhiteShort, faxWhiteLong}, "black": {faxBlackShort, faxBlackLong},
	} {
		short, long, extended := strings.Fields(c.short), strings.Fields(c.long), strings.Fields(faxExtended)
		require.Len(t, short, 64, name)
		require.Len(t, long, 27, name)
		require.Len(t, extended, 13, name)
		all := append(append(append([]string(nil), short...), long...), extended...)
		table := newFaxTable(c.short, c.long)
		for i, code := range all {
			for k, other := range all {
				require.False(t, i != k && strings.HasPrefix(other, code), "%s: %s begins %s", name, code, other)
			}
			want := i
			if i >= 64 {
				want = 64 * (i - 63)
			}
			bits := 0
			for _, b := range code + strings.Repeat("1", faxBits-len(code)) {
				bits = bits<<1 | int(b-'0')
			}
			require.Equal(t, faxCode{int16(want), uint8(len(code))}, table[bits], "%s %s", name, code)
		}
	}
}

func TestPackBitsRunsOverRows(t *testing.T) {
	p := &packBits{data: []byte{2, 1, 2, 3, 0x80, 0xfd, 9, 0, 7}} // 1 2 3, nothing, 9 four times, 7
	got := make([]byte, 0, 8)
	row := make([]byte, 2)
	for range 4 {
		require.NoError(t, p.next(row))
		got = append(got, row...)
	}
	require.Equal(t, []byte{1, 2, 3, 9, 9, 9, 9, 7}, got)
	require.ErrorIs(t, p.next(row), io.ErrUnexpectedEOF)
	require.ErrorIs(t, (&packBits{data: []byte{5, 1}}).next(row), io.ErrUnexpectedEOF)
	require.ErrorIs(t, (&packBits{data: []byte{0xf0}}).next(row), io.ErrUnexpectedEOF)
}

// IEEE 754-2008, binary16.
func TestHalf(t *testing.T) {
	for v, want := range map[uint16]float64{
		0: 0, 1: math.Pow(2, -24), 0x03ff: 1023 * math.Pow(2, -24), 0x0400: math.Pow(2, -14), 0x3555: 0.333251953125,
		0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 0x7c00: math.Inf(1), 0xfc00: math.Inf(-1),
	} {
		require.Equal(t, want, half(v), "%#04x", v)
	}
	require.True(t, math.IsNaN(half(0x7e00)))
}

// Directories that lead to each other in a circle are not followed for ever.
func TestPagesInACircle(t *testing.T) {
	data := []byte("II*\x00\x08\x00\x00\x00" + // first directory: width and height, then the second
		"\x02\x00\x00\x01\x03\x00\x01\x00\x00\x00\x05\x00\x00\x00\x01\x01\x03\x00\x01\x00\x00\x00\x04\x00\x00\x00\x26\x00\x00\x00" +
		"\x00\x00\x08\x00\x00\x00") // second: empty, back to the first
	h, err := DecodeHeader(data)
	require.NoError(t, err)
	require.Equal(t, 5, h.Width)
	require.Equal(t, 4, h.Height)
	require.LessOrEqual(t, h.Pages, len(data))
}
