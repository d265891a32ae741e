// Package atomicfile replaces a file as a whole or not at all.
//
// A checkpoint that took hours must survive whatever happens while the next one
// is written: a full disk, a cancelled run, a crash. The new content goes into a
// temporary file in the same folder, is forced to the disk, and takes the old
// file's name in one step.
package atomicfile
