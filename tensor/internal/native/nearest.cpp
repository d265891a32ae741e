//go:build !gotab_shared

// The nearest row of a bank, without comparing all of a row with all of all rows.
//
// Turned along axes of which the first few hold most of what rows differ in, a row is its part along
// these and the length of the rest. With p and t of q, and r and u of b, by Cauchy and Schwarz
//
//   |q-b|^2 >= |p-r|^2 + (t-u)^2,
//
// a distance between vectors that are a few times shorter, all of which are one product of matrices.
// What this bound already puts beyond a row that is known is not looked at any further.
#include "guard.h"
#include "parallel.h"
#include "processors.h"
#include "shim.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

namespace {

typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));

constexpr int64_t kQueries = 64; // that are compared with the bank at once: 4 MB of products with 16,384 rows
constexpr int64_t kChunk = 64;   // rows of the bank with one largest product
constexpr int64_t kShare = 16;   // a row that must look at more than this share of the bank is compared with all at once
// Relative errors of a sum of some hundred products in single precision, far more than they are.
constexpr float kRounding = 4e-6f;

float total(const Eight &v) {
  float t = 0;
  for (int k = 0; k < 8; k++) t += v[k];
  return t;
}

// squared is |a-b|^2, or something that is not below stop.
FOR_PROCESSORS
float squared(const float *a, const float *b, int64_t n, float stop) {
  float sum = 0;
  int64_t i = 0;
  for (; n - i >= 64; i += 64) {
    Eight s0 = {}, s1 = {};
    for (int64_t j = i; j < i + 64; j += 16) {
      const Eight d0 = *reinterpret_cast<const Eight *>(a + j) - *reinterpret_cast<const Eight *>(b + j);
      const Eight d1 = *reinterpret_cast<const Eight *>(a + j + 8) - *reinterpret_cast<const Eight *>(b + j + 8);
      s0 += d0 * d0;
      s1 += d1 * d1;
    }
    sum += total(s0 + s1);
    if (sum >= stop) return sum;
  }
  for (; i < n; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

constexpr int64_t kLeads = 16; // values of a row that stand with those of seven others

// lower brings bound, a squared distance, down to that of the nearest of the rows *at to n-1, and says in *at how far it came: it
// ends when bound is below enough. leads has the first values of eight rows at a time, value by value, so that most rows are
// known to be too far by a few operations for eight.
FOR_PROCESSORS
float lower(const float *x, const float *rows, const float *leads, int64_t k, int64_t *at, int64_t n, float bound, float enough) {
  int64_t i = *at;
  while (i < n && bound >= enough) {
    const int64_t first = i / 8 * 8, last = std::min(first + 8, n);
    const Eight *lead = reinterpret_cast<const Eight *>(leads + first * kLeads);
    Eight a = {}, b = {};
    for (int64_t j = 0; j < kLeads; j += 2) {
      const Eight d = lead[j] - x[j], e = lead[j + 1] - x[j + 1];
      a += d * d;
      b += e * e;
    }
    a += b;
    for (; i < last; i++) {
      if (a[i - first] >= bound) continue;
      const float *row = rows + i * k;
      float sum = a[i - first];
      int64_t j = kLeads;
      for (; j + 16 <= k && sum < bound; j += 16) {
        const Eight d = *reinterpret_cast<const Eight *>(x + j) - *reinterpret_cast<const Eight *>(row + j);
        const Eight e = *reinterpret_cast<const Eight *>(x + j + 8) - *reinterpret_cast<const Eight *>(row + j + 8);
        sum += total(d * d + e * e);
      }
      for (; j < k && sum < bound; j++) sum += (x[j] - row[j]) * (x[j] - row[j]);
      bound = std::min(bound, sum);
    }
  }
  *at = i;
  return bound;
}

// tops writes the largest value of each chunk of g, which has n values.
FOR_PROCESSORS
void tops(const float *g, int64_t n, float *out) {
  for (int64_t lo = 0; lo < n; lo += kChunk, out++) {
    const int64_t k = std::min(kChunk, n - lo);
    float top = g[lo];
    if (k == kChunk) {
      Eight m = *reinterpret_cast<const Eight *>(g + lo);
      for (int64_t i = 8; i < kChunk; i += 8) {
        const Eight v = *reinterpret_cast<const Eight *>(g + lo + i);
        m = v > m ? v : m;
      }
      for (int j = 0; j < 8; j++) top = std::max(top, m[j]);
    } else {
      for (int64_t i = 1; i < k; i++) top = std::max(top, g[lo + i]);
    }
    *out = top;
  }
}

at::Tensor &T(void *p) { return *static_cast<at::Tensor *>(p); }

struct Bank {
  const float *rows, *low, *half;
  int64_t count, c, k; // k: values of a short row
  float longest;       // the largest squared length
};

// leads returns the row with the largest product, and the largest products of the chunks.
int64_t leads(const float *g, int64_t n, std::vector<float> &chunks) {
  tops(g, n, chunks.data());
  const int64_t chunk = std::max_element(chunks.begin(), chunks.end()) - chunks.begin();
  const int64_t lo = chunk * kChunk, hi = std::min(n, lo + kChunk);
  return std::max_element(g + lo, g + hi) - g;
}

// search brings a row that is nearest so far, at a squared distance, to the nearest. It says no where that takes too much.
bool search(const Bank &bank, const float *g, const std::vector<float> &chunks, const float *q, float qq, int64_t *at, float *dist) {
  const float slack = kRounding * (qq + bank.longest);
  float wanted = (qq - *dist) / 2 - slack;
  const int64_t first = *at, most = bank.count / kShare + 16;
  int64_t looked = 0;
  for (int64_t chunk = 0; chunk < static_cast<int64_t>(chunks.size()); chunk++) {
    if (!(chunks[chunk] > wanted)) continue;
    const int64_t lo = chunk * kChunk, hi = std::min(bank.count, lo + kChunk);
    for (int64_t i = lo; i < hi; i++) {
      if (!(g[i] > wanted) || i == first) continue;
      if (++looked > most) return false;
      const float d = squared(q, bank.rows + i * bank.c, bank.c, *dist);
      if (d < *dist) {
        *dist = d;
        *at = i;
        wanted = (qq - d) / 2 - slack;
      }
    }
  }
  return true;
}

} // namespace

extern "C" {

float tab_lower(const float *x, const float *rows, const float *leads, int64_t k, int64_t *at, int64_t n, float bound, float enough) {
  return lower(x, rows, leads, k, at, n, bound, enough);
}

// q [n, C], bank [M, C], axes [C, K] of length 1 and at right angles, low [M, K+1], half [M], the squared lengths of the
// bank's rows times -1/2: float32, on the CPU, contiguous. Package tensor has checked that.
char *tab_nearest(void **dist_, void **at_, void *q_, void *bank_, void *axes_, void *low_, void *half_, int exact) {
  return guarded([=] {
    at::NoGradGuard g;
    at::Tensor q = T(q_).contiguous(), rows = T(bank_).contiguous(), axes = T(axes_).contiguous(), low = T(low_).contiguous(), half = T(half_).contiguous();
    const int64_t n = q.size(0), c = q.size(1), count = rows.size(0), k = low.size(1);
    if (axes.size(0) != c || axes.size(1) + 1 != k || low.size(0) != count || half.numel() != count) throw std::invalid_argument("the bank's parts have other sizes");
    at::Tensor dist = at::empty({n}, q.options()), index = at::zeros({n}, q.options().dtype(at::kLong));
    Bank bank{rows.data_ptr<float>(), low.data_ptr<float>(), half.data_ptr<float>(), count, c, k, 0};
    for (int64_t i = 0; i < count; i++) bank.longest = std::max(bank.longest, -2 * bank.half[i]);
    float *pd = dist.data_ptr<float>();
    int64_t *pa = index.data_ptr<int64_t>();
    const at::Tensor lowT = low.t(), rowsT = rows.t();
    tab::parallel_for(n, 32, [&](int64_t from, int64_t to) {
      at::NoGradGuard g;
      std::vector<float> chunks((count + kChunk - 1) / kChunk);
      for (int64_t lo = from; lo < to; lo += kQueries) {
        const int64_t m = std::min(kQueries, to - lo);
        at::Tensor part = q.narrow(0, lo, m);
        at::Tensor shorter = at::empty({m, k}, q.options());
        shorter.narrow(1, 0, k - 1).copy_(at::mm(part, axes));
        std::vector<float> lengths(m);
        for (int64_t i = 0; i < m; i++) {
          const float *full = part.data_ptr<float>() + i * c;
          float *s = shorter.data_ptr<float>() + i * k;
          double whole = 0, kept = 0;
          for (int64_t j = 0; j < c; j++) whole += static_cast<double>(full[j]) * full[j];
          for (int64_t j = 0; j + 1 < k; j++) kept += static_cast<double>(s[j]) * s[j];
          lengths[i] = static_cast<float>(whole);
          // Rather too long: then the bound is rather too low.
          s[k - 1] = static_cast<float>(std::sqrt(std::max(0.0, whole - kept) + kRounding * whole));
        }
        at::Tensor products = at::addmm(half, shorter, lowT);
        std::vector<int64_t> hard;
        for (int64_t i = 0; i < m; i++) {
          const float *full = part.data_ptr<float>() + i * c, *row = products.data_ptr<float>() + i * count;
          if (!std::isfinite(lengths[i])) {
            pd[lo + i] = std::numeric_limits<float>::quiet_NaN();
            continue;
          }
          pa[lo + i] = leads(row, count, chunks);
          pd[lo + i] = squared(full, bank.rows + pa[lo + i] * c, c, std::numeric_limits<float>::infinity());
          if (exact && !search(bank, row, chunks, full, lengths[i], pa + lo + i, pd + lo + i)) hard.push_back(i);
        }
        if (hard.empty()) continue;
        at::Tensor which = at::tensor(hard, q.options().dtype(at::kLong));
        at::Tensor all = at::addmm(half, part.index_select(0, which), rowsT);
        for (size_t h = 0; h < hard.size(); h++) {
          const int64_t i = lo + hard[h];
          pa[i] = leads(all.data_ptr<float>() + static_cast<int64_t>(h) * count, count, chunks);
          pd[i] = squared(q.data_ptr<float>() + i * c, bank.rows + pa[i] * c, c, std::numeric_limits<float>::infinity());
        }
      }
    });
    *dist_ = new at::Tensor(std::move(dist));
    *at_ = new at::Tensor(std::move(index));
  });
}

} // extern "C"
