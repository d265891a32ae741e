// Package dataset brings images from a disk, or from memory, to the shape in
// which a network wants them.
//
//   - A [Dataset] is a list of samples that can be read concurrently. Open one
//     of a folder or any fs.FS, a zip file too ([OpenRoot]), with [NewMVTecAD],
//     [NewMVTecAD2], [NewBTAD], [NewKSDD2], [NewVisA], [NewMPDD], [NewMixedWM38],
//     [NewFolders] (a folder a class, only good), [NewGoodBad], [NewManifest] or
//     [NewShards], or by name with [NewLayout]. Make one of images at hand with [NewMemory], and
//     combine them with [Subset], [Filter], [Concat], [NewRegion] and [NewCached].
//   - What a reader passes over is listed (Issues), never dropped in silence.
//   - A [SplitConfig] divides items: seeded, stratified, by parts; [Support] draws
//     k of each class. [WriteManifest] saves the result, one JSON object a line,
//     and [ReadManifest] and [Apply] bring it back. Images of a test split stay
//     there unless one asks for something else by name.
//   - More images than a list in memory holds: [WriteShards] puts them into a few
//     large files, which [Shards] reads at random and a [Window] in one go,
//     shuffled; [NewLongManifest] leaves a manifest where it lies; a [Permutation]
//     is an order that takes no memory. docs/scale-data.md says more.
//   - A [Transform] resizes and crops, equal to Pillow and torchvision byte for
//     byte; masks follow with nearest neighbour, or bilinearly as some
//     evaluations have it.
//   - A [Normalize] turns bytes into float32 as torchvision does.
//   - A [Loader] does all of it in parallel and ahead of the device, within a
//     memory budget, with an output that does not depend on its workers.
//
// Colour images are *image.RGBA with alpha 255 and origin (0,0); masks are
// *image.Gray with 0 (good) and 255 (defective). PNG, JPEG, BMP, TIFF, WebP, GIF and
// PNM are read, in all the kinds that docs/files.md lists, and turned as their EXIF
// orientation says; [Decoder] states the rules, and [Decode] reads one image as
// the readers do. Masks may be encoded in any way: a defect is what is not the
// background. [Check] looks at all files before long work.
//
// Pixels are Pillow's, byte for byte but for progressive JPEG and that of four
// colours, which come within 3 of 255: image/jpeg rounds the cosine transform
// otherwise than libjpeg. docs/files.md has the exceptions.
//
// The package is pure Go.
package dataset
