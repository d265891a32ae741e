// Package torchfile reads the weights out of a file made by torch.save, and runs
// nothing.
//
// Such a file (.pth, .pt) is a zip archive of stored entries: one per storage,
// and data.pkl, a pickle that says which tensor is which part of which storage.
// A pickle is a program, and Python's reader executes it: it may import any module
// and call anything. The reader here is a machine for the few instructions that
// describe a state dict. It knows these names and no others:
//
//	collections.OrderedDict
//	torch._utils._rebuild_tensor, _rebuild_tensor_v2, _rebuild_parameter
//	torch.DoubleStorage, FloatStorage, HalfStorage, BFloat16Storage,
//	LongStorage, IntStorage, ShortStorage, CharStorage, ByteStorage, BoolStorage
//
// They stand for values of this package; no name leads to code. Any other name
// ends the reading with ErrUnsafe, which says the name.
//
// # What is accepted
//
// The pickle's value must be a dict or an OrderedDict from strings to tensors. If
// no value of it is a tensor, and it has a dict under "state_dict" or else under
// "model", as training programs save them, that dict is the one that is read, and
// what stands beside it (epoch, optimiser) is left out. One level, no deeper.
//
// Protocols 2 (torch's own) to 4. Not accepted, with a sentence that says how to
// convert in Python: files from before PyTorch 1.6 that are not zip archives, and
// TorchScript archives.
//
// # Bounds
//
// Nothing is allocated on the word of the file: entries must be stored, not
// compressed, and may not claim more bytes together than the file has; the pickle
// may have 4 MiB, which is more than 20,000 tensors take; the tensors together may
// take four times the bytes of the file (tied weights and expanded tensors share a
// storage, and each becomes a contiguous tensor of its own).
package torchfile
