// Package seed derives random generators from a run's seed.
//
// A long run holds one number. Every place that needs chance asks for a
// generator of its own by naming what it is for and which item it serves: an
// epoch, an index, an attempt. The stream depends on those arguments alone, so a
// sample is the same whether 1 worker or 16 make it, and the same in a run that
// was resumed as in one that was not.
//
// The mapping is part of the meaning of a checkpoint. It never changes: the
// values in the tests hold it.
package seed
