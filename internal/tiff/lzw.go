package tiff

// lzwTable is what codes of TIFF's LZW stand for: a part of what has been written.
type lzwTable struct {
	at  [4096]int32
	len [4096]int32
}

// lzw expands a strip into dst, whose length is what it should have, and returns how many bytes it has. ok is false where the stream is
// damaged, or ends before its end code and before dst is full: then the decoder of golang.org/x/image says what is
// wrong. Every string of the table was written before, so that a code is a copy.
func lzw(dst, src []byte) (n int, ok bool) {
	const clear, end, first = 256, 257, 258
	var t lzwTable
	var acc uint64
	have := uint(0)
	width, next := uint(9), first
	last := -1 // code before, or none
	in, out := 0, 0
	var lastAt, lastLen int32
	for out < len(dst) {
		for have < width {
			if in >= len(src) {
				return 0, false
			}
			acc = acc<<8 | uint64(src[in])
			in++
			have += 8
		}
		have -= width
		code := int(acc>>have) & (1<<width - 1)
		switch {
		case code == clear:
			width, next, last = 9, first, -1
			continue
		case code == end:
			return out, true
		case code > next, code == next && last < 0, last < 0 && code > end:
			return 0, false
		}
		at, length := int32(out), int32(1)
		switch {
		case code < clear:
			dst[out] = byte(code)
		case code < next:
			from := t.at[code]
			length = t.len[code]
			if int(length) > len(dst)-out {
				length = int32(len(dst) - out)
			}
			if length <= 16 {
				for i := range length {
					dst[at+i] = dst[from+i]
				}
			} else {
				copy(dst[at:at+length], dst[from:])
			}
		default: // the string before and its first byte, which begins where it ends
			length = lastLen + 1
			if int(length) > len(dst)-out {
				length = int32(len(dst) - out)
			}
			for i := range length {
				dst[at+i] = dst[lastAt+i]
			}
		}
		if last >= 0 && next < 4096 {
			t.at[next], t.len[next] = lastAt, lastLen+1
			next++
			// A code earlier than it must: so the format came to be.
			if next == 1<<width-1 && width < 12 {
				width++
			}
		}
		last, lastAt, lastLen = code, at, length
		out += int(length)
	}
	return out, true
}
