package synth

import (
	"math"
	"math/rand/v2"
)

// maxPixels bounds lengths that are given in pixels.
const maxPixels = 1 << 14

// Size is the law of a defect's side: evenly on a logarithmic scale from Least pixels to Share of the image's shorter
// side, so that small defects are as frequent as their share of that scale. Where the image is too small for the one to lie
// above the other the side is Least, and never more than the image's shorter side.
type Size struct {
	Least float64 // pixels, 1 to 16384
	Share float64 // of the shorter side, above 0, at most 1
}

// SmallDefects is the law of defects that cameras of a line see: from 4 pixels to three tenths of the image.
func SmallDefects() Size { return Size{Least: 4, Share: 0.3} }

// fault says what is wrong, in words that follow "it"; empty where nothing is.
func (s Size) fault() string {
	switch {
	case !(s.Least >= 1 && s.Least <= maxPixels):
		return "must have Least from 1 to 16384"
	case !(s.Share > 0 && s.Share <= 1):
		return "must have Share above 0 and at most 1"
	}
	return ""
}

// draw returns a side in pixels for an image of w x h.
func (s Size) draw(rng *rand.Rand, w, h int) float64 {
	short := float64(min(w, h))
	return min(logBetween(rng, Span{s.Least, max(s.Least, s.Share*short)}), short)
}

// logBetween draws evenly on a logarithmic scale from [s.Lo, s.Hi); s.Lo is above 0.
func logBetween(rng *rand.Rand, s Span) float64 {
	return math.Exp(between(rng, Span{math.Log(s.Lo), math.Log(s.Hi)}))
}

// within says whether lo <= s.Lo <= s.Hi <= hi.
func (s Span) within(lo, hi float64) bool { return s.Lo >= lo && s.Lo <= s.Hi && s.Hi <= hi }
