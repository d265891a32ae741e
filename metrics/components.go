package metrics

import "image"

// components labels the connected defects of a mask: pixels of 128 and above, joined
// through their 8 neighbours. labels has one element a pixel in row-major order, 0
// outside of defects and from 1 within; sizes[l-1] is the number of pixels of label l.
// Filling from a list of open pixels takes a constant time a pixel whatever the shape.
func components(mask *image.Gray) (labels, sizes []uint32) {
	const unlabelled = ^uint32(0)
	b := mask.Bounds()
	w, h := b.Dx(), b.Dy()
	labels = make([]uint32, w*h)
	for y := range h {
		at := mask.PixOffset(b.Min.X, b.Min.Y+y)
		for x, v := range mask.Pix[at : at+w] {
			if v >= maskThreshold {
				labels[y*w+x] = unlabelled
			}
		}
	}
	var open []int
	for start := range labels {
		if labels[start] != unlabelled {
			continue
		}
		label, size := uint32(len(sizes)+1), uint32(0)
		labels[start] = label
		for open = append(open[:0], start); len(open) > 0; {
			i := open[len(open)-1]
			open = open[:len(open)-1]
			size++
			x, y := i%w, i/w
			for ny := max(0, y-1); ny <= min(h-1, y+1); ny++ {
				for nx := max(0, x-1); nx <= min(w-1, x+1); nx++ {
					if j := ny*w + nx; labels[j] == unlabelled {
						labels[j] = label
						open = append(open, j)
					}
				}
			}
		}
		sizes = append(sizes, size)
	}
	return labels, sizes
}
