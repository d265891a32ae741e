// Package metrics says how well scores tell damaged from good, over images and over
// pixels, how sure that number is, and what it means for a line.
//
// Scores mean the same everywhere: higher is worse, and a score of at least the
// threshold counts as defective. Values are from 0 to 1, never percent.
//
//   - Ranking: [AUROC], [ROC], [AveragePrecision], [F1Max] are for images.
//     [PixelAUROC] computes the same over the pixels of a whole test set, and [AUPRO] the
//     per-region overlap: both exact while the pixels fit into a budget of bytes, and beyond
//     it in constant memory with a bound on the error that their results state.
//     [AUPROPerImage] is another quantity of that name, for tables in RD4AD's manner.
//   - Certainty: [DeLong] and [Bootstrap] give intervals over images ([PixelBootstrap]
//     for pixels, [Resample] and [ResampleGroups] for whatever else), [Wilson] and
//     [ClopperPearson] of counts, [DeLongTest] compares two detectors on the
//     same images, [OverSeeds] gives mean and deviation over trainings.
//   - A plant: [Cut] says how many defects escape and how many good parts are
//     overkilled at a threshold; [CutForEscape] and [CutForOverkill] choose one.
//   - A threshold: [Rule] chooses an [OperatingPoint] from scores of good parts, and of
//     defects where there are some, and says what so many parts can promise;
//     [ConformalP] is what a score means among those of good parts.
//   - Classifiers: [Confusion] for one class an image, [MultiLabel] for any number.
//   - Neighbourhoods: [Trustworthiness] of a picture of points, [Silhouette] and
//     [NeighbourAccuracy] of classes of them. Package metrics/tsne makes such pictures.
//   - [Figure] is a number together with the [Protocol] that it was made by.
//
// The area under the ROC curve (AUROC) is the probability that a positive, drawn at
// random, scores higher than a negative, ties counting one half; that is the
// Mann-Whitney statistic, and what scikit-learn's roc_auc_score computes by another
// way.
//
// Scores that are NaN are refused ([ErrNaN]), never sorted to an end: a detector that
// produces them is broken, and a number computed from them would hide it. Infinite
// scores are ordered like others. Sets of one class are refused ([ErrOneClass]),
// and so are maps whose mask has another size ([ErrSize]).
package metrics
