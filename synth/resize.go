package synth

import "math"

// resizeBilinear scales an 8-bit raster of ch interleaved channels from sw x sh to dw x dh. sx and sy are source pixels
// per result pixel: sw/dw and sh/dh for a given size, 1/factor for a given factor; a dw or dh below the full size cuts. It computes what OpenCV's 8-bit
// INTER_LINEAR computes: pixel centres at halves, no smoothing when shrinking, edges repeated, weights in 2^-11.
func resizeBilinear(dst []uint8, dstStride, dw, dh int, src []uint8, srcStride, sw, sh, ch int, sx, sy float64) {
	const one = 1 << 11
	type tap struct{ i0, i1, w0, w1 int32 }
	taps := make([]tap, dw+dh)
	// A factor that rounds to the same size leaves the pixels alone; a result cut to that size does not.
	if dw == sw && dh == sh && math.RoundToEven(float64(sw)/sx) == float64(sw) && math.RoundToEven(float64(sh)/sy) == float64(sh) {
		for y := range dh {
			copy(dst[y*dstStride:][:dw*ch], src[y*srcStride:])
		}
		return
	}
	// Beyond the first and last pixel centre a column takes the edge alone; a row takes the edge twice, with both weights,
	// whose sums are cut separately.
	fill := func(t []tap, n int, scale float64, column bool) {
		for i := range t {
			f := float32((float64(i)+0.5)*scale - 0.5)
			k := int(math.Floor(float64(f)))
			f -= float32(k)
			if column && (k < 0 || k >= n-1) {
				k, f = min(max(k, 0), n-1), 0
			}
			w0 := int32(math.RoundToEven(float64((1 - f) * one)))
			w1 := int32(math.RoundToEven(float64(f * one)))
			t[i] = tap{int32(min(max(k, 0), n-1)), int32(min(max(k+1, 0), n-1)), w0, w1}
		}
	}
	cols, rows := taps[:dw], taps[dw:]
	fill(cols, sw, sx, true)
	fill(rows, sh, sy, false)

	// Two rows of horizontal sums, reused while the source rows stay the same.
	buf := make([]int32, 2*dw*ch)
	lines := [2][]int32{buf[:dw*ch], buf[dw*ch:]}
	held := [2]int32{-1, -1}
	line := func(y int32, keep int32) []int32 {
		for i, v := range held {
			if v == y {
				return lines[i]
			}
		}
		k := 0
		if held[0] == keep {
			k = 1
		}
		held[k] = y
		row, out := src[int(y)*srcStride:], lines[k]
		for x, t := range cols {
			a, b := row[int(t.i0)*ch:], row[int(t.i1)*ch:]
			for c := range ch {
				out[x*ch+c] = int32(a[c])*t.w0 + int32(b[c])*t.w1
			}
		}
		return out
	}
	for y, t := range rows {
		a := line(t.i0, t.i1)
		b := line(t.i1, t.i0)
		out := dst[y*dstStride : y*dstStride+dw*ch]
		for i := range out {
			out[i] = uint8((((t.w0 * (a[i] >> 4)) >> 16) + ((t.w1 * (b[i] >> 4)) >> 16) + 2) >> 2)
		}
	}
}
