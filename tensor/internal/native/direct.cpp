//go:build gotab_libtorch && !gotab_shared

// The functions of libtorch that package tensor needs, straight from its C++ interface:
// a minute of compiling where gotch's C layer, which wraps all of libtorch, takes three,
// and good for every release since 2.1.
#include "direct.h"
#include "guard.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <memory>
#include <stdexcept>
#include <vector>

namespace {

at::Tensor &T(void *p) { return *static_cast<at::Tensor *>(p); }

// given is the operand, or an undefined tensor where there is none.
at::Tensor given(void *p) { return p == nullptr ? at::Tensor() : T(p); }

void put(void **out, at::Tensor t) { *out = new at::Tensor(std::move(t)); }

at::IntArrayRef L(int64_t *v, int n) { return at::IntArrayRef(v, static_cast<size_t>(n)); }

at::TensorOptions options(int dtype, int device) {
  auto d = device < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device));
  return at::TensorOptions().dtype(static_cast<at::ScalarType>(dtype)).device(d);
}

// A tensor that comes from other code may be of a kind that has no sizes or no memory,
// such as a nested one; it looks empty then.
template <typename R, typename F> R answer(R otherwise, F f) {
  try {
    return f();
  } catch (...) {
    return otherwise;
  }
}

} // namespace

// make defines a function that makes one tensor.
#define MAKE(name, parameters, ...)                                                                                    \
  char *tab_##name parameters {                                                                                        \
    return guarded([=] { put(out, __VA_ARGS__); });                                                                    \
  }

extern "C" {

void tab_free(void *self) { delete static_cast<at::Tensor *>(self); }

int tab_defined(void *self) { return T(self).defined() ? 1 : 0; }

int64_t tab_dim(void *self) {
  return answer<int64_t>(0, [=] { return T(self).defined() ? static_cast<int64_t>(T(self).sizes().size()) : 0; });
}

void tab_shape(void *self, int64_t *sizes) {
  answer<int>(0, [=] {
    int64_t *to = sizes;
    for (int64_t n : T(self).sizes()) *to++ = n;
    return 0;
  });
}

int tab_scalar_type(void *self) {
  return answer<int>(-1, [=] { return static_cast<int>(T(self).scalar_type()); });
}

void *tab_data(void *self) {
  return answer<void *>(nullptr, [=] { return T(self).data_ptr(); });
}

// -1 is the CPU, a number from 0 on a CUDA device, -99 anything else.
int tab_device(void *self) {
  return answer<int>(-99, [=] {
    auto d = T(self).device();
    return d.is_cpu() ? -1 : d.is_cuda() ? static_cast<int>(d.index()) : -99;
  });
}

int tab_cuda_devices(void) {
  try {
    return static_cast<int>(at::getNumGPUs());
  } catch (...) {
    return 0; // no driver, or none that fits: as if there were no device
  }
}

void tab_grad_mode(int on) { at::GradMode::set_enabled(on != 0); }

void tab_set_threads(int n) { at::set_num_threads(n); }

int tab_get_threads(void) { return at::get_num_threads(); }

MAKE(shallow_clone, (void **out, void *self), T(self))

char *tab_copy_into(void *dst, void *src) {
  return guarded([=] { T(dst).copy_(T(src)); });
}

char *tab_backward(void *self) {
  return guarded([=] { T(self).backward(); });
}

// *out stays NULL where Backward has left no gradient.
char *tab_grad(void **out, void *self) {
  return guarded([=] {
    const at::Tensor &g = T(self).grad();
    if (g.defined()) put(out, g);
  });
}

char *tab_requires_grad(void *self, int on) {
  return guarded([=] { T(self).requires_grad_(on != 0); });
}

MAKE(empty, (void **out, int64_t *shape, int n, int dtype, int device), at::empty(L(shape, n), options(dtype, device)))
MAKE(full, (void **out, int64_t *shape, int n, double value, int dtype, int device),
     at::full(L(shape, n), value, options(dtype, device)))
MAKE(eye, (void **out, int64_t n, int dtype, int device), at::eye(n, options(dtype, device)))
MAKE(to_dtype, (void **out, void *self, int dtype, int copy),
     T(self).to(static_cast<at::ScalarType>(dtype), /*non_blocking=*/false, /*copy=*/copy != 0))

// op counts as in direct.go.
char *tab_unary(void **out, int op, void *self) {
  return guarded([=] {
    const at::Tensor &x = T(self);
    switch (op) {
    case 0: put(out, at::neg(x)); return; // neg
    case 1: put(out, at::abs(x)); return; // abs
    case 2: put(out, at::exp(x)); return; // exp
    case 3: put(out, at::log(x)); return; // log
    case 4: put(out, at::sqrt(x)); return; // sqrt
    case 5: put(out, at::rsqrt(x)); return; // rsqrt
    case 6: put(out, at::sin(x)); return; // sin
    case 7: put(out, at::cos(x)); return; // cos
    case 8: put(out, at::square(x)); return; // square
    case 9: put(out, at::sigmoid(x)); return; // sigmoid
    case 10: put(out, at::tanh(x)); return; // tanh
    case 11: put(out, at::relu(x)); return; // relu
    case 12: put(out, x.detach()); return; // detach
    case 13: put(out, x.contiguous()); return; // contiguous
    case 14: put(out, at::linalg_cholesky(x)); return; // cholesky
    }
    throw std::invalid_argument("no such operation");
  });
}

char *tab_binary(void **out, int op, void *a, void *b) {
  return guarded([=] {
    const at::Tensor &x = T(a), &y = T(b);
    switch (op) {
    case 0: put(out, at::add(x, y)); return; // add
    case 1: put(out, at::sub(x, y)); return; // sub
    case 2: put(out, at::mul(x, y)); return; // mul
    case 3: put(out, at::div(x, y)); return; // div
    case 4: put(out, at::maximum(x, y)); return; // maximum
    case 5: put(out, at::eq(x, y)); return; // eq
    case 6: put(out, at::matmul(x, y)); return; // matmul
    case 7: put(out, at::bmm(x, y)); return; // bmm
    }
    throw std::invalid_argument("no such operation");
  });
}

char *tab_with_scalar(void **out, int op, void *self, double v) {
  return guarded([=] {
    const at::Tensor &x = T(self);
    switch (op) {
    case 0: put(out, at::add(x, v)); return; // add
    case 1: put(out, at::mul(x, v)); return; // mul
    case 2: put(out, at::clamp_min(x, v)); return; // clamp_min
    case 3: put(out, at::pow(x, v)); return; // pow
    }
    throw std::invalid_argument("no such operation");
  });
}

MAKE(sum, (void **out, void *self, int64_t *dims, int n, int keep), at::sum(T(self), L(dims, n), keep != 0))
MAKE(mean, (void **out, void *self, int64_t *dims, int n, int keep), at::mean(T(self), L(dims, n), keep != 0))
MAKE(amax, (void **out, void *self, int64_t *dims, int n, int keep), at::amax(T(self), L(dims, n), keep != 0))
MAKE(argmax, (void **out, void *self, int64_t dim), at::argmax(T(self), dim))
MAKE(softmax, (void **out, void *self, int64_t dim), at::softmax(T(self), dim))
MAKE(log_softmax, (void **out, void *self, int64_t dim), at::log_softmax(T(self), dim))
MAKE(cosine_similarity, (void **out, void *a, void *b, int64_t dim, double eps),
     at::cosine_similarity(T(a), T(b), dim, eps))

char *tab_topk(void **values, void **indices, void *self, int64_t k, int64_t dim, int largest) {
  return guarded([=] {
    auto both = at::topk(T(self), k, dim, largest != 0, /*sorted=*/true);
    auto first = std::make_unique<at::Tensor>(std::get<0>(both));
    *indices = new at::Tensor(std::get<1>(both));
    *values = first.release();
  });
}

MAKE(reshape, (void **out, void *self, int64_t *shape, int n), at::reshape(T(self), L(shape, n)))
MAKE(permute, (void **out, void *self, int64_t *dims, int n), at::permute(T(self), L(dims, n)))
MAKE(transpose, (void **out, void *self, int64_t a, int64_t b), at::transpose(T(self), a, b))
MAKE(expand, (void **out, void *self, int64_t *shape, int n), T(self).expand(L(shape, n)))
MAKE(narrow, (void **out, void *self, int64_t dim, int64_t start, int64_t length),
     at::narrow(T(self), dim, start, length))
MAKE(select, (void **out, void *self, int64_t dim, int64_t i), at::select(T(self), dim, i))
MAKE(unsqueeze, (void **out, void *self, int64_t dim), at::unsqueeze(T(self), dim))

char *tab_cat(void **out, void **xs, int n, int64_t dim) {
  return guarded([=] {
    std::vector<at::Tensor> all;
    all.reserve(n);
    for (int i = 0; i < n; i++) all.push_back(T(xs[i]));
    put(out, at::cat(all, dim));
  });
}

MAKE(index_select, (void **out, void *self, int64_t dim, void *index), at::index_select(T(self), dim, T(index)))
MAKE(gather, (void **out, void *self, int64_t dim, void *index), at::gather(T(self), dim, T(index)))
MAKE(flip, (void **out, void *self, int64_t *dims, int n), at::flip(T(self), L(dims, n)))

char *tab_rot90(void **out, void *self, int64_t k, int64_t from, int64_t to) {
  return guarded([=] { put(out, at::rot90(T(self), k, {from, to})); });
}

MAKE(solve_lower, (void **out, void *l, void *b),
     at::linalg_solve_triangular(T(l), T(b), /*upper=*/false, /*left=*/true, /*unitriangular=*/false))
MAKE(linear, (void **out, void *x, void *w, void *b), at::linear(T(x), T(w), given(b)))

char *tab_conv2d(void **out, void *x, void *w, void *b, int64_t stride, int64_t padding, int64_t dilation,
                 int64_t groups) {
  return guarded([=] {
    std::vector<int64_t> s{stride, stride}, p{padding, padding}, d{dilation, dilation};
    put(out, at::conv2d(T(x), T(w), given(b), s, p, d, groups));
  });
}

char *tab_conv_transpose2d(void **out, void *x, void *w, void *b, int64_t stride, int64_t padding, int64_t dilation,
                           int64_t groups) {
  return guarded([=] {
    std::vector<int64_t> s{stride, stride}, p{padding, padding}, o{0, 0}, d{dilation, dilation};
    put(out, at::conv_transpose2d(T(x), T(w), given(b), s, p, o, groups, d));
  });
}

MAKE(batch_norm,
     (void **out, void *x, void *weight, void *bias, void *mean, void *variance, int train, double momentum, double eps),
     at::batch_norm(T(x), given(weight), given(bias), given(mean), given(variance), train != 0, momentum, eps,
                    /*cudnn_enabled=*/true))

char *tab_layer_norm(void **out, void *x, void *weight, void *bias, int64_t n, double eps) {
  return guarded([=] { put(out, at::layer_norm(T(x), at::IntArrayRef(&n, 1), given(weight), given(bias), eps)); });
}

MAKE(embedding, (void **out, void *weight, void *ids), at::embedding(T(weight), T(ids)))

char *tab_max_pool2d(void **out, void *x, int64_t k, int64_t stride, int64_t padding) {
  return guarded([=] { put(out, at::max_pool2d(T(x), {k, k}, {stride, stride}, {padding, padding})); });
}

char *tab_avg_pool2d(void **out, void *x, int64_t k, int64_t stride, int64_t padding) {
  return guarded([=] { put(out, at::avg_pool2d(T(x), {k, k}, {stride, stride}, {padding, padding})); });
}

char *tab_upsample_bilinear(void **out, void *x, int64_t h, int64_t w) {
  return guarded([=] { put(out, at::upsample_bilinear2d(T(x), {h, w}, /*align_corners=*/false)); });
}

char *tab_upsample_nearest(void **out, void *x, int64_t h, int64_t w) {
  return guarded([=] { put(out, at::upsample_nearest2d(T(x), {h, w})); });
}

MAKE(cross_entropy, (void **out, void *logits, void *target, void *weight),
     at::cross_entropy_loss(T(logits), T(target), given(weight), at::Reduction::Mean, -100, 0.0))
MAKE(bce_with_logits, (void **out, void *logits, void *target, void *positive),
     at::binary_cross_entropy_with_logits(T(logits), T(target), {}, given(positive), at::Reduction::Mean))

char *tab_affine_grid(void **out, void *theta, int64_t n, int64_t h, int64_t w) {
  return guarded([=] {
    std::vector<int64_t> size{n, 1, h, w};
    put(out, at::affine_grid_generator(T(theta), size, /*align_corners=*/false));
  });
}

} // extern "C"
