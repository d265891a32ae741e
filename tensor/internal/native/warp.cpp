//go:build !gotab_shared

// Bilinear reading of channels-last maps. libtorch's own kernel walks channel by
// channel, which for this layout means a cache line for every value, and returns
// the other layout. Here a position's channels are read and written as they lie.
#include "guard.h"
#include "shim.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <algorithm>
#include <cmath>
#include <system_error>
#include <thread>
#include <torch/csrc/autograd/custom_function.h>
#include <vector>

namespace {

// Eight floats at once where the compiler has them, and where it has not as well.
typedef float Eight __attribute__((vector_size(32), aligned(4)));

struct Shape {
  int64_t n, c, h, w, oh, ow;
};

// Tap is where a position of the grid lies: four neighbours, of which those beyond
// the border have no weight, and how the place follows the grid.
struct Tap {
  int64_t at[4]; // north-west, north-east, south-west, south-east, in positions
  float weight[4];
  bool inside[4];
  float x1, y1; // distances to the neighbours east and south, 1 less those to west and north
  float dx, dy; // derivatives of the place in pixels by the grid
  bool finite;
};

// place turns a coordinate in [-1, 1] into pixels of a side of n, reflected at its
// outer edges and then moved to the next pixel's centre, and says how fast.
float place(float v, int64_t n, float *slope) {
  float s = n / 2.0f, p = (v + 1) * s - 0.5f;
  float from = p + 0.5f; // distance to the edge at -1/2
  if (from < 0) {
    from = -from;
    s = -s;
  }
  float rest = std::fmod(from, static_cast<float>(n));
  if (static_cast<int64_t>(std::fmod(std::floor(from / n), 2.0f)) == 0) {
    p = rest - 0.5f;
  } else {
    p = n - rest - 0.5f;
    s = -s;
  }
  if (p <= 0 || p >= n - 1) {
    p = p <= 0 ? 0 : n - 1;
    s = 0;
  }
  *slope = s;
  return p;
}

Tap tap(const float *grid, const Shape &s) {
  Tap t;
  t.finite = std::isfinite(grid[0]) && std::isfinite(grid[1]);
  if (!t.finite) return t;
  float x = place(grid[0], s.w, &t.dx), y = place(grid[1], s.h, &t.dy);
  t.finite = std::isfinite(x) && std::isfinite(y); // a place may be too far for pixels to count
  if (!t.finite) return t;
  int64_t west = static_cast<int64_t>(std::floor(x)), north = static_cast<int64_t>(std::floor(y));
  t.x1 = west + 1 - x;
  t.y1 = north + 1 - y;
  for (int k = 0; k < 4; k++) {
    int64_t px = west + k % 2, py = north + k / 2;
    t.inside[k] = px >= 0 && px < s.w && py >= 0 && py < s.h;
    t.at[k] = t.inside[k] ? py * s.w + px : 0;
    t.weight[k] = t.inside[k] ? (k % 2 ? 1 - t.x1 : t.x1) * (k / 2 ? 1 - t.y1 : t.y1) : 0;
  }
  return t;
}

// in_parts runs f on the parts of [0, n) with as many threads as libtorch uses on
// this one. They live for the call only: a thread that entered libtorch would keep
// a pool of helpers for ever, and these do not enter it.
template <typename F> void in_parts(int64_t n, int64_t work, const F &f) {
  constexpr int64_t kEnough = 1 << 20; // values that are worth a thread
  int64_t parts = std::min<int64_t>({n, at::get_num_threads(), work / kEnough + 1});
  std::vector<std::thread> others;
  int64_t lo = 0;
  for (int64_t i = 1; i < parts; i++) {
    int64_t hi = n * i / parts;
    try {
      others.emplace_back([&f, lo, hi] { f(lo, hi); });
    } catch (const std::system_error &) {
      f(lo, hi); // no thread to be had
    }
    lo = hi;
  }
  f(lo, n);
  for (auto &t : others) t.join();
}

at::Tensor empty_last(const Shape &s, int64_t h, int64_t w, const at::Tensor &like, bool zeros) {
  at::Tensor t = at::empty({s.n, s.c, h, w}, like.options(), at::MemoryFormat::ChannelsLast);
  return zeros ? t.zero_() : t;
}

at::Tensor forward(const at::Tensor &x, const at::Tensor &grid, const Shape &s) {
  at::Tensor out = empty_last(s, s.oh, s.ow, x, false);
  const float *px = x.data_ptr<float>(), *pg = grid.data_ptr<float>();
  float *po = out.data_ptr<float>();
  in_parts(s.n * s.oh, out.numel(), [&](int64_t lo, int64_t hi) {
    for (int64_t row = lo; row < hi; row++) {
      const float *image = px + row / s.oh * s.h * s.w * s.c;
      for (int64_t col = 0; col < s.ow; col++) {
        int64_t pos = row * s.ow + col;
        float *to = po + pos * s.c;
        Tap t = tap(pg + 2 * pos, s);
        if (!t.finite) {
          std::fill(to, to + s.c, NAN);
          continue;
        }
        const float *a = image + t.at[0] * s.c, *b = image + t.at[1] * s.c, *c = image + t.at[2] * s.c,
                    *d = image + t.at[3] * s.c;
        float wa = t.weight[0], wb = t.weight[1], wc = t.weight[2], wd = t.weight[3];
        int64_t k = 0;
        for (; k + 8 <= s.c; k += 8)
          *(Eight *)(to + k) = *(const Eight *)(a + k) * wa + *(const Eight *)(b + k) * wb +
                               *(const Eight *)(c + k) * wc + *(const Eight *)(d + k) * wd;
        for (; k < s.c; k++) to[k] = a[k] * wa + b[k] * wb + c[k] * wc + d[k] * wd;
      }
    }
  });
  return out;
}

// add_scaled adds w g to to.
void add_scaled(float *to, const float *g, float w, int64_t n) {
  int64_t k = 0;
  for (; k + 8 <= n; k += 8) *(Eight *)(to + k) += *(const Eight *)(g + k) * w;
  for (; k < n; k++) to[k] += g[k] * w;
}

float dot(const float *a, const float *b, int64_t n) {
  Eight sum = {0, 0, 0, 0, 0, 0, 0, 0};
  int64_t k = 0;
  for (; k + 8 <= n; k += 8) sum += *(const Eight *)(a + k) * *(const Eight *)(b + k);
  float out = 0;
  for (; k < n; k++) out += a[k] * b[k];
  for (int i = 0; i < 8; i++) out += sum[i];
  return out;
}

// backward returns the gradients of x and of the grid; that of x where it is
// wanted.
std::pair<at::Tensor, at::Tensor> backward(const at::Tensor &g, const at::Tensor &x, const at::Tensor &grid, const Shape &s,
                                           bool of_x) {
  at::Tensor gx = of_x ? empty_last(s, s.h, s.w, x, true) : at::Tensor();
  at::Tensor gg = at::empty({s.n, s.oh, s.ow, 2}, grid.options());
  const float *pg = g.data_ptr<float>(), *px = x.data_ptr<float>(), *pp = grid.data_ptr<float>();
  float *pgx = of_x ? gx.data_ptr<float>() : nullptr, *pgg = gg.data_ptr<float>();
  // An image's positions add to each other's neighbours, so an image is one part's.
  in_parts(s.n, g.numel(), [&](int64_t lo, int64_t hi) {
    for (int64_t pos = lo * s.oh * s.ow; pos < hi * s.oh * s.ow; pos++) {
      int64_t first = pos / (s.oh * s.ow) * s.h * s.w * s.c;
      const float *from = pg + pos * s.c;
      Tap t = tap(pp + 2 * pos, s);
      if (!t.finite) {
        pgg[2 * pos] = pgg[2 * pos + 1] = NAN;
        continue;
      }
      float d[4];
      for (int k = 0; k < 4; k++) {
        d[k] = t.inside[k] ? dot(from, px + first + t.at[k] * s.c, s.c) : 0;
        if (of_x && t.inside[k]) add_scaled(pgx + first + t.at[k] * s.c, from, t.weight[k], s.c);
      }
      pgg[2 * pos] = t.dx * ((d[1] - d[0]) * t.y1 + (d[3] - d[2]) * (1 - t.y1));
      pgg[2 * pos + 1] = t.dy * ((d[2] - d[0]) * t.x1 + (d[3] - d[1]) * (1 - t.x1));
    }
  });
  return {gx, gg};
}

Shape shape_of(const at::Tensor &x, const at::Tensor &grid) {
  return {x.size(0), x.size(1), x.size(2), x.size(3), grid.size(1), grid.size(2)};
}

struct Sample : torch::autograd::Function<Sample> {
  static at::Tensor forward(torch::autograd::AutogradContext *ctx, const at::Tensor &x, const at::Tensor &grid) {
    ctx->save_for_backward({x, grid});
    return ::forward(x, grid, shape_of(x, grid));
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *ctx, torch::autograd::variable_list g) {
    auto saved = ctx->get_saved_variables();
    auto out = ::backward(g[0].contiguous(at::MemoryFormat::ChannelsLast), saved[0], saved[1], shape_of(saved[0], saved[1]),
                          ctx->needs_input_grad(0));
    return {out.first, out.second};
  }
};

// ours says whether the kernel above is for these operands.
bool ours(const at::Tensor &x, const at::Tensor &grid) {
  return x.device().is_cpu() && x.scalar_type() == at::kFloat && grid.scalar_type() == at::kFloat && x.numel() > 0 &&
         x.is_contiguous(at::MemoryFormat::ChannelsLast) && x.size(1) > 1;
}

} // namespace

extern "C" char *tab_grid_sample(void **out, void *map, void *grid) {
  const at::Tensor &x = *static_cast<at::Tensor *>(map), &g = *static_cast<at::Tensor *>(grid);
  return guarded([&] {
    constexpr int64_t kBilinear = 0, kReflection = 2;
    if (ours(x, g))
      *out = new at::Tensor(Sample::apply(x, g.contiguous()));
    else
      *out = new at::Tensor(at::grid_sampler_2d(x, g, kBilinear, kReflection, false));
  });
}
