package tiff

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	slow "golang.org/x/image/tiff/lzw"
)

// packLZW packs as TIFF's writers do: a code of one more bit comes a code early, and the table is cleared before it is full.
func packLZW(text []byte) []byte {
	var out []byte
	acc, have, width := uint64(0), uint(0), uint(9)
	put := func(code int) {
		acc, have = acc<<width|uint64(code), have+width
		for ; have >= 8; have -= 8 {
			out = append(out, byte(acc>>(have-8)))
		}
	}
	table, next := map[string]int{}, 258
	code := func(s string) int {
		if len(s) == 1 {
			return int(s[0])
		}
		return table[s]
	}
	put(256)
	w := ""
	for _, b := range text {
		if _, ok := table[w+string([]byte{b})]; ok || w == "" {
			w += string([]byte{b})
			continue
		}
		put(code(w))
		table[w+string([]byte{b})] = next
		next++
		if next == 1<<width && width < 12 {
			width++
		}
		if next == 4094 {
			put(256)
			table, next, width = map[string]int{}, 258, 9
		}
		w = string([]byte{b})
	}
	if w != "" {
		put(code(w))
		if next++; next == 1<<width && width < 12 {
			width++
		}
	}
	put(257)
	if have > 0 {
		out = append(out, byte(acc<<(8-have)))
	}
	return out
}

// It reads what the decoder of golang.org/x/image reads, with the end code and without, and refuses what ends too early.
func TestLZWEqualsTheOther(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	noise, few := make([]byte, 30_000), make([]byte, 30_000)
	for i := range noise {
		noise[i], few[i] = byte(rng.Uint32()), byte(rng.IntN(3))
	}
	for name, text := range map[string][]byte{"nothing": {}, "one": {5}, "zeros": make([]byte, 50_000), "noise": noise, "few": few, "pairs": bytes.Repeat([]byte{1, 2}, 9000)} {
		packed := packLZW(text)
		want, err := io.ReadAll(slow.NewReader(bytes.NewReader(packed), slow.MSB, 8))
		require.NoError(t, err, name)
		require.True(t, bytes.Equal(text, want), name)
		for _, room := range []int{len(text), len(text) + 100} {
			dst := make([]byte, room)
			n, ok := lzw(dst, packed)
			require.True(t, ok, name)
			require.True(t, bytes.Equal(text, dst[:n]), name)
		}
		if len(text) > 100 {
			dst := make([]byte, len(text)/2) // a strip whose last rows nobody wants
			n, ok := lzw(dst, packed)
			require.True(t, ok, name)
			require.True(t, bytes.Equal(text[:n], dst), name)
			_, ok = lzw(make([]byte, len(text)), packed[:len(packed)/2])
			require.False(t, ok, name)
		}
	}
}

// plainLZW reads with a table of whole strings, up to the code 4095, which libtiff has and golang.org/x/image has not.
func plainLZW(src []byte, room int) (out []byte, ok bool) {
	var table [][]byte
	var last []byte
	width, at := 9, 0
	for len(out) < room {
		if at+width > 8*len(src) {
			return nil, false
		}
		code := 0
		for range width {
			code = code<<1 | int(src[at/8]>>(7-at%8)&1)
			at++
		}
		var text []byte
		switch {
		case code == 256:
			table, last, width = nil, nil, 9
			continue
		case code == 257:
			return out, true
		case code < 256:
			text = []byte{byte(code)}
		case last == nil || code > 258+len(table):
			return nil, false
		case code == 258+len(table):
			text = append(bytes.Clone(last), last[0])
		default:
			text = table[code-258]
		}
		if last != nil && 258+len(table) < 4096 {
			table = append(table, append(bytes.Clone(last), text[0]))
			if n := 258 + len(table); n == 511 || n == 1023 || n == 2047 {
				width++
			}
		}
		last = text
		out = append(out, text...)
	}
	return out[:room], true
}

// FuzzLZW holds it against a table of strings, and against the other decoder wherever that reads the stream.
func FuzzLZW(f *testing.F) {
	f.Add(packLZW([]byte("good part, good part, bad part")), uint16(60))
	f.Add(packLZW(make([]byte, 3000)), uint16(3000))
	full := []int{256, 1} // a table that is full: the last code of all, and then the last string but one
	for c := 258; c < 4096; c++ {
		full = append(full, c%256)
	}
	f.Add(codes(append(full, 4095, 4094, 7)...), uint16(60_000))
	f.Fuzz(func(t *testing.T, data []byte, room uint16) {
		dst := make([]byte, room)
		n, ok := lzw(dst, data)
		plain, whole := plainLZW(data, int(room))
		require.Equal(t, whole, ok)
		require.True(t, !ok || bytes.Equal(plain, dst[:n]))
		want, err := io.ReadAll(io.LimitReader(slow.NewReader(bytes.NewReader(data), slow.MSB, 8), int64(room)))
		if err == nil {
			require.True(t, ok)
			require.True(t, bytes.Equal(want, dst[:n]))
		}
	})
}
