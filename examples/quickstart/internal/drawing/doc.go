// Package drawing draws the pictures of the quickstart: six industrial products
// without a fault, and the same products with a realistic one.
//
// A picture is a relief with colours under a lamp. A product lays down height,
// colour and gloss at twice the picture's size; a fault changes these (a dent
// is a change of height, a stain one of colour, a missing thread one of the
// weave); then both are lit by the same lamp, averaged down, and given the
// same sensor noise. So a damaged picture differs from its undamaged twin by
// the fault alone, and the mask is read off that difference.
//
// Everything is drawn from the random source that the caller hands in: same
// source, same bytes. All lengths are shares of the picture's side, so a
// picture of another size shows the same thing.
package drawing
