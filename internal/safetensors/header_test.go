package safetensors_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/safetensors"
)

func TestAcceptedOddities(t *testing.T) {
	cases := map[string][]byte{
		"no tensors":                file(`{}`),
		"filled with spaces":        file(`{}      `),
		"data in another order":     file(`{"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1, 2),
		"empty between others":      file(`{"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"e":{"dtype":"U8","shape":[0],"data_offsets":[1,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1, 2),
		"field of a later version":  file(`{"a":{"later":{"x":[1,{"y":null}]},"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1),
		"empty name":                file(`{"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1),
		"metadata of a number":      file(`{"__metadata__":{"k":1}}`),
		"metadata of an object":     file(`{"__metadata__":{"k":{"a":[1]}}}`),
		"a later type":              file(`{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}`, 1),
		"type in small letters":     file(`{"a":{"dtype":"u8","shape":[1],"data_offsets":[0,1]}}`, 1),
		"empty metadata":            file(`{"__metadata__":{}}`),
		"misaligned float":          file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[],"data_offsets":[1,5]}}`, 1, 0, 0, 0, 0),
		"empty with a large factor": file(`{"a":{"dtype":"U8","shape":[0,9223372036854775807],"data_offsets":[0,0]}}`),
	}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := both(t, b)
			require.NoError(t, err)
		})
	}
}

// What a file has besides what is asked for must not keep a reader from the rest of it.
func TestUnknownTypesAndOtherMetadataAreKept(t *testing.T) {
	b := file(`{"__metadata__":{"n":1,"o":{"a":[1, 2]},"s":"text"},"new":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]},"known":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 7, 8, 9)
	f, err := safetensors.Open(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"n": "1", "o": `{"a":[1, 2]}`, "s": "text"}, f.Metadata())
	known, err := f.Bytes("known")
	require.NoError(t, err)
	require.Equal(t, []byte{9}, known)
	raw, err := f.Bytes("new")
	require.NoError(t, err)
	require.Equal(t, []byte{7, 8}, raw)
	_, err = f.Float32("new")
	require.ErrorIs(t, err, safetensors.ErrDType)
	require.ErrorContains(t, err, "F8_E4M3")
}

func TestLies(t *testing.T) {
	const ok = `{"dtype":"U8","shape":[1],"data_offsets":[0,1]}`
	cases := []struct {
		name string
		b    []byte
		want string // the error names this
	}{
		{"empty", nil, "0 bytes"},
		{"seven bytes", make([]byte, 7), "7 bytes"},
		{"header of no bytes", file(``), "start with {"},
		{"length above the bound", binary.LittleEndian.AppendUint64(nil, 100_000_001), "100000001"},
		{"length that is negative as int64", append(bytes.Repeat([]byte{255}, 8), '{', '}'), "18446744073709551615"},
		{"length beyond the file", append(binary.LittleEndian.AppendUint64(nil, 90_000_000), '{', '}'), "90000000"},
		{"a space in front", file(` {}`), "start with {"},
		{"a list", file(`[]`), "start with {"},
		{"cut JSON", file(`{"a":`), "ends early"},
		{"cut in a list", file(`{"a":{"shape":[1`), "ends early"},
		{"cut in a string", file(`{"a`), "header"},
		{"two values", file(`{}{}`), "more than one"},
		{"rubbish behind", file(`{}x`), "more than one"},
		{"broken UTF-8", file("{\"\xff\":" + ok + "}"), "UTF-8"},
		{"name twice", file(`{"a":`+ok+`,"a":`+ok+`}`, 1), `"a" occurs twice`},
		{"name twice, once escaped", file(`{"a":`+ok+`,"\u0061":`+ok+`}`, 1), `"a" occurs twice`},
		{"field twice", file(`{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1), `"dtype" occurs twice`},
		{"metadata twice", file(`{"__metadata__":{},"__metadata__":{}}`), "occurs twice"},
		{"metadata key twice", file(`{"__metadata__":{"k":"1","k":"2"}}`), `"k" occurs twice`},
		{"metadata list", file(`{"__metadata__":[]}`), "__metadata__"},
		{"metadata null", file(`{"__metadata__":null}`), "__metadata__"},
		{"tensor is a string", file(`{"a":"b"}`), `"a"`},
		{"no dtype", file(`{"a":{"shape":[1],"data_offsets":[0,1]}}`, 1), "lacks"},
		{"no shape", file(`{"a":{"dtype":"U8","data_offsets":[0,1]}}`, 1), "lacks"},
		{"no offsets", file(`{"a":{"dtype":"U8","shape":[1]}}`, 1), "lacks"},
		{"type is a number", file(`{"a":{"dtype":8,"shape":[1],"data_offsets":[0,1]}}`, 1), "dtype"},
		{"negative dimension", file(`{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}`, 1), "-1"},
		{"two negative dimensions", file(`{"a":{"dtype":"U8","shape":[-1,-1],"data_offsets":[0,1]}}`, 1), "-1"},
		{"fraction", file(`{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}`, 1), "1.0"},
		{"exponent", file(`{"a":{"dtype":"U8","shape":[1e0],"data_offsets":[0,1]}}`, 1), "1e0"},
		{"dimension as string", file(`{"a":{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}}`, 1), "shape"},
		{"dimension of 2^64", file(`{"a":{"dtype":"U8","shape":[18446744073709551617],"data_offsets":[0,1]}}`, 1), "18446744073709551617"},
		{"product overflows to the right size", file(`{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`), "2^63"},
		{"product overflows beside a zero", file(`{"a":{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}}`), "2^63"},
		{"bytes overflow", file(`{"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}}`), "2^63"},
		{"shape too large for the range", file(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, make([]byte, 8)...), "takes 12 bytes, data_offsets [0 8] give 8"},
		{"shape too small for the range", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}`, make([]byte, 8)...), "takes 4 bytes"},
		{"range backwards", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}`, 1), "[1 0]"},
		{"one offset", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1]}}`, 1), "[1]"},
		{"three offsets", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}`, 1), "[0 1 2]"},
		{"range beyond the data", file(`{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}`, 1, 2), "3 bytes of data"},
		{"terabytes that are not there", file(`{"a":{"dtype":"U8","shape":[1099511627776],"data_offsets":[0,1099511627776]}}`, 1), "1099511627776"},
		{"bytes behind the last", file(`{"a":`+ok+`}`, 1, 2), "1 bytes of data"},
		{"bytes without tensors", file(`{}`, 1), "0 bytes of data"},
		{"hole at the front", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 1, 2), "1 bytes behind the start"},
		{"hole between", file(`{"a":`+ok+`,"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 1, 2, 3), `"b" starts at byte 2, 1 bytes behind tensor "a"`},
		{"overlap", file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 1, 2, 3), `"b" starts at byte 1, inside tensor "a", which ends at 2`},
		{"same range twice", file(`{"a":`+ok+`,"b":`+ok+`}`, 1), `inside tensor`},
		{"a name of megabytes", file(`{"` + strings.Repeat("n", 1<<20) + `":1}`), "nnn..."},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := both(t, c.b)
			require.Error(t, err)
			require.ErrorContains(t, err, c.want)
			require.Less(t, len(err.Error()), 1000, "a message fits a screen")
		})
	}
	_, err := safetensors.Open(bytes.NewReader(nil), -1)
	require.ErrorContains(t, err, "-1")
}

// A header that promises gigabytes must cost no more than what has come.
func TestNoMemoryForLies(t *testing.T) {
	const most = 4 << 20 // bytes; the claims are a thousand times as large
	lies := [][]byte{
		append(binary.LittleEndian.AppendUint64(nil, 99_000_000), '{'),
		file(`{"a":{"dtype":"U8","shape":[1099511627776],"data_offsets":[0,1099511627776]}}`, 1),
		file(`{"a":{"dtype":"U8","shape":[15000000],"data_offsets":[0,15000000]}}`, 1),
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, b := range lies {
		_, err := safetensors.Read(bytes.NewReader(b))
		require.ErrorIs(t, err, safetensors.ErrFormat)
		// Even where the caller was told a wrong size, the header is read as it comes.
		_, err = safetensors.Open(bytes.NewReader(b[:9]), 1<<40)
		require.ErrorIs(t, err, safetensors.ErrFormat)
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(most))
}
