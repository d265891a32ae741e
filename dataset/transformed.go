package dataset

import "fmt"

// Transformed is a [Dataset] that can say which [Transform] its samples have
// gone through, so that it is not applied a second time: a second time is not
// always without effect (a centre that is cut out of a resized image, for
// instance). [Cached] is one, and what [Subset], [Filter], [Concat] and [Apply]
// make of it; so is what [NewRegion] makes of it where it cuts nothing. A data
// set of your own that wraps another one should forward it with [TransformOf].
type Transformed interface {
	Dataset
	// Transform returns the transform that all samples have gone through last.
	// It returns false if there is none, or not one for all samples.
	Transform() (Transform, bool)
}

// TransformOf returns the transform that the samples of ds have gone through, and
// false if ds does not say so.
func TransformOf(ds Dataset) (Transform, bool) {
	if t, ok := ds.(Transformed); ok {
		return t.Transform()
	}
	return Transform{}, false
}

// AppliedTo says whether the samples of ds have gone through this transform
// already: whether its [Transform.Fingerprint] is that of [TransformOf].
func (t Transform) AppliedTo(ds Dataset) bool {
	of, ok := TransformOf(ds)
	return ok && of.Fingerprint() == t.Fingerprint()
}

// Fingerprint identifies what the transform does to images and masks: it is the
// same for two transforms if and only if all their settings are. It says nothing
// about [Transform.Shared]. The text may differ between versions of this package.
func (t Transform) Fingerprint() string {
	return fmt.Sprintf("transform shorter=%d exact=%d,%d filter=%d crop=%d,%d rowsfirst=%t bits16=%d",
		t.Shorter, t.Exact.X, t.Exact.Y, int(t.Filter), t.Crop.X, t.Crop.Y, t.RowsFirst, t.Bits16)
}

// Transform implements [Transformed].
func (s *subset) Transform() (Transform, bool) { return TransformOf(s.ds) }

// Transform implements [Transformed]: the transform of all parts, if it is one.
func (c *concat) Transform() (Transform, bool) {
	if len(c.parts) == 0 {
		return Transform{}, false
	}
	t, ok := TransformOf(c.parts[0])
	for _, p := range c.parts[1:] {
		ok = ok && t.AppliedTo(p)
	}
	if !ok {
		return Transform{}, false
	}
	return t, true
}

// Transform implements [Transformed].
func (r *relabelled) Transform() (Transform, bool) { return TransformOf(r.Dataset) }

// Transform implements [Transformed]. A part that is cut out is not what the
// transform makes of an image any more.
func (r *region) Transform() (Transform, bool) {
	if !r.cfg.Rect.Empty() {
		return Transform{}, false
	}
	return TransformOf(r.Dataset)
}
