//go:build !gotab_shared

// Maxima over windows of channels-last maps. Where no gradient is wanted libtorch's kernel keeps all the same where each maximum lay, and
// takes twice the time for it. Where one is, it keeps the whole map, of which its way back reads the sizes, and each place in eight bytes:
// here a place is a byte, which says where in its window it is.
#include "guard.h"
#include "parallel.h"
#include "processors.h"
#include "shim.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <algorithm>
#include <limits>
#include <torch/csrc/autograd/custom_function.h>
#include <vector>

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

typedef int32_t EightPlaces __attribute__((vector_size(32)));
typedef uint8_t EightBytes __attribute__((vector_size(8), aligned(1), may_alias));

// row_at is row that writes to at where in its window each maximum is, counted line by line: the first of equal ones, and the last that is
// no number, as in libtorch.
FOR_PROCESSORS
void row_at(const Window &g, const float *map, int64_t top, float *out, uint8_t *at) {
  const int64_t from = std::max<int64_t>(top, 0), to = std::min(top + g.k, g.h), line = g.w * g.c;
  const float lowest = -std::numeric_limits<float>::infinity();
  for (int64_t ox = 0; ox < g.ow; ox++, out += g.c, at += g.c) {
    const int64_t left = ox * g.stride - g.padding, x0 = std::max<int64_t>(left, 0), x1 = std::min(left + g.k, g.w);
    const int32_t first = static_cast<int32_t>((from - top) * g.k + x0 - left);
    int64_t c = 0;
    for (; c + 8 <= g.c; c += 8) {
      Eight m = Eight{} + lowest;
      EightPlaces place = EightPlaces{} + first;
      for (int64_t y = from; y < to; y++) {
        const float *p = map + y * line + x0 * g.c + c;
        int32_t here = static_cast<int32_t>((y - top) * g.k + x0 - left);
        for (int64_t x = x0; x < x1; x++, p += g.c, here++) {
          const Eight v = *reinterpret_cast<const Eight *>(p);
          const EightPlaces more = (v > m) | (v != v);
          m = more ? v : m;
          place = more ? EightPlaces{} + here : place;
        }
      }
      *reinterpret_cast<Eight *>(out + c) = m;
      *reinterpret_cast<EightBytes *>(at + c) = __builtin_convertvector(place, EightBytes);
    }
    for (; c < g.c; c++) {
      float m = lowest;
      int32_t place = first;
      for (int64_t y = from; y < to; y++)
        for (int64_t x = x0; x < x1; x++) {
          const float v = map[y * line + x * g.c + c];
          if (v > m || v != v) {
            m = v;
            place = static_cast<int32_t>((y - top) * g.k + x - left);
          }
        }
      out[c] = m;
      at[c] = static_cast<uint8_t>(place);
    }
  }
}

// The most sides of a window whose places a byte counts.
constexpr int64_t kSides = 16;

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

// work is how many lines of windows are worth a thread.
int64_t work(const Window &g) { return std::max<int64_t>(1, 32768 / std::max<int64_t>(1, g.ow * g.c * g.k)); }

at::Tensor last(const std::vector<int64_t> &sizes, at::ScalarType type) {
  return at::empty(sizes, at::TensorOptions(type).memory_format(at::MemoryFormat::ChannelsLast));
}

// Pool keeps of a map nothing but its sizes.
struct Pool : torch::autograd::Function<Pool> {
  static at::Tensor forward(torch::autograd::AutogradContext *ctx, const at::Tensor &x, const Window &g, int64_t oh) {
    at::Tensor y = last({x.size(0), g.c, oh, g.ow}, at::kFloat), at = last({x.size(0), g.c, oh, g.ow}, at::kByte);
    const float *from = x.data_ptr<float>();
    float *to = y.data_ptr<float>();
    uint8_t *places = at.data_ptr<uint8_t>();
    tab::parallel_for(x.size(0) * oh, work(g), [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; i++)
        row_at(g, from + i / oh * g.h * g.w * g.c, i % oh * g.stride - g.padding, to + i * g.ow * g.c, places + i * g.ow * g.c);
    });
    ctx->save_for_backward({at});
    ctx->saved_data["window"] = std::vector<int64_t>{g.c, g.h, g.w, g.ow, g.k, g.stride, g.padding};
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *ctx, torch::autograd::variable_list grads) {
    const at::Tensor at = ctx->get_saved_variables()[0], dy = grads[0].contiguous(at::MemoryFormat::ChannelsLast);
    const auto v = ctx->saved_data["window"].toIntVector();
    const Window g{v[0], v[1], v[2], v[3], v[4], v[5], v[6]};
    const int64_t n = at.size(0), oh = at.size(2);
    at::Tensor dx = last({n, g.c, g.h, g.w}, at::kFloat).zero_();
    const float *from = dy.data_ptr<float>();
    const uint8_t *places = at.data_ptr<uint8_t>();
    float *to = dx.data_ptr<float>();
    // Windows overlap, so an image is one thread's, and a place adds up in the order of the windows, as in libtorch.
    tab::parallel_for(n, 1, [&](int64_t first, int64_t last) {
      int64_t offset[kSides * kSides];
      for (int64_t i = 0; i < g.k * g.k; i++) offset[i] = (i / g.k * g.w + i % g.k) * g.c;
      for (int64_t i = first * oh; i < last * oh; i++) {
        float *image = to + i / oh * g.h * g.w * g.c;
        for (int64_t ox = 0; ox < g.ow; ox++) {
          const int64_t corner = ((i % oh * g.stride - g.padding) * g.w + ox * g.stride - g.padding) * g.c;
          const float *d = from + (i * g.ow + ox) * g.c;
          const uint8_t *p = places + (i * g.ow + ox) * g.c;
          for (int64_t c = 0; c < g.c; c++) image[corner + offset[p[c]] + c] += d[c];
        }
      }
    });
    return {dx, at::Tensor(), at::Tensor()};
  }
};

} // namespace

extern "C" {

// The maxima of k x k windows; out stays as it is where these kernels do not serve: other types, devices and layouts, and gradients in bfloat16.
char *tab_max_pool_last(void **out, void *xp, int64_t k, int64_t stride, int64_t padding) {
  return guarded([=] {
    const at::Tensor &x = *static_cast<at::Tensor *>(xp);
    const bool half = x.scalar_type() == at::kBFloat16;
    if (!x.device().is_cpu() || (!half && x.scalar_type() != at::kFloat) || x.dim() != 4 || x.numel() == 0 ||
        !x.is_contiguous(at::MemoryFormat::ChannelsLast))
      return;
    const bool back = at::GradMode::is_enabled() && x.requires_grad();
    if (back && (half || k > kSides)) return;
    const int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
    if (k < 1 || stride < 1 || padding < 0 || 2 * padding > k || h + 2 * padding < k || w + 2 * padding < k) return;
    const int64_t oh = (h + 2 * padding - k) / stride + 1, ow = (w + 2 * padding - k) / stride + 1;
    const Window g{c, h, w, ow, k, stride, padding};
    if (back) {
      *out = new at::Tensor(Pool::apply(x, g, oh));
      return;
    }
    at::Tensor y = at::empty({n, c, oh, ow}, x.options().requires_grad(false).memory_format(at::MemoryFormat::ChannelsLast));
    const void *from = x.data_ptr();
    void *to = y.data_ptr();
    tab::parallel_for(n * oh, work(g), [&](int64_t first, int64_t last) {
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
