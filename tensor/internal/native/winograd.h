// Convolutions of 3x3 places by Winograd's minimal filtering (winograd.cpp).
#ifndef GOTAB_WINOGRAD_H
#define GOTAB_WINOGRAD_H
#include <ATen/ATen.h>

namespace winograd {

// serves says whether there is a kernel for a weight [O, C, k, k] on this processor.
bool serves(const at::Tensor &weight, int64_t stride, int64_t padding, int64_t groups);

// limit sets the most floats in a register, 16, 8 or 0 for no kernel, and returns what it was: for tests. What was packed before cannot be used without one.
int limit(int most);

// pack returns the weight as the kernel reads it: four times as many values, with many channels 16/9 times. With fine it is 16/9 times for all, tiles of
// 2x2, which round less than plain sums do.
at::Tensor pack(const at::Tensor &weight, bool fine = false);

// conv returns conv(x) + bias [O], cut off below zero with relu. Here and below maps are channels-last.
at::Tensor conv(const at::Tensor &x, const at::Tensor &packed, const at::Tensor &bias, bool relu);

// add changes sum, which shares no memory with x, to ReLU(sum + conv(x) + bias).
void add(at::Tensor &sum, const at::Tensor &x, const at::Tensor &packed, const at::Tensor &bias);

// weight_gradient returns the gradient [O, C, 3, 3] of a weight that is served, from the input [N, C, H, W] and the gradient [N, O, H, W] of what
// came out.
at::Tensor weight_gradient(const at::Tensor &x, const at::Tensor &grad);

} // namespace winograd
#endif
