// Package card describes trained weights: what they were trained on, from what and how, and
// what was measured. The description lies beside the weights as JSON ([Name]), so that who
// gets them can tell which data and licences are in them, and train them again.
//
// It holds hashes and no paths. It has no native code, so that any program can read it.
package card
