// Package metrics says how well scores tell damaged from good: the area under the
// ROC curve over images and over pixels, the curve itself, and the threshold of
// the best F1.
//
// Scores mean the same everywhere: higher is more anomalous. The area under the
// ROC curve (AUROC) is the probability that a positive, drawn at random, scores
// higher than a negative, ties counting one half; that is the Mann-Whitney
// statistic, and what scikit-learn's roc_auc_score computes by another way.
// Values are from 0 to 1, never percent.
//
// [AUROC] is for images. [PixelAUROC] pools the pixels of a whole test set: exact
// while they fit into a budget of bytes, and beyond it in constant memory with a
// bound on the error that its result states.
//
// Scores that are NaN are refused, never sorted to an end: a detector that
// produces them is broken, and a number computed from them would hide it. Infinite
// scores are ordered like others.
package metrics
