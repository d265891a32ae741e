// Package evaluate says how well a detector finds the defects of a class, how sure
// that is, and what it means for a line.
//
// A [Trial] is one [Method] on one class with one [Seed]. [Run] fits its [Detector] on
// the good images, scores the test images of any dataset.Dataset, and returns an
// [Outcome]: the scores, and a [Record] with all figures, their intervals and the
// [Protocol] that they were made by. A detector has three methods, Fit, Score and
// Close; package evaluate/detectors has those of package downstream.
//
//   - Images: area under the ROC curve with DeLong's interval, average precision with
//     a bootstrap interval, largest F1.
//   - Pixels, where there are maps and masks: area under the ROC curve, average
//     precision and the per-region overlap (AUPRO), whose intervals draw whole images.
//     They are exact while the pixels fit into a budget and counted in bins beyond, with
//     a bound on the error.
//   - A line: escape (defects that are shipped) and overkill (good parts that are
//     rejected) at the threshold of a metrics.Rule. [NewCrossFit] chooses the threshold on one
//     half of the test images and counts on the other, and the other way round.
//   - All intervals are over the images. They say what other test images of the kind
//     would give, not what another training would: for that, run several seeds.
//
// A [Store] keeps records as JSON lines and knows what is done already. [Summarize]
// makes means over seeds and [Settings] over classes; [WriteTable], [WriteDetails] and
// [WriteMarkdown] print them. [Compare] says how two methods or networks differ on the
// same images, and [Cell] how recipes do over several trainings. [SupportSets] and [OverSupports] are for detectors that learn from a few
// images.
//
// The package is pure Go. It prints nothing, and draws nothing: see evaluate/report for
// pages with curves and images.
package evaluate
