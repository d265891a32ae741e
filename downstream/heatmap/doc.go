// Package heatmap draws what a detector says about the places of an image: its
// map over the image, the line around what lies above a threshold, the image
// cut down to that, and rows that put these beside the truth.
//
//	var good heatmap.Good
//	for sc, err := range det.ScoreSet(ctx, goodImages) {
//		if err != nil {
//			return err
//		}
//		if err := good.Add(sc.Map); err != nil {
//			return err
//		}
//	}
//	scale, err := good.Scale(heatmap.DefaultGood())
//	if err != nil {
//		return err
//	}
//	pic, err := heatmap.Overlay(img, result.Map, scale)
//
// # One scale for all images
//
// A map that is stretched between its own smallest and largest value shows its
// most unusual place in the most alarming colour, on a good part too. So a [Scale]
// is an argument, the same for all images of a product. [Good] takes it from good
// images: what is usual on them has no colour at all, and the colours begin above.
// [ScaleOf] takes the extremes of the maps at hand, for a look at them alone.
//
// Values of two detectors are not on one scale, nor are those of one detector on
// two backbones. To compare them, give each the scale of its own good images, made
// with the same [GoodConfig]: a colour then means the same multiple of the range
// that the detector's values have on good parts.
//
// # Sizes
//
// An image, its mask and its map have one size. Draw at the detector's working
// resolution with the image that its transform makes, or at the input's own with
// [downstream.Map.ToInput]. There, what the detector has not seen is NaN; it is
// hatched, never shown like a good place. NaN anywhere else is [ErrNotFinite].
//
// # Colours
//
// Colours go from yellow over orange and vermilion to a dark brown, over a pale grey
// image. They get darker all the way, so that their order survives grey print and
// colour blindness, and keep away from grey, which is the image's. Lines have a
// dark casing and are seen on any ground: white at a threshold, blue around the truth.
//
// All functions return pictures of their own with origin (0, 0) and full opacity,
// leave their arguments as they are, and are safe for concurrent use.
package heatmap
