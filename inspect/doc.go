// Package inspect decides about parts on a line: one file that holds all that a verdict
// needs, the bundle, and one type that any number of goroutines ask, the [Inspector].
//
// A bundle is made of a fitted and calibrated detector ([Create]) and opened where parts
// are inspected:
//
//	b, err := inspect.Open(ctx, "nut.gotab")
//	if err != nil {
//		return err
//	}
//	i, err := inspect.New(b, inspect.DefaultConfig())
//	if err != nil {
//		return err
//	}
//	defer i.Close() // the bundle too
//	v, err := i.Inspect(ctx, img) // from any goroutine
//
// A verdict says whether to reject the part, by which threshold, where on the image, and
// which bundle decided. [Bundle.Verify] scores images again that were scored when the
// bundle was made, and [Inspector.Replace] puts another bundle in force, which it
// verifies first, without dropping an image.
//
// [Within] makes a detector look at some places of an image only.
//
// [Inspector.Stats] counts, and tells whether the scores of accepted parts are still
// those that the calibration saw ([Drift]). What people say of parts is kept in a
// [Journal]; [Bundle.Revise] reports what would change if it counted, and
// [Bundle.Recalibrated] writes a bundle in which it does.
//
// docs/inspect.md describes the file, the queue and the test for drift.
package inspect
