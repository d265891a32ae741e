// Package c10d wraps what tensor/dist needs of libtorch's c10d: a TCPStore and a
// ProcessGroupGloo. With the build tag gotab_dist it is C++; without, nothing of it can
// be opened. Nothing here decides anything: that is tensor/dist's part.
package c10d
