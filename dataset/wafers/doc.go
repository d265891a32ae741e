// Package wafers draws wafer maps in MixedWM38's format: 52 x 52 dies of a round
// wafer, each blank, passed or failed, and a label of eight bits. It stands in
// for the published file where that is not at hand, in tests and in
// measurements.
//
// Taken from the published file: the size of the maps and their values, the order
// of the labels, the 38 combinations, how many maps there are of each, and in
// which rows the pure ones lie. Not published, and chosen here, are the shapes,
// sizes and densities of the patterns, how much mixed patterns may cover of each
// other, and the failures between them; the constants of patterns.go say what was
// chosen. A classifier's figures on these maps are therefore not its figures on
// the published ones.
//
// No label is doubtful: the ranges of patterns that could be taken for one
// another do not touch (a ring covers most of the edge, an edge defect at most a
// fifth of it), and of every pattern of a mix enough lies outside the others.
//
// A map depends on the seed and its number alone. The drawing is frozen: the
// checksums in the tests hold it, so that figures measured on its maps stay
// comparable.
package wafers
