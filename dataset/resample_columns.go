package dataset

import "image"

// columnsFirst says whether columns are resized before rows. Pillow does so
// since version 13 where the height shrinks by more than twice what the width
// does, and by something; before, rows were always first. The order decides
// where values are rounded.
func (g geometry) columnsFirst() bool {
	less := g.in.Y - g.full.Y
	return less > 0 && less > 2*(g.in.X-g.full.X)
}

// resampleColumns is resample with columns first: two output rows are summed
// over the columns that matter, rounded, and then resized together.
func (t *tables) resampleColumns(dst *image.RGBA, pix []byte, stride, step int, g geometry, ax, ay *axis) {
	x0, x1, y0, y1 := g.matter(ax, ay)
	cols := x1 - x0
	channels := channelsOf(pix, stride, step, x0, x1, y0, y1)
	ws := t.take()
	defer t.work.Put(ws)
	width := channels * ((cols + 1) / 2)
	slots := ay.taps
	out := channels * ((g.crop.Dx() + 1) / 2)
	ws.reset(channels*cols, slots*width+2*out, width)
	slot := func(row int) []uint64 { return ws.ring[row%slots*width:][:width] }
	up, down := ws.ring[slots*width:][:out], ws.ring[slots*width+out:][:out]
	// Two finished rows of the first pass, four bytes a pixel.
	rows := [2][]byte{make([]byte, 4*cols), make([]byte, 4*cols)}

	made := y0
	for y := g.crop.Min.Y; y < g.crop.Max.Y; y += 2 {
		for half := range 2 {
			// An odd last row is its own neighbour.
			z := min(y+half, g.crop.Max.Y-1)
			for ; made < ay.first[z]+ay.taps; made++ {
				pairs(slot(made), pix[made*stride+x0*step:][:cols*step], step, channels)
			}
			sumRows(ws.acc, slot, ay.first[z], ay.weights(z))
			t.finish(rows[half], ws.acc, channels)
		}
		if channels == 1 {
			widenGray(ws.wide, rows[0], rows[1], 4)
			t.rowsGray(up, down, ws.wide, ax, g.crop.Min.X, g.crop.Max.X, x0)
		} else {
			widenRGB(ws.wide, rows[0], rows[1])
			t.rowsRGB(up, down, ws.wide, ax, g.crop.Min.X, g.crop.Max.X, x0)
		}
		at := (y - g.crop.Min.Y) * dst.Stride
		unpair(dst.Pix[at:][:4*g.crop.Dx()], up, channels)
		if y+1 < g.crop.Max.Y {
			unpair(dst.Pix[at+dst.Stride:][:4*g.crop.Dx()], down, channels)
		}
	}
}

// pairs puts neighbouring pixels into the halves of dst, one word for each
// channel. An odd last pixel is its own neighbour.
func pairs(dst []uint64, src []byte, step, channels int) {
	n := len(src) / step
	for x, i := 0, 0; x < n; x += 2 {
		p, q := src[x*step:], src[min(x+1, n-1)*step:]
		for c := range channels {
			dst[i] = uint64(p[c]) | uint64(q[c])<<32
			i++
		}
	}
}

// unpair is the way back, to four bytes a pixel.
func unpair(out []byte, words []uint64, channels int) {
	i := 0
	for len(out) >= 4 {
		w := words[i : i+channels]
		i += channels
		for half := 0; half < 64 && len(out) >= 4; half += 32 {
			r, g, b := byte(w[0]>>half), byte(w[channels/2]>>half), byte(w[channels-1]>>half)
			out[0], out[1], out[2], out[3] = r, g, b, 255
			out = out[4:]
		}
	}
}
