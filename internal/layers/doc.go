// Package layers holds what the networks of this module are built of: a
// convolution with the batch norm after it ([ConvNorm]) and residual blocks of
// those ([Block]). Both run in two forms: as they stand, for training, and
// folded into one convolution with a bias, for evaluation ([Folded],
// [FoldedBlock]). Parameters have PyTorch's names and live in a tensor.Params of
// the network that is made of them.
package layers
