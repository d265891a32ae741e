//go:build !gotab_shared

#include "compat.h"
#include "descend.h"
#include "guard.h"
#include "shim.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

namespace {

at::Tensor &T(void *p) { return *static_cast<at::Tensor *>(p); }

void put(void **out, at::Tensor t) { *out = new at::Tensor(std::move(t)); }

} // namespace

extern "C" {

// oneDNN keeps compiled primitives and throws the oldest away beyond a number,
// 1024 unless the environment says otherwise. In the release that libtorch 2.1
// carries, a fused convolution that is made from a description of one thrown away
// meanwhile by another thread reads freed memory (the kernels' attributes point into
// the first description). So none is thrown away: a primitive takes some tens of
// kilobytes, and there is one for each shape that a program ever uses.
// The number comes from tensor.Settings; 0 leaves the environment alone.
static void keep_primitives(int64_t capacity) {
  const char *names[] = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY", "DNNL_PRIMITIVE_CACHE_CAPACITY"};
  for (const char *n : names)
    if (getenv(n)) return; // the environment comes before the settings
  if (capacity > 0) setenv(names[0], std::to_string(capacity).c_str(), 0);
}

// Applies tensor.Settings. It is called once, before oneDNN is first used, which
// reads the variable once.
char *tab_setup(int64_t primitives, int tf32, int benchmark, int deterministic) {
  return guarded([=] {
    keep_primitives(primitives);
    auto &c = at::globalContext();
    c.setAllowTF32CuBLAS(tf32 != 0);
    c.setAllowTF32CuDNN(tf32 != 0);
    c.setBenchmarkCuDNN(benchmark != 0);
    c.setDeterministicCuDNN(deterministic != 0);
  });
}

// What is in force: bit 0 TF32 for cuBLAS, 1 TF32 for cuDNN, 2 benchmark, 3 deterministic.
int tab_switches(void) {
  auto &c = at::globalContext();
  return (c.allowTF32CuBLAS() ? 1 : 0) | (c.allowTF32CuDNN() ? 2 : 0) | (c.benchmarkCuDNN() ? 4 : 0) |
         (c.deterministicCuDNN() ? 8 : 0);
}

char *tab_set_device(int index) {
  return guarded([=] {
    c10::impl::VirtualGuardImpl g(c10::DeviceType::CUDA);
    g.setDevice(c10::Device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index)));
  });
}

int tab_has_onednn(void) { return at::hasMKLDNN() ? 1 : 0; }

int tab_has_bfloat16(void) {
#if defined(__x86_64__)
  return at::hasMKLDNN() && __builtin_cpu_supports("avx512bf16") ? 1 : 0;
#else
  return 0;
#endif
}

char *tab_channels_last(void **out, void *self) {
  return guarded([=] { put(out, T(self).contiguous(at::MemoryFormat::ChannelsLast)); });
}

int tab_is_channels_last(void *self) {
  return T(self).dim() == 4 && T(self).is_contiguous(at::MemoryFormat::ChannelsLast) ? 1 : 0;
}

char *tab_to_device(void **out, void *self, int device) {
  return guarded([=] {
    if (device < 0) {
      put(out, T(self).to(at::Device(at::kCPU)));
      return;
    }
    at::Tensor t = T(self);
    // A pinned source lets the copy overlap; the stream keeps the order.
    if (t.device().is_cpu() && t.numel() > 0) t = t.pin_memory();
    put(out, t.to(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device)), /*non_blocking=*/true));
  });
}

char *tab_gelu(void **out, void *self) {
  return guarded([=] { put(out, at::gelu(T(self))); });
}

char *tab_leaky_relu(void **out, void *self, double slope) {
  return guarded([=] { put(out, at::leaky_relu(T(self), slope)); });
}

// In one pass and without the square of the whole operand in memory.
char *tab_norm(void **out, void *self, int64_t dim) {
  return guarded([=] { put(out, at::linalg_vector_norm(T(self), 2, at::IntArrayRef(&dim, 1), false)); });
}

char *tab_axpy(void *self, void *other, double alpha) {
  return guarded([=] {
    at::NoGradGuard g;
    T(self).add_(T(other), alpha);
  });
}

char *tab_scale(void *self, double alpha) {
  return guarded([=] {
    at::NoGradGuard g;
    T(self).mul_(alpha);
  });
}

char *tab_increment(void *self) {
  return guarded([=] {
    at::NoGradGuard g;
    T(self).add_(1);
  });
}

char *tab_clear_grad(void *self) {
  return guarded([=] { T(self).mutable_grad() = at::Tensor(); });
}

char *tab_sum_squares(void *self, double *sum, int *finite) {
  return guarded([=] {
    at::NoGradGuard g;
    // In single precision it is twice as fast and as good for every sane gradient;
    // one whose squares overflow is summed again in double.
    double n = at::linalg_vector_norm(T(self), 2).item<double>();
    if (!std::isfinite(n)) n = at::linalg_vector_norm(T(self), 2, tab::none, false, at::kDouble).item<double>();
    *sum = n * n;
    *finite = std::isfinite(n) ? 1 : 0;
  });
}

// The update rules ask for no memory: what they need besides their operands, which
// have one type and one layout, comes ready made. On the processor descend.cpp does them in one pass. scratch is of the weight's size.
// Factors are tensors without dimensions, as libtorch makes them of numbers itself;
// libtorch takes the other numbers as they are.
char *tab_sgd(void *param, void *grad, void *buf, void *scratch, void *momentum, int first, double lr, double m,
              double dampening, double decay, int nesterov) {
  return guarded([=] {
    at::NoGradGuard g;
    at::Tensor &p = T(param);
    at::Tensor d = T(grad), none;
    if (tab::sgd(p, d, m != 0 ? T(buf) : none, first != 0, -lr, m, dampening, decay, nesterov != 0)) return;
    if (decay != 0) d = at::add_out(T(scratch), d, p, decay);
    if (m != 0) {
      at::Tensor &b = T(buf);
      if (first)
        b.copy_(d);
      else
        b.mul_(T(momentum)).add_(d, 1 - dampening);
      d = nesterov ? at::add_out(T(scratch), d, b, m) : b;
    }
    p.add_(d, -lr);
  });
}

// keep is the factor of the decay that is part of the step (AdamW), NULL where the
// decay is part of the gradient (Adam). root is sqrt(1 - beta2^step).
char *tab_adam(void *param, void *grad, void *m, void *v, void *scratch, void *keep, void *beta2, void *root, void *eps,
               double step, double lr, double b1, double b2, double decay) {
  return guarded([=] {
    at::NoGradGuard g;
    at::Tensor &p = T(param), &a = T(m), &b = T(v), &denom = T(scratch);
    at::Tensor d = T(grad);
    const double rate = -lr / (1 - std::pow(b1, step));
    if (tab::adam(p, d, a, b, keep == nullptr ? 1 : T(keep).item<double>(), keep == nullptr ? decay : 0, b1, b2, T(root).item<double>(),
                  T(eps).item<double>(), rate))
      return;
    if (keep != nullptr)
      p.mul_(T(keep));
    else if (decay != 0)
      d = at::add_out(denom, d, p, decay);
    a.lerp_(d, 1 - b1);
    b.mul_(T(beta2)).addcmul_(d, d, 1 - b2);
    at::sqrt_out(denom, b).div_(T(root)).add_(T(eps));
    p.addcdiv_(a, denom, rate);
  });
}

// A number as an operand beside like: on the host, of its type.
char *tab_scalar(void **out, void *like, double value) {
  return guarded([=] { put(out, at::scalar_tensor(value, at::device(at::kCPU).dtype(T(like).scalar_type()))); });
}

// The first bytes of a buffer as a tensor of like's type, shape and, where it has no
// gaps, layout.
char *tab_view_as(void **out, void *bytes, void *like) {
  return guarded([=] {
    at::Tensor b = T(bytes);
    const at::Tensor &l = T(like);
    TORCH_CHECK(b.nbytes() >= l.nbytes(), "the buffer is too small");
    auto options = l.options().requires_grad(false);
    auto keep = [b](void *) {};
    if (l.is_non_overlapping_and_dense())
      put(out, at::from_blob(b.data_ptr(), l.sizes(), l.strides(), keep, options));
    else
      put(out, at::from_blob(b.data_ptr(), l.sizes(), keep, options));
  });
}

// Whether x has like's layout; a dimension of one element has none. One with gaps is
// like any other: nothing else can have its layout.
int tab_same_layout(void *x, void *like) {
  const at::Tensor &a = T(x), &b = T(like);
  if (!b.is_non_overlapping_and_dense()) return 1;
  for (int64_t d = 0; d < b.dim(); d++)
    if (b.size(d) != 1 && a.stride(d) != b.stride(d)) return 0;
  return 1;
}

char *tab_relu_into(void *self) {
  return guarded([=] { T(self).relu_(); });
}

char *tab_leaky_relu_into(void *self, double slope) {
  return guarded([=] { at::leaky_relu_(T(self), slope); });
}

char *tab_add_into(void *self, void *other) {
  return guarded([=] { T(self).add_(T(other)); });
}

char *tab_baddbmm_into(void *acc, void *a, void *b, double beta) {
  return guarded([=] {
    at::NoGradGuard g;
    T(acc).baddbmm_(T(a), T(b), beta, 1);
  });
}

} // extern "C"
