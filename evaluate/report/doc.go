// Package report writes what an evaluation found as a folder for people: one page that
// needs no other file, and its tables and pictures as files of their own.
//
//	w, err := report.Create(dir, report.Head{Title: "...", Gallery: report.DefaultGallery()})
//	if err != nil {
//		return err
//	}
//	defer w.Close()
//	for each class {
//		... fit, score ...
//		if err := w.Add(ctx, report.Class{...}); err != nil { // asks for pictures while the detector is there
//			return err
//		}
//	}
//	return w.Finish()
//
// [Write] does all of it where everything is at hand.
//
// The page, report.html, holds
//
//   - a table of classes and detectors by figures, each with what is known of its uncertainty
//     and the protocol that it was made by, and means over the classes,
//   - for each class what the threshold does to its very images, how detectors differ by
//     DeLong's paired test, the ROC and the precision-recall curves, and the histogram of the
//     scores with the threshold,
//   - for each class a gallery, the worst first: the defective parts of the lowest scores,
//     then the good parts of the highest, then a few that are typical. Each shows the image,
//     the truth, the map of each detector, and the cut.
//
// Pictures are in the page as data: addresses, the style is in its head, there is no
// script, and a policy in the head forbids the browser to load anything. Beside it lie
// table.csv, table.json and table.md, and a folder for each class with the plots and, in
// gallery/, the rows of pictures at their full size.
//
// The package knows no detector: it is given numbers, and asks for the pictures of the parts
// that it shows one after the other, so that one part is in memory at a time. [Gallery.Parts] says
// which parts it will ask for, so that the detectors of a class need not be open together.
package report
