//go:build !gotab_shared

// Batch norm over a batch of which every process has a share. Forward, each gives the sums of its share, and the mean
// and variance of all come back. Backward, a loss on one process depends on the values of the others by way of the statistics,
// so the sums that the gradient of the values is made of are exchanged too. All sums are in double precision: those of
// squares less the square of the mean then lose nothing that single precision holds.
#include "guard.h"
#include "parallel.h"
#include "processors.h"
#include "shim.h"

#include <ATen/ATen.h>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <torch/csrc/autograd/custom_function.h>
#include <vector>

namespace {

typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));
typedef double FourDouble __attribute__((vector_size(32), aligned(8), may_alias));

at::Tensor &T(void *p) { return *static_cast<at::Tensor *>(p); }

// rows_of is x [N, C, ...] as rows of C values; nothing is copied where x lies channels-last.
at::Tensor rows_of(const at::Tensor &x) {
  return x.movedim(1, -1).to(at::kFloat).contiguous().view({-1, x.size(1)});
}

// As many rows are summed by one thread, whatever the number of threads: so that does not change the sums.
constexpr int64_t kBlock = 1024;

// sums_of adds to a[j] the values u[i][j], and to b[j] u[i][j] * (v[i][j] - mean[j]).
FOR_PROCESSORS
void sums_of(const float *u, const float *v, const double *mean, int64_t rows, int64_t c, double *a, double *b) {
  for (int64_t i = 0; i < rows; i++, u += c, v += c) {
    int64_t j = 0;
    for (; j + 4 <= c; j += 4) {
      FourDouble x = __builtin_convertvector(*reinterpret_cast<const Four *>(u + j), FourDouble);
      FourDouble y = __builtin_convertvector(*reinterpret_cast<const Four *>(v + j), FourDouble);
      *reinterpret_cast<FourDouble *>(a + j) += x;
      *reinterpret_cast<FourDouble *>(b + j) += x * (y - *reinterpret_cast<const FourDouble *>(mean + j));
    }
    for (; j < c; j++) {
      a[j] += u[j];
      b[j] += static_cast<double>(u[j]) * (v[j] - mean[j]);
    }
  }
}

// sums writes to out the sums of u over the rows, then those of u (v - mean).
void sums(const at::Tensor &u, const at::Tensor &v, const std::vector<double> &mean, double *out) {
  const int64_t m = u.size(0), c = u.size(1);
  std::fill_n(out, 2 * c, 0.0);
  if (!u.device().is_cpu()) {
    at::Tensor centre = at::from_blob(const_cast<double *>(mean.data()), {c}, at::kDouble).to(u.device());
    at::Tensor d = u.to(at::kDouble);
    at::Tensor both = at::cat({d.sum(0), (d * (v.to(at::kDouble) - centre)).sum(0)}).cpu();
    std::copy_n(both.data_ptr<double>(), 2 * c, out);
    return;
  }
  const int64_t blocks = (m + kBlock - 1) / kBlock;
  std::vector<double> parts(blocks * 2 * c, 0.0);
  const float *pu = u.data_ptr<float>(), *pv = v.data_ptr<float>();
  tab::parallel_for(blocks, 1, [&](int64_t lo, int64_t hi) {
    for (int64_t k = lo; k < hi; k++) {
      double *to = parts.data() + k * 2 * c;
      sums_of(pu + k * kBlock * c, pv + k * kBlock * c, mean.data(), std::min(kBlock, m - k * kBlock), c, to, to + c);
    }
  });
  for (int64_t k = 0; k < blocks; k++)
    for (int64_t j = 0; j < 2 * c; j++) out[j] += parts[k * 2 * c + j];
}

// mix writes a[j] g[i][j] + b[j] (x[i][j] - mean[j]) + e[j].
FOR_PROCESSORS
void mix(const float *g, const float *x, const float *mean, const float *a, const float *b, const float *e, int64_t rows,
         int64_t c, float *out) {
  for (int64_t i = 0; i < rows; i++, g += c, x += c, out += c) {
    int64_t j = 0;
    for (; j + 4 <= c; j += 4) {
      auto at4 = [j](const float *p) { return *reinterpret_cast<const Four *>(p + j); };
      *reinterpret_cast<Four *>(out + j) = at4(a) * at4(g) + at4(b) * (at4(x) - at4(mean)) + at4(e);
    }
    for (; j < c; j++) out[j] = a[j] * g[j] + b[j] * (x[j] - mean[j]) + e[j];
  }
}

at::Tensor floats(const std::vector<double> &v, const at::Tensor &like) {
  return at::from_blob(const_cast<double *>(v.data()), {static_cast<int64_t>(v.size())}, at::kDouble)
      .to(like.device(), at::kFloat);
}

struct Norm {
  std::vector<double> mean, scale; // of the channels; 1 / sqrt(var + eps)
  double count;
  tab_sums sums;
  uintptr_t handle;
  int64_t layer;
};

struct SyncNorm : torch::autograd::Function<SyncNorm> {
  // The second result is 0. Where a loss has it as a summand, backward is called on every process, also on one whose
  // own loss does not depend on the values.
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext *ctx, const at::Tensor &x,
                                                const at::Tensor &weight, const at::Tensor &bias, const at::Tensor &mean,
                                                const at::Tensor &var, double eps, const std::shared_ptr<Norm> &n) {
    ctx->save_for_backward({x, weight});
    ctx->saved_data["mean"] = n->mean;
    ctx->saved_data["scale"] = n->scale;
    ctx->saved_data["count"] = n->count;
    ctx->saved_data["sums"] = static_cast<int64_t>(reinterpret_cast<intptr_t>(n->sums));
    ctx->saved_data["handle"] = static_cast<int64_t>(n->handle);
    ctx->saved_data["layer"] = n->layer;
    at::Tensor y = at::batch_norm(x, weight, bias, mean, var, false, 0, eps, /*cudnn_enabled=*/true);
    return {y, at::zeros({}, mean.options())};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *ctx, torch::autograd::variable_list g) {
    auto saved = ctx->get_saved_variables();
    auto mean = ctx->saved_data["mean"].toDoubleVector(), scale = ctx->saved_data["scale"].toDoubleVector();
    const double count = ctx->saved_data["count"].toDouble();
    auto exchange = reinterpret_cast<tab_sums>(static_cast<intptr_t>(ctx->saved_data["sums"].toInt()));
    at::Tensor x = rows_of(saved[0]), dy = rows_of(g[0]);
    const int64_t c = x.size(1);
    std::vector<double> own(2 * c);
    sums(dy, x, mean, own.data());
    std::vector<double> all = own;
    if (char *message = exchange(static_cast<uintptr_t>(ctx->saved_data["handle"].toInt()), ctx->saved_data["layer"].toInt(),
                                 all.data(), 2 * c)) {
      std::string why = message;
      std::free(message);
      throw std::runtime_error(why);
    }
    at::Tensor w = saved[1].to(at::kCPU, at::kDouble).contiguous();
    const double *pw = w.data_ptr<double>();
    std::vector<double> a(c), b(c), e(c), dw(c), db(own.begin(), own.begin() + c);
    for (int64_t j = 0; j < c; j++) {
      a[j] = pw[j] * scale[j];
      b[j] = -a[j] * scale[j] * scale[j] * all[c + j] / count;
      e[j] = -a[j] * all[j] / count;
      dw[j] = own[c + j] * scale[j];
    }
    at::Tensor fa = floats(a, x), fb = floats(b, x), fe = floats(e, x), fm = floats(mean, x), dx;
    if (x.device().is_cpu()) {
      dx = at::empty_like(x);
      const float *pg = dy.data_ptr<float>(), *px = x.data_ptr<float>();
      float *out = dx.data_ptr<float>();
      tab::parallel_for(x.size(0), kBlock, [&](int64_t lo, int64_t hi) {
        mix(pg + lo * c, px + lo * c, fm.data_ptr<float>(), fa.data_ptr<float>(), fb.data_ptr<float>(), fe.data_ptr<float>(),
            hi - lo, c, out + lo * c);
      });
    } else {
      dx = dy * fa + (x - fm) * fb + fe;
    }
    auto sizes = saved[0].movedim(1, -1).sizes().vec();
    dx = dx.view(sizes).movedim(-1, 1).to(saved[0].scalar_type());
    auto type = saved[1].scalar_type();
    return {dx, floats(dw, x).to(type), floats(db, x).to(type), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

} // namespace

extern "C" {

char *tab_batch_sums(void *x_, double *out) {
  return guarded([=] {
    at::NoGradGuard no_grad;
    at::Tensor x = rows_of(T(x_).detach());
    out[0] = static_cast<double>(x.size(0));
    sums(x, x, std::vector<double>(x.size(1), 0.0), out + 1);
  });
}

char *tab_sync_norm(void **out, void **token, void *x, void *weight, void *bias, void *running_mean, void *running_var,
                    double *mean, double *var, double count, double momentum, double eps, tab_sums exchange,
                    uintptr_t handle, int64_t layer) {
  return guarded([=] {
    const int64_t c = T(x).size(1);
    auto n = std::make_shared<Norm>();
    n->mean.assign(mean, mean + c);
    std::vector<double> v(var, var + c), unbiased(c);
    for (int64_t j = 0; j < c; j++) {
      n->scale.push_back(1 / std::sqrt(v[j] + eps));
      unbiased[j] = v[j] * (count / (count - 1));
    }
    n->count = count;
    n->sums = exchange;
    n->handle = handle;
    n->layer = layer;
    at::Tensor m = floats(n->mean, T(weight)), s = floats(v, T(weight));
    auto y = SyncNorm::apply(T(x), T(weight), T(bias), m, s, eps, n);
    at::NoGradGuard no_grad;
    T(running_mean).mul_(1 - momentum).add_(m, momentum);
    T(running_var).mul_(1 - momentum).add_(floats(unbiased, T(weight)), momentum);
    auto first = std::make_unique<at::Tensor>(y[0]);
    *token = new at::Tensor(y[1]);
    *out = first.release();
  });
}

} // extern "C"
