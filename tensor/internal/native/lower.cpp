//go:build !gotab_shared

// Covariances and Mahalanobis distances of many positions. A sum into each position's matrix,
// and a product with it, read all matrices for every batch, so what they take is the memory's time: here the matrices
// lie without their upper halves, eight rows at a time, column by column:
//
//   rows 0-7: columns 0-7, rows 8-15: columns 0-15, and so on; in a column eight values.
//
// A column of eight times one value of a vector adds to eight sums at once.
//
// A network in bfloat16 does not ask for all bits of a matrix. Their values can be parted into halves, of which
// the first ones alone are read then.
#include "guard.h"
#include "parallel.h"
#include "processors.h"
#include "shim.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace {

typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));

typedef uint32_t Words __attribute__((vector_size(32), aligned(2), may_alias));
typedef int32_t Signed __attribute__((vector_size(32), aligned(2), may_alias));

#define ALWAYS_INLINE inline __attribute__((always_inline))

constexpr int64_t kRows = 8;

// The columns of a position's matrix, four at a call. A matrix takes the memory's time, which is fetched ahead: a
// position's values do not follow those of the one before in all forms.
constexpr int kAhead = 2048; // bytes
constexpr uint32_t kHigh = 0xffff0000u;

struct Single {
  const float *at;
  ALWAYS_INLINE void four(Eight &a, Eight &b, Eight &c, Eight &d) {
    __builtin_prefetch(reinterpret_cast<const char *>(at) + kAhead);
    __builtin_prefetch(reinterpret_cast<const char *>(at) + kAhead + 64);
    const Eight *from = reinterpret_cast<const Eight *>(at);
    a = from[0];
    b = from[1];
    c = from[2];
    d = from[3];
    at += 4 * kRows;
  }
};

// First halves of values (see halve), as numbers of their own.
struct Rounded {
  const uint16_t *at;
  ALWAYS_INLINE void four(Eight &a, Eight &b, Eight &c, Eight &d) {
    __builtin_prefetch(reinterpret_cast<const char *>(at) + kAhead);
    const Words *from = reinterpret_cast<const Words *>(at);
    a = (Eight)(from[0] << 16);
    b = (Eight)(from[0] & kHigh);
    c = (Eight)(from[1] << 16);
    d = (Eight)(from[1] & kHigh);
    at += 4 * kRows;
  }
};

// Both halves, which are the values.
struct Joined {
  const uint16_t *at, *rest;
  ALWAYS_INLINE void four(Eight &a, Eight &b, Eight &c, Eight &d) {
    __builtin_prefetch(reinterpret_cast<const char *>(at) + kAhead);
    __builtin_prefetch(reinterpret_cast<const char *>(rest) + kAhead);
    const Words *from = reinterpret_cast<const Words *>(at), *low = reinterpret_cast<const Words *>(rest);
    a = (Eight)((from[0] << 16) + (Words)((Signed)(low[0] << 16) >> 16));
    b = (Eight)((from[0] & kHigh) + (Words)((Signed)low[0] >> 16));
    c = (Eight)((from[1] << 16) + (Words)((Signed)(low[1] << 16) >> 16));
    d = (Eight)((from[1] & kHigh) + (Words)((Signed)low[1] >> 16));
    at += 4 * kRows;
    rest += 4 * kRows;
  }
};

// add adds a column times one value of each of four vectors.
ALWAYS_INLINE void add(Eight &ya, Eight &yb, Eight &yc, Eight &yd, const Eight &column, float a, float b, float c, float d) {
  ya += column * a;
  yb += column * b;
  yc += column * c;
  yd += column * d;
}

// lengths_of writes |L v| for m vectors v of stride values each, which are filled up with
// zeros to whole blocks of rows.
template <class Columns> ALWAYS_INLINE void lengths_of(const Columns &factor, const float *v, int64_t stride, int64_t m, float *out) {
  const int64_t blocks = stride / kRows;
  Eight k0, k1, k2, k3;
  for (; m >= 4; m -= 4, v += 4 * stride, out += 4) {
    Columns columns = factor;
    const float *a = v, *b = v + stride, *c = v + 2 * stride, *d = v + 3 * stride;
    Eight sa = {}, sb = {}, sc = {}, sd = {};
    for (int64_t block = 0; block < blocks; block++) {
      Eight ya = {}, yb = {}, yc = {}, yd = {};
      for (int64_t j = 0; j < kRows * (block + 1); j += 4) {
        columns.four(k0, k1, k2, k3);
        add(ya, yb, yc, yd, k0, a[j], b[j], c[j], d[j]);
        add(ya, yb, yc, yd, k1, a[j + 1], b[j + 1], c[j + 1], d[j + 1]);
        add(ya, yb, yc, yd, k2, a[j + 2], b[j + 2], c[j + 2], d[j + 2]);
        add(ya, yb, yc, yd, k3, a[j + 3], b[j + 3], c[j + 3], d[j + 3]);
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
    Columns columns = factor;
    Eight sum = {};
    for (int64_t block = 0; block < blocks; block++) {
      Eight y0 = {}, y1 = {}, y2 = {}, y3 = {}; // four sums: one would wait for itself
      for (int64_t j = 0; j < kRows * (block + 1); j += 4) {
        columns.four(k0, k1, k2, k3);
        y0 += k0 * v[j];
        y1 += k1 * v[j + 1];
        y2 += k2 * v[j + 2];
        y3 += k3 * v[j + 3];
      }
      Eight y = (y0 + y1) + (y2 + y3);
      sum += y * y;
    }
    float total = 0;
    for (int k = 0; k < 8; k++) total += sum[k];
    *out = std::sqrt(total);
  }
}

FOR_PROCESSORS
void lengths(const Single &factor, const float *v, int64_t stride, int64_t m, float *out) { lengths_of(factor, v, stride, m, out); }

FOR_PROCESSORS
void lengths(const Rounded &factor, const float *v, int64_t stride, int64_t m, float *out) { lengths_of(factor, v, stride, m, out); }

FOR_PROCESSORS
void lengths(const Joined &factor, const float *v, int64_t stride, int64_t m, float *out) { lengths_of(factor, v, stride, m, out); }

// Factor is the matrices of all positions in one of their forms: float32 [P, R]; bfloat16 [P, 2, R], whose two halves
// are the same numbers; bfloat16 [P, R], the first halves alone.
class Factor {
public:
  explicit Factor(const at::Tensor &t) : kept_(t.stride(-1) == 1 && t.dim() == 2 ? t : t.contiguous()) {
    step_ = kept_.stride(0);
    entries_ = kept_.size(-1);
  }
  int64_t positions() const { return kept_.size(0); }
  int64_t entries() const { return entries_; }

  void lengths_at(int64_t p, const float *v, int64_t stride, int64_t m, float *out) const {
    if (kept_.scalar_type() == at::kFloat) {
      lengths(Single{static_cast<const float *>(kept_.data_ptr()) + p * step_}, v, stride, m, out);
      return;
    }
    const uint16_t *at = static_cast<const uint16_t *>(kept_.data_ptr()) + p * step_;
    if (kept_.dim() == 2)
      lengths(Rounded{at}, v, stride, m, out);
    else
      lengths(Joined{at, at + entries_}, v, stride, m, out);
  }

private:
  at::Tensor kept_;
  int64_t step_, entries_;
};

// halve parts n values, a multiple of 16, into numbers of half the bits and what these lack: with x the bits of a value the
// first half is (x + 2^15) / 2^16, the nearest bfloat16 (between two of them that away from zero), and the rest are
// the lower bits, with their sign. The first half times 2^16 plus the rest is x again: other ways of rounding do not
// say on which side of it x was. Values of two columns lie in turns, so that a shift and a mask widen them.
void halve(const float *from, uint16_t *high, uint16_t *low, int64_t n) {
  for (int64_t at = 0; at < n; at += 2 * kRows)
    for (int64_t k = 0; k < 2 * kRows; k++) {
      const int64_t to = at + 2 * (k % kRows) + k / kRows;
      uint32_t x;
      std::memcpy(&x, from + at + k, 4);
      if ((x & 0x7fffffffu) > 0x7f800000u) { // rounding would make a number of it
        high[to] = static_cast<uint16_t>(x >> 16 | 0x40u);
        low[to] = 0;
        continue;
      }
      high[to] = static_cast<uint16_t>((x + 0x8000u) >> 16);
      low[to] = static_cast<uint16_t>(x);
    }
}

// join makes values of what halve made of them.
void join(const uint16_t *high, const uint16_t *low, float *to, int64_t n) {
  for (int64_t at = 0; at < n; at += 2 * kRows)
    for (int64_t k = 0; k < 2 * kRows; k++) {
      const int64_t from = at + 2 * (k % kRows) + k / kRows;
      const uint32_t x = (static_cast<uint32_t>(high[from]) << 16) + static_cast<uint32_t>(static_cast<int32_t>(static_cast<int16_t>(low[from])));
      std::memcpy(to + at + k, &x, 4);
    }
}

// pack puts the lower triangle of c rows, which lie one after another, into blocks.
void pack(const char *rows, int64_t c, float *to) {
  for (int64_t first = 0; first < c; first += kRows) {
    const char *row[kRows];
    for (int64_t k = 0; k < kRows; k++) row[k] = rows + 4 * ((first + k) * (first + k + 1) / 2);
    if (first + kRows <= c) {
      for (int64_t j = 0; j < first; j++, to += kRows)
        for (int64_t k = 0; k < kRows; k++) std::memcpy(to + k, row[k] + 4 * j, 4);
    } else {
      for (int64_t j = 0; j < first; j++, to += kRows)
        for (int64_t k = 0; k < kRows; k++)
          if (first + k < c)
            std::memcpy(to + k, row[k] + 4 * j, 4);
          else
            to[k] = 0;
    }
    for (int64_t j = first; j < first + kRows; j++, to += kRows) // on the diagonal
      for (int64_t k = 0; k < kRows; k++)
        if (first + k < c && j <= first + k)
          std::memcpy(to + k, row[k] + 4 * j, 4);
        else
          to[k] = 0;
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

// x [n, P, C] and mean [P, C] are float32 on the CPU, and factor is one of the forms of Factor, with R as many
// values as a matrix of C rows has here. Package tensor has checked that.
char *tab_mahalanobis(void **out, void *x_, void *mean_, void *factor_) {
  return guarded([=] {
    at::NoGradGuard g;
    at::Tensor x = T(x_).contiguous(), mean = T(mean_).contiguous();
    const Factor factor(T(factor_));
    const int64_t n = x.size(0), positions = x.size(1), c = x.size(2), entries = factor.entries();
    const int64_t stride = (c + kRows - 1) / kRows * kRows;
    if (entries != stride * (stride + kRows) / 2) throw std::invalid_argument("the factor has another number of values");
    at::Tensor y = at::empty({n, positions}, x.options());
    const float *px = x.data_ptr<float>(), *pm = mean.data_ptr<float>();
    float *py = y.data_ptr<float>();
    tab::parallel_for(positions, 64, [&](int64_t lo, int64_t hi) {
      std::vector<float> v(n * stride, 0.0f), lens(n);
      for (int64_t p = lo; p < hi; p++) {
        for (int64_t i = 0; i < n; i++) {
          const float *from = px + (i * positions + p) * c;
          float *to = v.data() + i * stride;
          for (int64_t j = 0; j < c; j++) to[j] = from[j] - pm[p * c + j];
        }
        factor.lengths_at(p, v.data(), stride, n, lens.data());
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
    at::Tensor mean = T(mean_).contiguous();
    const Factor factor(T(factor_));
    const int64_t n = T(maps_[0]).size(0), h = maps[0].h, w = maps[0].w, positions = h * w, entries = factor.entries();
    const int64_t stride = (c + kRows - 1) / kRows * kRows;
    if (entries != stride * (stride + kRows) / 2 || factor.positions() != positions) throw std::invalid_argument("the factor has another number of values");
    at::Tensor y = at::empty({n, positions}, mean.options());
    const float *pm = mean.data_ptr<float>();
    float *py = y.data_ptr<float>();
    tab::parallel_for(positions, 64, [&](int64_t lo, int64_t hi) {
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
        factor.lengths_at(p, v.data(), stride, n, lens.data());
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
    if (x.is_alias_of(sums)) x = x.clone();
    const int64_t n = x.size(0), positions = x.size(1), c = x.size(2), entries = sums.size(1);
    const int64_t stride = (c + kRows - 1) / kRows * kRows;
    if (entries != stride * (stride + kRows) / 2 || !sums.is_contiguous()) throw std::invalid_argument("the sums have another number of values, or are a view");
    sums.unsafeGetTensorImpl()->bump_version(); // Backward of what has read the sums before refuses then
    const float *px = x.data_ptr<float>();
    float *ps = sums.data_ptr<float>();
    tab::parallel_for(positions, 64, [&](int64_t lo, int64_t hi) {
      const int64_t m = (n + 3) / 4 * 4;
      std::vector<float> v(m * stride, 0.0f);
      for (int64_t p = lo; p < hi; p++) {
        for (int64_t i = 0; i < n; i++) std::copy_n(px + (i * positions + p) * c, c, v.data() + i * stride);
        scatter(ps + p * entries, v.data(), stride, m);
      }
    });
  });
}

// x [P, R] is float32 on the CPU and lies as it says; R is a multiple of 16. The halves take its place.
char *tab_halve(void **out, void *x_) {
  return guarded([=] {
    at::NoGradGuard g;
    at::Tensor x = T(x_).detach();
    const int64_t positions = x.size(0), entries = x.size(1);
    if (!x.is_contiguous() || entries % (2 * kRows) != 0) throw std::invalid_argument("the values are a view, or no whole columns");
    at::Tensor y = x.view(at::kBFloat16).view({positions, 2, entries});
    x.unsafeGetTensorImpl()->bump_version(); // as of sums
    float *px = x.data_ptr<float>();
    tab::parallel_for(positions, 64, [&](int64_t lo, int64_t hi) {
      std::vector<float> v(entries);
      for (int64_t p = lo; p < hi; p++) {
        std::copy_n(px + p * entries, entries, v.data());
        uint16_t *to = reinterpret_cast<uint16_t *>(px + p * entries);
        halve(v.data(), to, to + entries, entries);
      }
    });
    *out = new at::Tensor(std::move(y));
  });
}

// x [P, 2, R] is what tab_halve made, or a part of its positions.
char *tab_join(void **out, void *x_) {
  return guarded([=] {
    at::NoGradGuard g;
    at::Tensor x = T(x_).contiguous();
    const int64_t positions = x.size(0), entries = x.size(2);
    if (entries % (2 * kRows) != 0) throw std::invalid_argument("the values are no whole columns");
    at::Tensor y = at::empty({positions, entries}, x.options().dtype(at::kFloat));
    const uint16_t *px = static_cast<const uint16_t *>(x.data_ptr());
    float *py = y.data_ptr<float>();
    tab::parallel_for(positions, 64, [&](int64_t lo, int64_t hi) {
      for (int64_t p = lo; p < hi; p++) join(px + 2 * p * entries, px + (2 * p + 1) * entries, py + p * entries, entries);
    });
    *out = new at::Tensor(std::move(y));
  });
}

// to is float32 [P, R] or bfloat16 [P, 2, R] on the CPU and lies as it says, and rows are the float32 triangles of P
// matrices of c rows.
char *tab_pack_lower(void *to_, const void *rows, int64_t c) {
  return guarded([=] {
    const at::Tensor &to = T(to_);
    const int64_t positions = to.size(0), entries = to.size(-1), stride = (c + kRows - 1) / kRows * kRows, bytes = 2 * c * (c + 1);
    if (entries != stride * (stride + kRows) / 2 || !to.is_contiguous()) throw std::invalid_argument("the factor has another number of values, or is a view");
    to.unsafeGetTensorImpl()->bump_version();
    const char *from = static_cast<const char *>(rows);
    if (to.scalar_type() == at::kFloat) {
      float *py = static_cast<float *>(to.data_ptr());
      tab::parallel_for(positions, 64, [&](int64_t lo, int64_t hi) {
        for (int64_t p = lo; p < hi; p++) pack(from + p * bytes, c, py + p * entries);
      });
      return;
    }
    uint16_t *py = static_cast<uint16_t *>(to.data_ptr());
    tab::parallel_for(positions, 64, [&](int64_t lo, int64_t hi) {
      std::vector<float> v(entries);
      for (int64_t p = lo; p < hi; p++) {
        pack(from + p * bytes, c, v.data());
        halve(v.data(), py + 2 * p * entries, py + (2 * p + 1) * entries, entries);
      }
    });
  });
}

} // extern "C"
