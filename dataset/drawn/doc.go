// Package drawn makes a data set of nothing but a seed: images of six industrial products
// without a fault, and of the same products with a realistic one, with its mask. It is for first trials,
// tests and demonstrations without data: what a detector finds in drawings says little of what it
// finds on a line.
//
// An image is a relief with colours under a lamp. A product lays down height,
// colour and gloss at twice the image's size; a fault changes these (a dent
// is a change of height, a stain one of colour, a missing thread one of the
// weave); then both are lit by the same lamp, averaged down, and given the
// same sensor noise. So a damaged image differs from its undamaged twin by
// the fault alone, and the mask is read off that difference.
//
// Everything is drawn from the random source that the caller hands in: same
// source, same bytes. All lengths are shares of the image's side, so an
// image of another size shows the same thing.
package drawn
