package heatmap

import (
	"image"
	"image/color"
	"slices"
)

// line is how an outline looks.
type line struct{ ink, casing color.RGBA }

// White and the sky blue of Okabe and Ito are far from every colour of the scale; the dark
// casing parts them from a light ground.
func cutLine() line   { return line{color.RGBA{255, 255, 255, 255}, color.RGBA{16, 16, 16, 255}} }
func truthLine() line { return line{color.RGBA{86, 180, 233, 255}, color.RGBA{16, 16, 16, 255}} }

// thick is the shorter side, in pixels, from which on lines are two pixels wide.
const thick = 400

// region is a set of pixels of an image.
type region struct {
	w, h int
	in   []bool
}

func newRegion(w, h int) region { return region{w, h, make([]bool, w*h)} }

func (r region) at(x, y int) bool { return r.in[y*r.w+x] }

// grown is the region with all pixels that are at most n columns and n rows away from it.
func (r region) grown(n int) region {
	rows, out := newRegion(r.w, r.h), newRegion(r.w, r.h)
	for y := range r.h {
		for x := range r.w {
			rows.in[y*r.w+x] = slices.Contains(r.in[y*r.w+max(x-n, 0):y*r.w+min(x+n+1, r.w)], true)
		}
	}
	for y := range r.h {
		for k := max(y-n, 0); k < min(y+n+1, r.h); k++ {
			for x := range r.w {
				out.in[y*r.w+x] = out.in[y*r.w+x] || rows.in[k*r.w+x]
			}
		}
	}
	return out
}

// outline draws the line around the region, and its casing around that.
func (r region) outline(dst *image.RGBA, l line) {
	if !slices.Contains(r.in, true) {
		return
	}
	n := 1
	if min(r.w, r.h) >= thick {
		n = 2
	}
	ink := r.grown(n)
	casing := ink.grown(n)
	for y := range r.h {
		for x := range r.w {
			border := x < n || y < n || x >= r.w-n || y >= r.h-n
			switch {
			case r.at(x, y) && !border || !casing.at(x, y):
			case ink.at(x, y):
				dst.SetRGBA(x, y, l.ink)
			default:
				dst.SetRGBA(x, y, l.casing)
			}
		}
	}
}
