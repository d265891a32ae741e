// Package patchcore is the arithmetic of PatchCore (Roth et al., arXiv 2106.08265): the
// greedy choice of the patches of a memory bank, and the distances to it.
package patchcore
