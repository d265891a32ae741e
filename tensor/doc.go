// Package tensor is the one place of this module that talks to libtorch. It
// stands on the C layer of gotch (package libtch) or, with the build tag
// gotab_libtorch, on libtorch's C++ interface, and adds what a long-running
// program needs: an owner for every tensor, errors instead of aborts, a bounded
// number of threads and results that do not depend on a collector.
//
// # Ownership
//
// Every [Tensor] belongs to exactly one owner. A [Scope] owns what is made while
// a function runs and frees all of it when the function returns; a [Params] owns
// what lives longer (weights, statistics, optimizer state) until it is closed.
// Nothing has a finalizer: the collector sees sixteen bytes of a tensor that may
// hold a gigabyte, so it always comes too late. [Live] counts the native handles
// that exist, and a program that is back at its starting value has leaked none.
//
// # Running
//
// [Run] executes a function on a thread that belongs to libtorch work. Such
// threads are few and kept: each one that enters libtorch owns a pool of OpenMP
// helpers for ever, so letting goroutines wander in would grow the process
// without bound. Inside the function the operations are methods of the scope:
//
//	err := tensor.Run(ctx, dev, tensor.Evaluation, func(s *tensor.Scope) error {
//		x := s.FromFloats(pixels, 8, 3, 224, 224)
//		y := s.ReLU(s.Conv2d(x, w, nil, tensor.Conv{Stride: 2, Padding: 3}))
//		out, err = s.Floats(y)
//		return err
//	})
//
// # What changes for the process
//
// The first Run puts [Settings] in force, once: the environment variable
// ONEDNN_PRIMITIVE_CACHE_CAPACITY, which oneDNN reads, and libtorch's switches for
// TF32 and cuDNN. Other code in the program that uses these libraries gets the
// same. [Configure] before the first Run chooses others, and [GetSettings] tells.
// By default oneDNN keeps all that it compiles, some 320 kB for each size of image
// that a ResNet-18 meets; a program that scores images of any size should resize
// them to a few.
//
// # Errors
//
// The first failing operation is remembered by the scope, later ones do nothing,
// and Run returns it, inside what the function says itself: a forward pass reads like the article that it came from. A
// failed operation returns a tensor that is valid to pass on and holds nothing.
// Reading values back to Go returns (value, error).
//
// # Numbers
//
// On the CPU the same operation on the same shapes with the same number of
// threads gives the same bits; another batch size or thread count changes the
// last ones (about 4e-7 relative). No operation draws random numbers: weights
// are drawn in Go from a generator that the caller passes.
package tensor
