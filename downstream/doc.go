// Package downstream holds detectors that find defects with the features of a
// backbone. A detector is fitted on good images of one product and then says for every further image how abnormal it
// is, as a whole and at each place:
//
//	det, err := downstream.NewPaDiM(net, downstream.DefaultPaDiM(), nil)
//	if err != nil {
//		return err
//	}
//	defer det.Close()
//	if err := det.Fit(ctx, good); err != nil {
//		return err
//	}
//	if _, err := det.Calibrate(ctx, held, metrics.Overkill(0.05)); err != nil {
//		return err
//	}
//	results, err := det.Score(ctx, img)
//	if err != nil {
//		return err
//	}
//	verdict, err := results[0].Verdict() // ErrNotCalibrated without Calibrate
//
// A score alone says little: scores of different detectors, or of one detector fitted
// twice, are not on one scale. So a fitted detector is calibrated on labelled parts that it
// was not fitted on; from then on its results decide.
//
// The calibration is saved with the detector. It ends with the next Fit, Update, Train or
// Reset. A [metrics.Rule] says how the threshold is chosen, and what so many parts can
// promise.
//
// An image that comes as a file is to be read with [dataset.Decode], or with the
// decoder of the detector's transform ([dataset.Transform.Decoder]): it then has
// the pixels that a fit on files had, with its EXIF orientation followed.
//
// Package classify names defects. It is no detector: it is fitted on images whose
// defects have names, and says which of them a further image shows.
//
// [RegAD] is for products of which there are only a few good images: it is
// trained on other products first, and then fitted on those few.
//
// A detector borrows the backbone: any [Extractor] will do, and it must stay
// open and unchanged as long as the detector is used; RegAD alone trains a copy
// of its own.
//
// # Files
//
// WriteTo and Save write a fitted detector as safetensors: what was fitted, settings, transform and calibration, not the
// backbone. Read and Open give it back: it scores as the one that was written, bit for bit on the same machine, and draws
// as that one would. Their extractor must be that of the fit: it is run once on a fixed image, and one that answers
// otherwise is [ErrExtractor]. A damaged file is [ErrFile]. Before a fit there is [ErrNotFitted].
package downstream
