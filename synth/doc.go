// Package synth makes damaged twins of good images.
//
// A [Generator] takes a good image (dst), a second good image of the same class (src) and a random source, and returns a
// [Pair]: the damaged image, where damage may lie (Support), where pixels really changed (Mask) and a training label.
// [NSA] cuts patches out of src, resizes them and blends them into dst with Poisson image editing, so that the seam does
// not show (Schlüter et al., "Natural Synthetic Anomalies for Self-Supervised Anomaly Detection and Localization", ECCV 2022).
// [Blender] is the blending by itself; it computes what OpenCV's seamlessClone computes, in float64 and exactly.
//
// Rules that hold for every generator: outside Support the bytes equal those of dst; Mask lies inside Support; the same
// seed gives the same bytes (on one processor architecture); a value is safe for concurrent use as long as each call has its own random source; a draw
// that finds no place, or that changes nothing, is an error ([ErrNotPlaced]) and never a "defect" that is not there.
package synth
