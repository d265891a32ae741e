// Package classify names what an image shows: a linear layer on the pooled features of a
// backbone, which stays as it is or is trained with it. It is for products whose defects
// have names:
//
//	train, err := classify.ByDefect(images, nil)
//	if err != nil {
//		return err
//	}
//	c, err := classify.New(net, classify.Default(), rng)
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	if err := c.Fit(ctx, train); err != nil {
//		return err
//	}
//	answers, err := c.Predict(ctx, img)
//
// Names are classes, of which an image shows exactly one ([MultiClass]), or labels, of
// which it shows any number ([MultiLabel]). [ByDefect], [ByClass] and [ByDefects] read
// them from a data set, [Label] asks a function.
//
// Errors, options and the extractor are those of package downstream. A classifier is
// fitted, saved, opened and closed like its detectors.
package classify
