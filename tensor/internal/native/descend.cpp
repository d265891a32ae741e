//go:build !gotab_shared

// The rules by which weights move, in one pass over memory. libtorch's operations go over a weight, its gradient and
// its moments eight times for a step of Adam, and a network's weights do not stay in caches meanwhile. Each value comes
// out as libtorch's operations make it, up to the rounding of a product and a sum at once.
#include "descend.h"

#include "parallel.h"

#include <cmath>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define EIGHTS 1
#endif

namespace {

// A share of a weight that a thread takes at least.
constexpr int64_t kGrain = 1 << 15;

struct Adam {
  float keep, decay, weight, beta2, rest2, root, eps, rate;
  bool high; // lerp begins at the end that is nearer
};

struct SGD {
  float decay, momentum, share, rate;
  bool first, nesterov;
};

// One value, for other processors.
inline void one(const Adam &r, float &p, float g, float &m, float &v) {
  float w = p * r.keep;
  float d = r.decay == 0 ? g : g + r.decay * w;
  float diff = d - m;
  m = (r.high ? d : m) + r.weight * diff;
  v = v * r.beta2 + (r.rest2 * d) * d;
  float denom = std::sqrt(v) / r.root + r.eps;
  p = w + (r.rate * m) / denom;
}

inline void one(const SGD &r, float &p, float g, float &b) {
  float d = r.decay == 0 ? g : g + r.decay * p;
  if (r.momentum != 0) {
    b = r.first ? d : b * r.momentum + r.share * d;
    d = r.nesterov ? d + r.momentum * b : b;
  }
  p = p + r.rate * d;
}

void plain(const Adam &r, float *p, const float *g, float *m, float *v, int64_t n) {
  for (int64_t i = 0; i < n; i++) one(r, p[i], g[i], m[i], v[i]);
}

void plain(const SGD &r, float *p, const float *g, float *b, int64_t n) {
  float none = 0;
  for (int64_t i = 0; i < n; i++) one(r, p[i], g[i], b == nullptr ? none : b[i]);
}

#ifdef EIGHTS

// Eight values at once. The last ones of a share go the same way, beside zeros, so that no value depends on where a share ends.
#define AVX2 __attribute__((target("avx2,fma")))

AVX2 inline void eight(const Adam &r, float *p, const float *g, float *m, float *v) {
  __m256 w = _mm256_mul_ps(_mm256_loadu_ps(p), _mm256_set1_ps(r.keep)), d = _mm256_loadu_ps(g);
  if (r.decay != 0) d = _mm256_fmadd_ps(_mm256_set1_ps(r.decay), w, d);
  __m256 a = _mm256_loadu_ps(m), b = _mm256_mul_ps(_mm256_loadu_ps(v), _mm256_set1_ps(r.beta2));
  a = _mm256_fmadd_ps(_mm256_set1_ps(r.weight), _mm256_sub_ps(d, a), r.high ? d : a);
  b = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_set1_ps(r.rest2), d), d, b);
  const __m256 denom = _mm256_add_ps(_mm256_div_ps(_mm256_sqrt_ps(b), _mm256_set1_ps(r.root)), _mm256_set1_ps(r.eps));
  w = _mm256_add_ps(w, _mm256_div_ps(_mm256_mul_ps(_mm256_set1_ps(r.rate), a), denom));
  _mm256_storeu_ps(m, a);
  _mm256_storeu_ps(v, b);
  _mm256_storeu_ps(p, w);
}

AVX2 inline void eight(const SGD &r, float *p, const float *g, float *b) {
  __m256 w = _mm256_loadu_ps(p), d = _mm256_loadu_ps(g);
  if (r.decay != 0) d = _mm256_fmadd_ps(_mm256_set1_ps(r.decay), w, d);
  if (r.momentum != 0) {
    const __m256 momentum = _mm256_set1_ps(r.momentum);
    const __m256 now = r.first ? d : _mm256_fmadd_ps(_mm256_set1_ps(r.share), d, _mm256_mul_ps(_mm256_loadu_ps(b), momentum));
    _mm256_storeu_ps(b, now);
    d = r.nesterov ? _mm256_fmadd_ps(momentum, now, d) : now;
  }
  _mm256_storeu_ps(p, _mm256_fmadd_ps(_mm256_set1_ps(r.rate), d, w));
}

AVX2 void eights(const Adam &r, float *p, const float *g, float *m, float *v, int64_t n) {
  for (; n >= 8; n -= 8, p += 8, g += 8, m += 8, v += 8) eight(r, p, g, m, v);
  if (n == 0) return;
  float last[4][8] = {};
  const size_t bytes = n * sizeof(float);
  std::memcpy(last[0], p, bytes), std::memcpy(last[1], g, bytes), std::memcpy(last[2], m, bytes), std::memcpy(last[3], v, bytes);
  eight(r, last[0], last[1], last[2], last[3]);
  std::memcpy(p, last[0], bytes), std::memcpy(m, last[2], bytes), std::memcpy(v, last[3], bytes);
}

AVX2 void eights(const SGD &r, float *p, const float *g, float *b, int64_t n) {
  for (; n >= 8; n -= 8, p += 8, g += 8, b += b == nullptr ? 0 : 8) eight(r, p, g, b);
  if (n == 0) return;
  float last[3][8] = {};
  const size_t bytes = n * sizeof(float);
  std::memcpy(last[0], p, bytes), std::memcpy(last[1], g, bytes);
  if (b != nullptr && !r.first) std::memcpy(last[2], b, bytes);
  eight(r, last[0], last[1], last[2]);
  std::memcpy(p, last[0], bytes);
  if (b != nullptr) std::memcpy(b, last[2], bytes);
}

bool has_eights() {
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return has;
}

#endif

// fits says whether x lies as like does, in float32 and without gaps on the processor.
bool fits(const at::Tensor &x, const at::Tensor &like) {
  return x.device().is_cpu() && x.scalar_type() == at::kFloat && x.layout() == at::kStrided && x.is_non_overlapping_and_dense() &&
         x.sizes() == like.sizes() && x.strides() == like.strides();
}

} // namespace

namespace tab {

bool adam(at::Tensor &p, const at::Tensor &d, at::Tensor &m, at::Tensor &v, double keep, double decay, double beta1, double beta2, double root,
          double eps, double rate) {
  if (!fits(p, p) || !fits(d, p) || !fits(m, p) || !fits(v, p)) return false;
  p.unsafeGetTensorImpl()->bump_version(); // as libtorch's operations do: Backward of what was computed with the old weight refuses then
  Adam r{};
  const float weight = static_cast<float>(1 - beta1);
  r.high = std::abs(weight) >= 0.5f;
  r.weight = r.high ? weight - 1 : weight;
  r.keep = static_cast<float>(keep), r.decay = static_cast<float>(decay), r.beta2 = static_cast<float>(beta2);
  r.rest2 = static_cast<float>(1 - beta2), r.root = static_cast<float>(root), r.eps = static_cast<float>(eps), r.rate = static_cast<float>(rate);
  float *pp = p.data_ptr<float>(), *mm = m.data_ptr<float>(), *vv = v.data_ptr<float>();
  const float *dd = d.data_ptr<float>();
  tab::parallel_for(p.numel(), kGrain, [&](int64_t from, int64_t to) {
#ifdef EIGHTS
    if (has_eights()) return eights(r, pp + from, dd + from, mm + from, vv + from, to - from);
#endif
    plain(r, pp + from, dd + from, mm + from, vv + from, to - from);
  });
  return true;
}

bool sgd(at::Tensor &p, const at::Tensor &d, at::Tensor &b, bool first, double rate, double momentum, double dampening, double decay, bool nesterov) {
  if (!fits(p, p) || !fits(d, p) || (momentum != 0 && !fits(b, p))) return false;
  p.unsafeGetTensorImpl()->bump_version(); // as in adam
  const SGD r{static_cast<float>(decay), static_cast<float>(momentum), static_cast<float>(1 - dampening), static_cast<float>(rate), first, nesterov};
  float *pp = p.data_ptr<float>(), *bb = momentum != 0 ? b.data_ptr<float>() : nullptr;
  const float *dd = d.data_ptr<float>();
  tab::parallel_for(p.numel(), kGrain, [&](int64_t from, int64_t to) {
    float *own = bb == nullptr ? nullptr : bb + from;
#ifdef EIGHTS
    if (has_eights()) return eights(r, pp + from, dd + from, own, to - from);
#endif
    plain(r, pp + from, dd + from, own, to - from);
  });
  return true;
}

} // namespace tab
