// Package audit finds what is wrong with a data set although every file can be read: the same pixels under
// two splits or two labels, parts whose images are in two splits, masks that are empty or mark a good image, images of
// another colour depth than the rest of their class. [Look] reads all samples once; what it finds is counted ([Survey.Groups]),
// listed ([Survey.Faults]) and drawn ([Sheet]), and images with the same pixels are kept together for a division
// ([Survey.Together]).
//
// dataset.Check looks at heads of files in seconds and finds what cannot be read. This package reads every
// pixel. It is pure Go.
package audit
