// Package outside tests what a program outside of this module meets: testdata/plant is a
// module of its own, without its go.mod, whose programs add an objective, a generator of
// damage, a detector and a layout, and look after a detector from night to night. The
// test copies it out of the checkout and compiles it. CONTRIBUTING.md and the programs'
// own comments say what they do.
package outside
