//go:build !gotab_shared

// Maxima over windows of channels-last maps, where no gradient is wanted. libtorch's kernel also keeps where each maximum lay, and
// takes twice the time for it.
#include "guard.h"
#include "parallel.h"
#include "processors.h"
#include "shim.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <algorithm>
#include <limits>

namespace {

typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));

// Window is a map of c channels and what is taken of it.
struct Window {
  int64_t c, h, w, ow, k, stride, padding;
};

// row writes a row of maxima: top is the first line of the windows, which may lie above the map.
FOR_PROCESSORS
void row(const Window &g, const float *map, int64_t top, float *out) {
  const int64_t from = std::max<int64_t>(top, 0), to = std::min(top + g.k, g.h), line = g.w * g.c;
  const float lowest = -std::numeric_limits<float>::infinity();
  for (int64_t ox = 0; ox < g.ow; ox++, out += g.c) {
    const int64_t left = ox * g.stride - g.padding, x0 = std::max<int64_t>(left, 0), x1 = std::min(left + g.k, g.w);
    int64_t c = 0;
    for (; c + 8 <= g.c; c += 8) {
      Eight m = Eight{} + lowest;
      for (int64_t y = from; y < to; y++) {
        const float *at = map + y * line + x0 * g.c + c;
        for (int64_t x = x0; x < x1; x++, at += g.c) {
          const Eight v = *reinterpret_cast<const Eight *>(at);
          m = (v > m) | (v != v) ? v : m; // what is no number wins, as in libtorch
        }
      }
      *reinterpret_cast<Eight *>(out + c) = m;
    }
    for (; c < g.c; c++) {
      float m = lowest;
      for (int64_t y = from; y < to; y++)
        for (int64_t x = x0; x < x1; x++) {
          const float v = map[y * line + x * g.c + c];
          if (v > m || v != v) m = v;
        }
      out[c] = m;
    }
  }
}

// Sixteen values of bfloat16 as numbers of 16 bits, in the order of what they stand for: what is no number comes last.
typedef int16_t Sixteen __attribute__((vector_size(32), aligned(2), may_alias));

inline __attribute__((always_inline)) void order(Sixteen &v) {
  const Sixteen magnitude = v & 0x7fff, key = v ^ ((v >> 15) & 0x7fff);
  v = magnitude > Sixteen{} + 0x7f80 ? Sixteen{} + 0x7fff : key;
}

inline int16_t ordered(int16_t v) {
  if ((v & 0x7fff) > 0x7f80) return 0x7fff;
  return static_cast<int16_t>(v ^ ((v >> 15) & 0x7fff));
}

// row of bfloat16.
FOR_PROCESSORS
void row16(const Window &g, const int16_t *map, int64_t top, int16_t *out) {
  const int64_t from = std::max<int64_t>(top, 0), to = std::min(top + g.k, g.h), line = g.w * g.c;
  constexpr int16_t lowest = -0x8000; // before all, minus infinity too
  for (int64_t ox = 0; ox < g.ow; ox++, out += g.c) {
    const int64_t left = ox * g.stride - g.padding, x0 = std::max<int64_t>(left, 0), x1 = std::min(left + g.k, g.w);
    int64_t c = 0;
    for (; c + 16 <= g.c; c += 16) {
      Sixteen m = Sixteen{} + lowest;
      for (int64_t y = from; y < to; y++) {
        const int16_t *at = map + y * line + x0 * g.c + c;
        for (int64_t x = x0; x < x1; x++, at += g.c) {
          Sixteen v = *reinterpret_cast<const Sixteen *>(at);
          order(v);
          m = v > m ? v : m;
        }
      }
      *reinterpret_cast<Sixteen *>(out + c) = m ^ ((m >> 15) & 0x7fff);
    }
    for (; c < g.c; c++) {
      int16_t m = lowest;
      for (int64_t y = from; y < to; y++)
        for (int64_t x = x0; x < x1; x++) m = std::max(m, ordered(map[y * line + x * g.c + c]));
      out[c] = static_cast<int16_t>(m ^ ((m >> 15) & 0x7fff));
    }
  }
}

} // namespace

extern "C" {

// The maxima of k x k windows; out stays as it is where this kernel does not serve: gradients, other types, devices and layouts.
char *tab_max_pool_last(void **out, void *xp, int64_t k, int64_t stride, int64_t padding) {
  return guarded([=] {
    const at::Tensor &x = *static_cast<at::Tensor *>(xp);
    const bool half = x.scalar_type() == at::kBFloat16;
    if (!x.device().is_cpu() || (!half && x.scalar_type() != at::kFloat) || x.dim() != 4 || x.numel() == 0 ||
        !x.is_contiguous(at::MemoryFormat::ChannelsLast) || (at::GradMode::is_enabled() && x.requires_grad()))
      return;
    const int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
    if (k < 1 || stride < 1 || padding < 0 || 2 * padding > k || h + 2 * padding < k || w + 2 * padding < k) return;
    const int64_t oh = (h + 2 * padding - k) / stride + 1, ow = (w + 2 * padding - k) / stride + 1;
    at::Tensor y = at::empty({n, c, oh, ow}, x.options().requires_grad(false).memory_format(at::MemoryFormat::ChannelsLast));
    const void *from = x.data_ptr();
    void *to = y.data_ptr();
    const Window g{c, h, w, ow, k, stride, padding};
    tab::parallel_for(n * oh, std::max<int64_t>(1, 32768 / std::max<int64_t>(1, ow * c * k)), [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; i++) {
        const int64_t read = i / oh * h * w * c, top = i % oh * stride - padding, written = i * ow * c;
        if (half)
          row16(g, static_cast<const int16_t *>(from) + read, top, static_cast<int16_t *>(to) + written);
        else
          row(g, static_cast<const float *>(from) + read, top, static_cast<float *>(to) + written);
      }
    });
    *out = new at::Tensor(std::move(y));
  });
}

} // extern "C"
