// Package tsne puts points of many dimensions on a plane so that neighbours stay
// neighbours, by t-SNE in the approximation of Barnes and Hut. It is for looking
// at what a network makes of good and damaged parts.
//
// A picture of it shows who is near to whom. Distances between groups, their sizes and
// how dense they are mean nothing, and some structure is there even where the points have none.
// So numbers belong beside it: metrics.Trustworthiness says how many neighbours on the
// plane are neighbours in truth, metrics.Silhouette and metrics.NeighbourAccuracy how far
// classes are apart, best computed from the points themselves and not from the plane.
//
// Sources: van der Maaten and Hinton, "Visualizing Data using t-SNE", 2008; van der
// Maaten, "Accelerating t-SNE using Tree-Based Algorithms", 2014, whose settings
// [Default] returns; and the program bhtsne of the same author, where the articles
// leave something open.
package tsne
