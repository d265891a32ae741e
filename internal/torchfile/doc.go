// Package torchfile reads the tensors of a file made by torch.save, and runs
// nothing.
//
// Such a file (.pth, .pt) is a zip archive of stored entries: one per storage,
// and data.pkl, a pickle that says which tensor is which part of which storage.
// A pickle is a program, and Python's reader executes it: it may import any module
// and call anything. The reader here is a machine for the instructions that
// describe values. A name is a text to it. These few stand for values of this
// package:
//
//	collections.OrderedDict
//	torch._utils._rebuild_tensor, _rebuild_tensor_v2, _rebuild_parameter,
//	_rebuild_parameter_with_state, torch._tensor._rebuild_from_type_v2
//	torch.DoubleStorage, FloatStorage, HalfStorage, BFloat16Storage,
//	LongStorage, IntStorage, ShortStorage, CharStorage, ByteStorage, BoolStorage
//
// What any other name would make in Python is a placeholder without behaviour:
// settings, optimizer states and numbers of NumPy stand beside the tensors of most
// training programs' files and must not keep a reader from them. A name that runs
// commands or code (os.system, builtins.eval) ends the reading with ErrUnsafe all
// the same: such a file is an attack on whoever opens it in Python, and its user is
// to know.
//
// # What is read
//
// All tensors, wherever they stand. A tensor's name is the path that leads to it,
// keys of dicts and places of lists joined by dots, so a file of
// {"state_dict": {"conv1.weight": t}} has the one name "state_dict.conv1.weight". A
// module that was saved whole has the names of its state dict.
//
// Also the form from before PyTorch 1.6, which is no archive, and protocols 2
// (torch's own) to 5. Not read, with a sentence that says how to convert in
// Python: TorchScript archives, and files from before PyTorch 0.4.
//
// # Bounds
//
// Nothing is allocated on the word of the file: entries must be stored, not
// compressed, and may not claim more bytes together than the file has; a pickle
// may have 4 MiB, which is more than 20,000 tensors take; paths may have 32 parts;
// the tensors together may take four times the bytes of the file (tied weights and
// expanded tensors share a storage, and each becomes a contiguous tensor of its
// own).
package torchfile
