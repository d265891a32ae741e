// Package backbone holds the convolutional networks that the detectors of this
// module read and that package tab pre-trains: ResNet-18, ResNet-34, ResNet-50
// and WideResNet-50-2 with torchvision's architecture and parameter names, so
// that weights go back and forth between Go and Python by name. All of them are
// a [ResNet]; [Arch] says which, and [Open] finds out from the file. [ResNet.SaveAs]
// writes other libraries' names, [ResNet.SaveONNX] a model for other runtimes.
//
// A network is used inside a [tensor.Run]; the Run's mode decides between
// training and evaluation. In evaluation batch norm is folded into the
// convolutions, which on the CPU run as oneDNN's fused ones: bias, ReLU and the
// sum with the path around a block cost no pass over memory of their own.
package backbone
