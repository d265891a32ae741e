//go:build !gotab_shared

// Covariances and Mahalanobis distances of many positions. A sum into each position's matrix,
// and a product with it, read all matrices for every batch, so what they take is the memory's time: here the matrices
// lie without their upper halves, eight rows at a time, column by column:
//
//   rows 0-7: columns 0-7, rows 8-15: columns 0-15, and so on; in a column eight values.
//
// A column of eight times one value of a vector adds to eight sums at once.
#include "guard.h"
#include "processors.h"
#include "shim.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

namespace {

typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));

constexpr int64_t kRows = 8;

// lengths writes |L v| for m vectors v of stride values each, which are filled up with
// zeros to whole blocks of rows.
FOR_PROCESSORS
void lengths(const float *factor, const float *v, int64_t stride, int64_t m, float *out) {
  const int64_t blocks = stride / kRows;
  for (; m >= 4; m -= 4, v += 4 * stride, out += 4) {
    const Eight *column = reinterpret_cast<const Eight *>(factor);
    const float *a = v, *b = v + stride, *c = v + 2 * stride, *d = v + 3 * stride;
    Eight sa = {}, sb = {}, sc = {}, sd = {};
    for (int64_t block = 0; block < blocks; block++) {
      Eight ya = {}, yb = {}, yc = {}, yd = {};
      for (int64_t j = 0; j < kRows * (block + 1); j++, column++) {
        ya += *column * a[j];
        yb += *column * b[j];
        yc += *column * c[j];
        yd += *column * d[j];
      }
      sa += ya * ya;
      sb += yb * yb;
      sc += yc * yc;
      sd += yd * yd;
    }
    float ta = 0, tb = 0, tc = 0, td = 0;
    for (int k = 0; k < 8; k++) {
      ta += sa[k];
      tb += sb[k];
      tc += sc[k];
      td += sd[k];
    }
    out[0] = std::sqrt(ta);
    out[1] = std::sqrt(tb);
    out[2] = std::sqrt(tc);
    out[3] = std::sqrt(td);
  }
  for (; m > 0; m--, v += stride, out++) {
    const Eight *column = reinterpret_cast<const Eight *>(factor);
    Eight sum = {};
    for (int64_t block = 0; block < blocks; block++) {
      Eight y0 = {}, y1 = {}, y2 = {}, y3 = {}; // four sums: one would wait for itself
      for (int64_t j = 0; j < kRows * (block + 1); j += 4, column += 4) {
        y0 += column[0] * v[j];
        y1 += column[1] * v[j + 1];
        y2 += column[2] * v[j + 2];
        y3 += column[3] * v[j + 3];
      }
      Eight y = (y0 + y1) + (y2 + y3);
      sum += y * y;
    }
    float total = 0;
    for (int k = 0; k < 8; k++) total += sum[k];
    *out = std::sqrt(total);
  }
}

// scatter adds v v^T of m vectors v of stride values each, which are filled up with zeros, to
// the sums of a position. m is a multiple of four: vectors that are missing are zero.
FOR_PROCESSORS
void scatter(float *sums, const float *v, int64_t stride, int64_t m) {
  for (; m > 0; m -= 4, v += 4 * stride) {
    Eight *column = reinterpret_cast<Eight *>(sums);
    const float *a = v, *b = v + stride, *c = v + 2 * stride, *d = v + 3 * stride;
    for (int64_t at = 0; at < stride; at += kRows) {
      const Eight ra = *reinterpret_cast<const Eight *>(a + at), rb = *reinterpret_cast<const Eight *>(b + at),
                  rc = *reinterpret_cast<const Eight *>(c + at), rd = *reinterpret_cast<const Eight *>(d + at);
      for (int64_t j = 0; j < at + kRows; j++, column++)
        *column += (ra * a[j] + rb * b[j]) + (rc * c[j] + rd * d[j]);
    }
  }
}

at::Tensor &T(void *p) { return *static_cast<at::Tensor *>(p); }

} // namespace

extern "C" {

// x [n, P, C], mean [P, C] and factor [P, R] are float32 on the CPU, with R as many
// values as a matrix of C rows has here. Package tensor has checked that.
char *tab_mahalanobis(void **out, void *x_, void *mean_, void *factor_) {
  return guarded([=] {
    at::NoGradGuard g;
    at::Tensor x = T(x_).contiguous(), mean = T(mean_).contiguous(), factor = T(factor_).contiguous();
    const int64_t n = x.size(0), positions = x.size(1), c = x.size(2), entries = factor.size(1);
    const int64_t stride = (c + kRows - 1) / kRows * kRows;
    if (entries != stride * (stride + kRows) / 2) throw std::invalid_argument("the factor has another number of values");
    at::Tensor y = at::empty({n, positions}, x.options());
    const float *px = x.data_ptr<float>(), *pm = mean.data_ptr<float>(), *pf = factor.data_ptr<float>();
    float *py = y.data_ptr<float>();
    at::parallel_for(0, positions, 64, [&](int64_t lo, int64_t hi) {
      std::vector<float> v(n * stride, 0.0f), lens(n);
      for (int64_t p = lo; p < hi; p++) {
        for (int64_t i = 0; i < n; i++) {
          const float *from = px + (i * positions + p) * c;
          float *to = v.data() + i * stride;
          for (int64_t j = 0; j < c; j++) to[j] = from[j] - pm[p * c + j];
        }
        lengths(pf + p * entries, v.data(), stride, n, lens.data());
        for (int64_t i = 0; i < n; i++) py[i * positions + p] = lens[i];
      }
    });
    *out = new at::Tensor(std::move(y));
  });
}

// The same of vectors that are gathered from maps [n, C_k, H_k, W_k], float32 and on the CPU: of map k its channels
// number channels[..] of counts[k] each, at the position of its own grid in which one of the first map's lies. The
// factor has a position for each of the first map's.
char *tab_mahalanobis_maps(void **out, void **maps_, int n_maps, int64_t *channels, int64_t *counts, void *mean_, void *factor_) {
  return guarded([=] {
    at::NoGradGuard g;
    struct Map {
      const float *values;
      int64_t image, channel, row, column, h, w; // steps, and sides of the grid
      const int64_t *channels;
      int64_t count;
    };
    std::vector<Map> maps;
    int64_t c = 0;
    for (int k = 0; k < n_maps; k++) {
      const at::Tensor &m = T(maps_[k]);
      maps.push_back({m.data_ptr<float>(), m.stride(0), m.stride(1), m.stride(2), m.stride(3), m.size(2), m.size(3), channels + c, counts[k]});
      c += counts[k];
    }
    at::Tensor mean = T(mean_).contiguous(), factor = T(factor_).contiguous();
    const int64_t n = T(maps_[0]).size(0), h = maps[0].h, w = maps[0].w, positions = h * w, entries = factor.size(1);
    const int64_t stride = (c + kRows - 1) / kRows * kRows;
    if (entries != stride * (stride + kRows) / 2 || factor.size(0) != positions) throw std::invalid_argument("the factor has another number of values");
    at::Tensor y = at::empty({n, positions}, mean.options());
    const float *pm = mean.data_ptr<float>(), *pf = factor.data_ptr<float>();
    float *py = y.data_ptr<float>();
    at::parallel_for(0, positions, 64, [&](int64_t lo, int64_t hi) {
      std::vector<float> v(n * stride, 0.0f), lens(n);
      for (int64_t p = lo; p < hi; p++) {
        const int64_t row = p / w, column = p % w;
        for (int64_t i = 0; i < n; i++) {
          float *to = v.data() + i * stride;
          const float *less = pm + p * c;
          for (const Map &m : maps) {
            const float *from = m.values + i * m.image + row * m.h / h * m.row + column * m.w / w * m.column;
            for (int64_t j = 0; j < m.count; j++) *to++ = from[m.channels[j] * m.channel] - *less++;
          }
        }
        lengths(pf + p * entries, v.data(), stride, n, lens.data());
        for (int64_t i = 0; i < n; i++) py[i * positions + p] = lens[i];
      }
    });
    *out = new at::Tensor(std::move(y));
  });
}

// sums [P, R] and x [n, P, C] are float32 on the CPU, sums contiguous.
char *tab_scatter_lower(void *sums_, void *x_) {
  return guarded([=] {
    at::NoGradGuard g;
    at::Tensor x = T(x_).contiguous(), &sums = T(sums_);
    const int64_t n = x.size(0), positions = x.size(1), c = x.size(2), entries = sums.size(1);
    const int64_t stride = (c + kRows - 1) / kRows * kRows;
    if (entries != stride * (stride + kRows) / 2 || !sums.is_contiguous()) throw std::invalid_argument("the sums have another number of values, or are a view");
    const float *px = x.data_ptr<float>();
    float *ps = sums.data_ptr<float>();
    at::parallel_for(0, positions, 64, [&](int64_t lo, int64_t hi) {
      const int64_t m = (n + 3) / 4 * 4;
      std::vector<float> v(m * stride, 0.0f);
      for (int64_t p = lo; p < hi; p++) {
        for (int64_t i = 0; i < n; i++) std::copy_n(px + (i * positions + p) * c, c, v.data() + i * stride);
        scatter(ps + p * entries, v.data(), stride, m);
      }
    });
  });
}

} // extern "C"
