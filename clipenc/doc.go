// Package clipenc turns sentences into CLIP's text features: the byte-pair tokeniser and the text tower of Radford et
// al., "Learning Transferable Visual Models From Natural Language Supervision" (ICML 2021), and its retrained relatives.
//
// [Open] reads a text tower from safetensors, as OpenAI, OpenCLIP and Hugging Face name its tensors, in one file or in
// shards; [TextEncoder.Encode] encodes texts in batches. Only the text half of a checkpoint is read. [NewTokenizer] is
// of use without any weights.
//
// Neither weights nor vocabulary come with this package, and nothing in it opens a network connection: both are files
// of the caller's.
//
// The features are those of the model, not normalised. Two texts are compared by the cosine of their features; whoever
// averages features brings each to unit length first.
package clipenc
