// Package backbone holds the convolutional networks that the detectors of this
// module read and that package tab pre-trains: ResNet-18 with torchvision's
// architecture and parameter names, so that weights go back and forth between
// Go and Python by name.
//
// A network is used inside a [tensor.Run]; the Run's mode decides between
// training and evaluation. In evaluation batch norm is folded into the
// convolutions, which on the CPU run as oneDNN's fused ones.
package backbone
