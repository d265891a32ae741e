// Package gotchts hands tensors between package tensor and gotch's own package
// ts, for programs that have code on both sides. It is a module of its own, so
// that who does not use ts does not build it.
//
// Values are never copied: both sides hold a handle of their own on one memory,
// and each side frees its handle by its own rules. A value that one side changes
// in place is changed for the other.
//
//	err := tensor.Run(ctx, tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
//		y, err := gotchts.ToGotch(s, x) // y outlives the scope
//		...
//		z := gotchts.FromGotch(s, y)    // z is freed with the scope
//	})
//
// What to know about ts before linking it into a program:
//
//   - Importing it creates the folder $GOTCH_CACHE (default $HOME/.cache/gotch)
//     when the program starts, and ends the process where that fails. Set
//     GOTCH_CACHE to a writable folder.
//   - Its functions whose names begin with Must end the process on an error, and
//     a dropped tensor used again is a fault that Go cannot catch.
//   - Its tensors carry finalizers. Call Drop when done with one; the collector
//     sees little of the memory behind it and comes late.
//   - Keep work with ts inside the function of a Run: libtorch's error messages
//     and gradient mode belong to the operating-system thread, and a Run has one.
package gotchts
