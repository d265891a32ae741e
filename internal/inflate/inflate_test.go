package inflate

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"fmt"
	"io"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// texts are contents that use every kind of code: no repetition, few symbols, long and short
// distances, overlapping ones, skewed frequencies that make long codes.
func texts() map[string][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 70_000)
	few := make([]byte, 50_000)
	skewed := make([]byte, 200_000)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	for i := range few {
		few[i] = byte(rng.IntN(3))
	}
	for i := range skewed {
		skewed[i] = byte(min(int(rng.ExpFloat64()*9), 255))
	}
	far := append(append([]byte{}, noise[:32_768]...), noise[:32_768]...)
	words := bytes.Repeat([]byte("good part, bad part; "), 4000)
	for i := 0; i < len(words); i += 1 + rng.IntN(60) {
		words[i] = byte('a' + rng.IntN(26))
	}
	return map[string][]byte{
		"nothing": {}, "one": {7}, "two": {7, 8}, "zeros": make([]byte, 100_000), "few": few, "noise": noise, "skewed": skewed, "far": far, "words": words,
		"pairs": bytes.Repeat([]byte{1, 2}, 30_000), "threes": bytes.Repeat([]byte{1, 2, 3}, 30_000), "nines": bytes.Repeat([]byte("123456789"), 3000),
	}
}

func packed(t testing.TB, text []byte, level int) []byte {
	var out bytes.Buffer
	w, err := zlib.NewWriterLevel(&out, level)
	require.NoError(t, err)
	_, err = w.Write(text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func TestEqualsWhatWasPacked(t *testing.T) {
	for name, text := range texts() {
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 1, 6, 9} {
			at := fmt.Sprintf("%s at level %d", name, level)
			stream := packed(t, text, level)
			dst := make([]byte, len(text))
			n, err := Zlib(dst, stream)
			require.NoError(t, err, at)
			require.Equal(t, len(text), n, at)
			require.True(t, bytes.Equal(text, dst), at)

			roomy := bytes.Repeat([]byte{9}, len(text)+1000)
			n, err = Zlib(roomy, append(bytes.Clone(stream), "more"...))
			require.NoError(t, err, at)
			require.Equal(t, text, roomy[:n:n], at)
			_, used, err := Raw(roomy, append(bytes.Clone(stream[2:]), "more"...))
			require.NoError(t, err, at)
			require.Equal(t, len(stream)-6, used, at)

			if len(text) > 0 {
				_, err = Zlib(make([]byte, len(text)-1), stream)
				require.ErrorIs(t, err, ErrTooLong, at)
			}
		}
	}
}

// A stream that ends early is found at every length, and one of which a byte is another is found too or
// fails the checksum.
func TestDamagedStreams(t *testing.T) {
	text := texts()["words"][:3000]
	for _, level := range []int{flate.NoCompression, flate.HuffmanOnly, 6} {
		stream := packed(t, text, level)
		dst := make([]byte, len(text))
		for n := range stream {
			_, err := Zlib(dst, stream[:n])
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%d of %d bytes at level %d", n, len(stream), level)
		}
		for at := range stream {
			broken := bytes.Clone(stream)
			broken[at] ^= 0x55
			_, err := Zlib(dst, broken)
			require.Error(t, err, "byte %d at level %d", at, level)
		}
	}
	for name, stream := range map[string][]byte{
		"a dictionary":             {0x78, 0x20 | 0x1b, 0, 0, 0, 0},
		"another method":           {0x77, 0x85, 3, 0, 0, 0, 0, 1},
		"a wrong head":             {0x78, 0x9d, 3, 0, 0, 0, 0, 1},
		"a kind of block too many": {0x78, 0x9c, 7, 0, 0, 0, 0, 1},
		"a distance before all":    {0x78, 0x9c, 3 | 0x08, 0x02, 0, 0, 0, 0, 1},
	} {
		_, err := Zlib(make([]byte, 100), stream)
		require.ErrorIs(t, err, ErrCorrupt, name)
	}
	n, err := Zlib(nil, []byte{0x78, 0x9c, 3, 0, 0, 0, 0, 1}) // an empty block
	require.NoError(t, err)
	require.Zero(t, n)
}

// A stream of blocks with the fixed codes, each of ten bits, makes no table for them: there is one for all streams.
func TestFixedTablesAreMadeOnce(t *testing.T) {
	one, err := fixed()
	require.NoError(t, err)
	// Kind 1, then the end, of seven bits 0; the last block has the literals of "bad".
	bit, stream := 0, make([]byte, 5010)
	put := func(v, n int) { // the lowest bit first
		for i := range n {
			stream[bit/8] |= byte(v>>i&1) << (bit % 8)
			bit++
		}
	}
	for range 4000 {
		put(0b010, 3)
		put(0, 7)
	}
	put(0b011, 3)
	for _, c := range []byte("bad") {
		put(int(bits.Reverse8(0x30+c)), 8)
	}
	put(0, 7)
	own := new(tables)
	d := decoder{src: stream, dst: make([]byte, 10), t: own}
	require.NoError(t, d.blocks())
	require.Equal(t, "bad", string(d.dst[:d.out]))
	require.Equal(t, new(tables), own, "tables of the stream's own")
	require.Same(t, one, d.use)
}

// Whatever it is given, it says what compress/flate says.
func FuzzRaw(f *testing.F) {
	for _, text := range texts() {
		for _, level := range []int{flate.HuffmanOnly, 0, 6} {
			stream := packed(f, text[:min(len(text), 2000)], level)
			f.Add(stream[2:len(stream)-4], uint16(2000))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte, room uint16) {
		dst := make([]byte, room)
		n, used, err := Raw(dst, stream)
		in := bytes.NewReader(stream)
		want, wrong := io.ReadAll(io.LimitReader(flate.NewReader(in), int64(room)+1))
		if err != nil {
			require.False(t, wrong == nil && len(want) <= int(room), "%v, and compress/flate reads it", err)
			return
		}
		require.NoError(t, wrong)
		require.True(t, bytes.Equal(want, dst[:n]))
		require.Equal(t, len(stream)-in.Len(), used)
	})
}

// BenchmarkZlib takes a stream of literals mostly, as of a photograph, and one of matches.
func BenchmarkZlib(b *testing.B) {
	for _, name := range []string{"skewed", "words"} {
		text := texts()[name]
		stream := packed(b, text, 6)
		dst := make([]byte, len(text))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := Zlib(dst, stream); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/compress/zlib", func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				r, err := zlib.NewReader(bytes.NewReader(stream))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(r, dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
