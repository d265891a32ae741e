package tiff

import (
	"bytes"
	"io"
	"math"
	"math/rand/v2"
	"slices"
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

// usedLZW is a decoder that has read other strips before, with a buffer of the room that it must do with.
type usedLZW struct {
	t   *lzwTable
	buf []byte
}

func newUsedLZW() *usedLZW {
	return &usedLZW{newLZWTable(), make([]byte, lzwRoom(1<<17))}
}

func (u *usedLZW) expand(room int, src []byte) ([]byte, bool) {
	n := int(lzwRoom(int64(room)))
	buf := u.buf[:n:n]
	for i := range buf {
		buf[i] = 0xa5 // what the strip before left there might be right
	}
	return u.t.expand(buf, src)
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
		u := newUsedLZW()
		want, err := io.ReadAll(slow.NewReader(bytes.NewReader(packed), slow.MSB, 8))
		require.NoError(t, err, name)
		require.True(t, bytes.Equal(text, want), name)
		for _, room := range []int{len(text), len(text) + 100} {
			got, ok := u.expand(room, packed)
			require.True(t, ok, name)
			require.True(t, bytes.Equal(text, got), name)
		}
		if len(text) > 100 {
			half := len(text) / 2 // a strip whose last rows nobody wants
			got, ok := u.expand(half, packed)
			require.True(t, ok, name)
			require.True(t, bytes.Equal(text[:half], got), name)
			_, ok = u.expand(len(text), packed[:len(packed)/2])
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

// fullLZW is codes that fill the table: the last one of all, and then the last string but one.
func fullLZW() []int {
	list := []int{256, 1}
	for c := 258; c < 4096; c++ {
		list = append(list, c%256)
	}
	return append(list, 4095, 4094, 7)
}

// longLZW is codes each of which stands for one byte more than the one before.
func longLZW(n int) []int {
	list := []int{256, 3}
	for c := range n {
		list = append(list, 258+c)
	}
	return list
}

// Streams that writers do not make: it reads as the plain decoder does, with any room and where they are cut off.
func TestLZWOfOddStreams(t *testing.T) {
	odd := map[string][]int{
		"no clear code at first":        {65, 66, 258, 259, 257},
		"clear codes at first":          {256, 256, 256, 65, 258, 257},
		"a clear code in the middle":    {256, 65, 66, 258, 256, 67, 258, 258, 257},
		"a clear code behind a clear":   {256, 65, 258, 256, 256, 66, 257},
		"a clear code at the end":       {256, 65, 258, 256, 257},
		"only a clear code":             {256},
		"only the end code":             {257},
		"no end code":                   {256, 65, 66, 258},
		"more behind the end code":      {256, 65, 66, 257, 258, 65},
		"a string that asks for itself": {256, 65, 258, 259, 260, 261, 66, 258, 262, 257},
		"longer than a step":            append(longLZW(60), 66, 290, 275, 274, 273, 272, 257),
		"a string at first":             {256, 258, 257},
		"a code beyond the table":       {256, 65, 66, 260, 257},
		"far beyond the table":          {256, 65, 66, 511, 257},
		"beyond a table that was":       append(append(longLZW(60), 256, 65), 280, 257),
		"as wide as ten bits":           append(longLZW(260), 65, 300, 511, 512, 257),
		"a clear code where it widens":  append(longLZW(252), 256, 65, 258, 257),
		"the end where it widens":       append(longLZW(253), 257),
	}
	u := newUsedLZW()
	both := func(name string, src []byte, room int) {
		want, whole := plainLZW(src, room)
		got, ok := u.expand(room, src)
		require.Equal(t, whole, ok, "%s, room for %d, %d bytes", name, room, len(src))
		require.True(t, !ok || bytes.Equal(want, got), "%s, room for %d, %d bytes", name, room, len(src))
	}
	for name, list := range odd {
		src := codes(list...)
		for room := range 80 {
			both(name, src, room)
		}
		for n := range len(src) + 1 {
			for _, room := range []int{1, 2, 17, 2000} {
				both(name, src[:n], room)
			}
		}
	}
	full := fullLZW()
	for name, list := range map[string][]int{
		"full":                 full,
		"full, with an end":    append(slices.Clip(full), 257),
		"full, and cleared":    append(slices.Clip(full), 256, 9, 258, 257),
		"full for long":        append(append(slices.Clip(full), slices.Repeat([]int{4095, 258, 5, 4000}, 100)...), 257),
		"full of long strings": append(longLZW(3838), 4095, 4094, 9, 258, 257),
	} {
		src := codes(list...)
		for _, room := range []int{0, 1, 3837, 3838, 3839, 8000, 100_000} {
			both(name, src, room)
		}
		for n := len(src) - 12; n <= len(src); n++ {
			both(name, src[:n], 100_000)
		}
	}
	rng := rand.New(rand.NewPCG(2, 2))
	for i := range 3000 {
		list, next := []int{256, rng.IntN(256)}, 258
		for range rng.IntN(600) { // mostly what the table has
			switch k := rng.IntN(400); {
			case k == 0:
				list, next = append(list, 256, rng.IntN(256)), 257
			case k == 1:
				list = append(list, min(next+rng.IntN(3), 4095))
			default:
				if code := rng.IntN(min(next, 4095)); code < 256 || code > 257 {
					list = append(list, code)
				} else {
					list = append(list, next-1)
				}
			}
			next++
		}
		src := codes(list...)
		for range i % 3 {
			src[rng.IntN(len(src))] ^= 1 << rng.IntN(8)
		}
		both("random", src, rng.IntN(5000))
	}
}

// FuzzLZW holds it against a table of strings, and against the other decoder wherever that reads the stream.
func FuzzLZW(f *testing.F) {
	f.Add(packLZW([]byte("good part, good part, bad part")), uint16(60))
	f.Add(packLZW(make([]byte, 3000)), uint16(3000))
	f.Add(codes(fullLZW()...), uint16(60_000))
	f.Add(codes(append(longLZW(300), 65, 300, 256, 7, 258, 257)...), uint16(60_000))
	u := newUsedLZW()
	f.Fuzz(func(t *testing.T, data []byte, room uint16) {
		got, ok := u.expand(int(room), data)
		plain, whole := plainLZW(data, int(room))
		require.Equal(t, whole, ok)
		require.True(t, !ok || bytes.Equal(plain, got))
		want, err := io.ReadAll(io.LimitReader(slow.NewReader(bytes.NewReader(data), slow.MSB, 8), int64(room)))
		if err == nil {
			require.True(t, ok)
			require.True(t, bytes.Equal(want, got))
		}
	})
}

// surface is a text of n bytes as of a camera: slow waves and noise of a few levels.
func surface(n int) []byte {
	rng := rand.New(rand.NewPCG(3, 3))
	text := make([]byte, n)
	for i := range text {
		text[i] = byte(120 + 30*math.Sin(float64(i)/300) + 3*rng.NormFloat64())
	}
	return text
}

func BenchmarkLZW(b *testing.B) {
	text := surface(1 << 16)
	packed, t, buf := packLZW(text), newLZWTable(), make([]byte, lzwRoom(1<<16))
	b.SetBytes(1 << 16)
	for b.Loop() {
		if got, ok := t.expand(buf, packed); !ok || len(got) != len(text) {
			b.Fatal("the stream was not read")
		}
	}
}
