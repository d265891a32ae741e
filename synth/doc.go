// Package synth makes damaged twins of good images.
//
// A [Generator] takes a good image (dst), a second good image of the same class (src) and a random source, and returns a
// [Pair]: the damaged image, where damage may lie (Support), where pixels really changed (Mask), by how much (Change) and a
// training label. Those of the articles:
//
//   - [NSA] cuts patches out of src, resizes them and blends them into dst with Poisson image editing, so that the seam does
//     not show (Schlüter et al., "Natural Synthetic Anomalies for Self-Supervised Anomaly Detection and Localization", ECCV
//     2022). Presets: [DefaultNSA], [OfficialTAB], [ObjectNSA], [TextureNSA], [ClassNSA]; [EllipseShapes] and
//     [CutPasteShapes] change the shape of what is pasted, the modes [Swap] and [Uniform] paste without blending.
//   - [CutPaste] copies a rectangle or a thin turned strip to another place: [DefaultCutPaste], [ScarCutPaste],
//     [ThreeWayCutPaste], [OfficialTABCutPaste].
//   - [Perlin] lays a texture over the image where noise is high: [DRAEMPerlin], [DefaultPerlin], [OfficialTABPerlin].
//     Textures come from images ([TextureImages]) or are drawn ([DrawnTextures]).
//   - [Mask] blanks cells of a grid: [DefaultMask] (TAB's values), [RIADMask].
//
// Those that paint small damage, in forms ([Outlines]) whose sides are even on a logarithmic scale ([Size]): [Noise] fills
// with grain, [Overlay] with a foreign texture or with the product's own material ([TextureOverlay], [ShapeOverlay]), [Stain]
// makes lighter or darker with a soft edge, [Warp] bends what is there. Those that make twins without damage, which count as
// normal (Pair.Normal): [Unchanged] and [Reseam].
//
// [Mixture] draws named kinds by weight and a share of normal twins; [DefaultMixture] holds seven kinds of damage, and a kind
// can be kept out for validation. [Mix] chooses among generators by weight. [Visible] draws again until the change can be seen: on even material seamless
// blending often leaves nothing to see. [Survey] counts, class by class, how often that happens. [Blender] is the blending by
// itself; it computes what OpenCV's seamlessClone computes, in float64 and exactly.
//
// Rules that hold for every generator: outside Support the bytes equal those of dst; Mask lies inside Support; the same
// seed gives the same bytes (on one processor architecture); a value is safe for concurrent use as long as each call has its own random source; a draw
// that finds no place, or that changes nothing, is an error ([ErrNotPlaced]) and never a "defect" that is not there. Memory is
// bounded by the size of the image, and [Reuser] writes into that of an earlier pair.
package synth
