package tiff

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

type appender interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// entries is a directory of numbers (tag, kind, value) at the end of a file.
func entries(order appender, pixels int, numbers ...[3]uint32) []byte {
	mark := "II"
	if order.Uint16([]byte{0, 1}) == 1 {
		mark = "MM"
	}
	b := order.AppendUint32(order.AppendUint16([]byte(mark), 42), uint32(8+pixels))
	b = append(b, make([]byte, pixels)...)
	b = order.AppendUint16(b, uint16(len(numbers)))
	for _, n := range numbers {
		b = order.AppendUint32(order.AppendUint16(order.AppendUint16(b, uint16(n[0])), uint16(n[1])), 1)
		if n[1] == 3 {
			b = append(order.AppendUint16(b, uint16(n[2])), 0, 0)
		} else {
			b = order.AppendUint32(b, n[2])
		}
	}
	return order.AppendUint32(b, 0)
}

// What is read by pieces is what is read from memory, wherever the file is cut.
func TestReadHeaderEqualsDecodeHeader(t *testing.T) {
	for _, order := range []appender{binary.LittleEndian, binary.BigEndian} {
		whole := entries(order, 5000, [3]uint32{tagWidth, 4, 70}, [3]uint32{tagHeight, 3, 50}, [3]uint32{tagBits, 3, 16}, [3]uint32{tagOrientation, 4, 6}, [3]uint32{tagSampleFormat, 3, 2})
		for cut := range len(whole) + 1 {
			if cut > 40 && cut < 5000 {
				continue
			}
			data := whole[:cut]
			want, wrong := DecodeHeader(data)
			got, err := ReadHeader(data[:min(cut, 16)], bytes.NewReader(data), int64(cut))
			require.Equal(t, fmt.Sprint(wrong), fmt.Sprint(err), "%d bytes", cut)
			require.Equal(t, want, got, "%d bytes", cut)
			if cut == len(whole) {
				require.Equal(t, []int{70, 50, 16, 6, 1}, []int{got.Width, got.Height, got.Bits, got.Orientation, got.Pages})
				require.True(t, got.Signed)
			}
		}
	}
}

// A tag of a size may have more values than one, of which the first counts.
func TestReadHeaderTakesTheFirstOfManyValues(t *testing.T) {
	data := entries(binary.LittleEndian, 5000, [3]uint32{tagWidth, 4, 70}, [3]uint32{tagHeight, 4, 8})
	binary.LittleEndian.PutUint32(data[len(data)-12:], 1000) // values of the height, from byte 8 on
	data[8] = 50
	want, err := DecodeHeader(data)
	require.NoError(t, err)
	got, err := ReadHeader(data[:16], bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	require.Equal(t, []int{70, 50}, []int{got.Width, got.Height})
	require.Equal(t, want, got)
}

// A file that is shorter than it was said ends early.
func TestReadHeaderOfAFileThatShrinks(t *testing.T) {
	data := entries(binary.LittleEndian, 5000, [3]uint32{tagWidth, 4, 70}, [3]uint32{tagHeight, 3, 50})
	_, err := ReadHeader(data[:16], bytes.NewReader(data[:3000]), int64(len(data)))
	require.ErrorContains(t, err, "EOF")
}
