//go:build !gotab_shared

// Convolutions that a training records, by the kernels of winograd.cpp: forward, back to the input, which is the convolution
// with the weight turned around, and back to the weight.
//
// Forward and back to the input take tiles of 2x2, which round less than plain sums do. Tiles of 4x4 round up to two and a half times as much, and some losses
// of a training multiply that: they compare features with those of a copy that the network has hardly left. Back to the weight tiles of 4x4 are as exact as
// plain sums.
//
// Weights change with each step, so they are packed in each pass; where maps are small that is not worth it. The size of the batch does not count there: parts of a
// batch, on other ranks, must round as the whole does. All three sums are those of winograd.cpp, so they
// do not depend on the number of threads.
#include "guard.h"
#include "shim.h"
#include "winograd.h"

#include <ATen/ATen.h>
#include <array>
#include <atomic>
#include <stdexcept>
#include <torch/csrc/autograd/custom_function.h>
#include <vector>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The fewest places of a map that are worth a packed weight.
constexpr int64_t kPlaces = 64;

std::atomic<int64_t> taken{0};

at::Tensor &T(void *p) { return *static_cast<at::Tensor *>(p); }

at::Tensor last(const at::Tensor &x) { return x.contiguous(at::MemoryFormat::ChannelsLast); }

at::Tensor plain(const at::Tensor &x, const at::Tensor &packed, int64_t o) { return winograd::conv(last(x), packed, at::zeros({o}, at::kFloat), false); }

// to_input is the way back to the input: the convolution with w's channels exchanged and its places turned by half a circle, or libtorch's
// where that is no weight that our kernel serves.
at::Tensor to_input(const at::Tensor &grad, const at::Tensor &x, const at::Tensor &w) {
  const at::Tensor around = w.transpose(0, 1).flip({2, 3});
  if (winograd::serves(around, 1, 1, 1)) return plain(grad, winograd::pack(around, true), w.size(1));
  const std::vector<int64_t> one{1, 1}, none{0, 0};
  return std::get<0>(at::convolution_backward(grad, x, w, at::OptionalIntArrayRef(), one, one, one, false, none, 1, std::array<bool, 3>{true, false, false}));
}

class Filtered : public torch::autograd::Function<Filtered> {
public:
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &x, const at::Tensor &w) {
    ctx->save_for_backward({x, w});
    return plain(x, winograd::pack(w, true), w.size(0));
  }

  static variable_list backward(AutogradContext *ctx, const variable_list &grads) {
    if (at::GradMode::is_enabled()) throw std::logic_error("a filtered convolution has no second derivative");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &w = saved[1];
    const at::Tensor grad = last(grads[0]);
    const bool input = ctx->needs_input_grad(0), weight = ctx->needs_input_grad(1);
    return {input ? to_input(grad, x, w) : at::Tensor(), weight ? winograd::weight_gradient(last(x), grad) : at::Tensor()};
  }
};

} // namespace

extern "C" {

// Nothing where libtorch's convolution is to be taken.
char *tab_conv_filtered(void **out, void *x, void *w, int64_t stride, int64_t padding, int64_t dilation, int64_t groups) {
  return guarded([=] {
    const at::Tensor &a = T(x), &b = T(w);
    *out = nullptr;
    if (!a.device().is_cpu() || !b.device().is_cpu() || a.scalar_type() != at::kFloat || dilation != 1 || !winograd::serves(b, stride, padding, groups)) return;
    if (a.size(2) * a.size(3) < kPlaces || a.size(0) == 0) return;
    if (!a.is_contiguous(at::MemoryFormat::ChannelsLast) && !b.is_contiguous(at::MemoryFormat::ChannelsLast)) return; // nor would the result be
    *out = new at::Tensor(Filtered::apply(a, b));
    taken.fetch_add(1, std::memory_order_relaxed);
  });
}

int64_t tab_conv_filtered_count(void) { return taken.load(std::memory_order_relaxed); }

} // extern "C"
