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
#include <mutex>

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
static void keep_primitives(void) {
  const char *names[] = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY", "DNNL_PRIMITIVE_CACHE_CAPACITY"};
  for (const char *n : names)
    if (getenv(n)) return; // whoever set it knows why
  setenv(names[0], "1000000", 0);
}

// TF32 is off and cuDNN's choice of algorithm is deterministic: numbers first.
char *tab_setup(void) {
  return guarded([] {
    static std::once_flag once;
    std::call_once(once, keep_primitives); // before oneDNN is first used, which reads it once
    auto &c = at::globalContext();
    c.setAllowTF32CuBLAS(false);
    c.setAllowTF32CuDNN(false);
    c.setBenchmarkCuDNN(false);
    c.setDeterministicCuDNN(true);
  });
}

char *tab_set_device(int index) {
  return guarded([=] {
    c10::impl::VirtualGuardImpl g(c10::DeviceType::CUDA);
    g.setDevice(c10::Device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index)));
  });
}

int tab_has_onednn(void) { return at::hasMKLDNN() ? 1 : 0; }

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
    if (!std::isfinite(n)) n = at::linalg_vector_norm(T(self), 2, c10::nullopt, false, at::kDouble).item<double>();
    *sum = n * n;
    *finite = std::isfinite(n) ? 1 : 0;
  });
}

char *tab_sgd(void *param, void *grad, void *buf, int first, double lr, double momentum, double dampening,
              double decay, int nesterov) {
  return guarded([=] {
    at::NoGradGuard g;
    at::Tensor &p = T(param);
    at::Tensor d = T(grad);
    if (decay != 0) d = d.add(p, decay);
    if (momentum != 0) {
      at::Tensor &b = T(buf);
      if (first)
        b.copy_(d);
      else
        b.mul_(momentum).add_(d, 1 - dampening);
      d = nesterov ? d.add(b, momentum) : b;
    }
    p.add_(d, -lr);
  });
}

// coupled: the decay is part of the gradient (Adam) instead of the step (AdamW).
char *tab_adam(void *param, void *grad, void *m, void *v, double step, double lr, double beta1, double beta2,
               double eps, double decay, int coupled) {
  return guarded([=] {
    at::NoGradGuard g;
    at::Tensor &p = T(param), &a = T(m), &b = T(v);
    at::Tensor d = T(grad);
    if (coupled && decay != 0)
      d = d.add(p, decay);
    else if (!coupled)
      p.mul_(1 - lr * decay);
    a.lerp_(d, 1 - beta1);
    b.mul_(beta2).addcmul_(d, d, 1 - beta2);
    double c1 = 1 - std::pow(beta1, step), c2 = 1 - std::pow(beta2, step);
    at::Tensor denom = b.sqrt().div_(std::sqrt(c2)).add_(eps);
    p.addcdiv_(a, denom, -lr / c1);
  });
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
