//go:build !gotab_shared

// Convolutions of 3x3 places with stride 1 in float32, in a quarter of the multiplications.
//
// A tile of 4x4 values that come out depends on 6x6 that go in. Taken as polynomials, the two factors of the
// convolution are evaluated at six points along each side, multiplied there, 36 products for 16 values where plain
// sums take 144, and read back (Winograd; Lavin and Gray, arXiv 1509.09308; the construction is Toom's and Cook's). The
// products over all channels are 36 matrix products of tiles with weights, which take nearly all of the time.
//
// The usual points 0, 1, -1, 2, -2 and infinity lose half a decimal in float32. With 0, 3/4, -3/4, 3/2, -3/2 and infinity, whose
// powers are exact in binary, rounding is within twice that of plain sums: on maps of 56 x 56 normal values with 64 channels, normal weights too, the
// largest error is 1.6e-6 to 1.9e-6 of the largest value, where plain sums have 0.9e-6 to 1.1e-6.
//
// Tiles go through all three parts in blocks that stay in the second cache. What a tile's values are does not
// depend on its block: a sum runs over the channels in their order, in one accumulator. So results are the same for any batch and any
// number of threads. A value that is no number, or infinite, spreads over the tiles that it goes into. A weight of that kind would spread over all of
// them: packed.cpp leaves it to oneDNN.
#include "parallel.h"
#include "processors.h"
#include "winograd.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <stdexcept>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define GOTAB_WINOGRAD 1
#endif

namespace winograd {
namespace {

// Shape is a map of h x w places, c channels in and o out, in down x across tiles.
struct Shape {
  int64_t n, h, w, c, o, down, across;
  bool add, relu;
};

// The points of a tile of 4x4, beside 0 and infinity: kA, -kA, kB and -kB.
constexpr float kA = 0.75f, kB = 1.5f;

// The weights' panels: 32 outputs side by side.
constexpr int64_t kPanel = 32;

// The tiles of a block. With 256 channels on both sides a block takes 1 MB; with fewer tiles the weights are read too often.
constexpr int64_t kTiles = 28;

// How many floats the rows of the points lie further apart than they must: a power of two apart they would share few lines of the cache.
constexpr int64_t kApart = 16;

// How many floats ahead weights are fetched.
constexpr int64_t kAhead = 512;

// Up to this product of channels tiles are 4x4. With more the weights at 36 points come from memory slower than the products at 16 are made.
constexpr int64_t kChannels4 = 128 * 128;

// Up to this product they are 2x2, beyond there is no gain.
constexpr int64_t kChannels2 = 256 * 256;

// The sums of a thread's part of a gradient: of at most so many channels and outputs, 0.6 MB; and of no fewer channels than these.
constexpr int64_t kMost = 64, kLeast = 16;

using Block = void (*)(const Shape &g, const float *x, const float *u, const float *bias, float *y, int64_t first, int64_t count,
                       int64_t from, int64_t to, float *work);

using Gradient = void (*)(const Shape &g, const float *x, const float *y, int64_t first, int64_t count, int64_t c0, int64_t c, int64_t o0, int64_t o,
                          float *m, float *work);

// Blocks are the kernels for tiles of 2x2 and of 4x4.
struct Blocks {
  Block two, four;
  Gradient gradient2, gradient4;
};

#ifdef GOTAB_WINOGRAD
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,fma,prefer-vector-width=512")
#define LANES 16
#define ROWS 14
namespace wide {
#include "winograd_block.h"
}
#undef LANES
#undef ROWS
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define LANES 8
#define ROWS 6
namespace narrow {
#include "winograd_block.h"
}
#undef LANES
#undef ROWS
#pragma GCC pop_options

// lanes is how many floats this processor's registers hold, of the widths that there are kernels for.
int lanes() {
  __builtin_cpu_init();
  if (tab::held_to("default")) return 0;
  if (!tab::held_to("avx2") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) return 16;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 8 : 0;
}

Blocks of(int lanes) {
  if (lanes == 16) return {wide::block<2>, wide::block<4>, wide::gradient<2>, wide::gradient<4>};
  if (lanes == 8) return {narrow::block<2>, narrow::block<4>, narrow::gradient<2>, narrow::gradient<4>};
  return {};
}
#else
int lanes() { return 0; }
Blocks of(int) { return {}; }
#endif

std::atomic<int> widest{lanes()};

Blocks kernels() { return of(widest.load(std::memory_order_relaxed)); }

// side is that of the tiles which a weight is packed for.
int64_t side(const at::Tensor &packed) { return packed.size(0) == 36 ? 4 : 2; }

// floats is what a block of tiles works in: the values at the points before and after the products, and one tile whose border is
// filled up with zeros.
int64_t floats(const Shape &g, int64_t points, int64_t tiles) { return points * (tiles * (g.c + g.o) + 2 * kApart + g.c); }

// with_room calls f(task, room) for the numbers 0 to tasks-1, on the threads of the caller, each of which has size floats of room.
template <typename F> void with_room(int64_t tasks, int64_t size, const F &f) {
  at::Tensor work = at::empty({std::min<int64_t>(at::get_num_threads(), tasks) * size}, at::kFloat);
  float *const all = work.data_ptr<float>();
  tab::Tasks left(tasks);
  std::atomic<int64_t> seats{0};
  tab::on_threads(tasks, [&] {
    float *const room = all + seats.fetch_add(1, std::memory_order_relaxed) * size;
    for (int64_t k; left.next(&k);) f(k, room);
  });
}

void run(const Shape &g, int64_t side, const float *x, const float *u, const float *bias, float *y) {
  const int64_t threads = at::get_num_threads(), tiles = g.n * g.down * g.across, panels = g.o / kPanel;
  int64_t blocks = (tiles + kTiles - 1) / kTiles, parts = 1;
  if (blocks < threads)
    parts = std::min(panels, (threads + blocks - 1) / blocks); // each reads its own part of the weights
  else
    blocks = std::min(tiles, (blocks + threads - 1) / threads * threads);
  const int64_t tasks = blocks * parts, size = floats(g, (side + 2) * (side + 2), (tiles + blocks - 1) / blocks);
  const Block block = side == 4 ? kernels().four : kernels().two;
  if (block == nullptr) throw std::invalid_argument("the kernels that the weight was packed for are switched off");
  with_room(tasks, size, [&](int64_t k, float *room) {
    const int64_t b = k / parts, p = k % parts, first = b * tiles / blocks;
    block(g, x, u, bias, y, first, (b + 1) * tiles / blocks - first, p * panels / parts * kPanel, (p + 1) * panels / parts * kPanel, room);
  });
}

// Points is how the three values of a kernel along a side count at each of the n points.
struct Points {
  int n;
  double g[6][3] = {};
  explicit Points(bool four) : n(four ? 6 : 4) {
    const double at4[] = {0, kA, -kA, kB, -kB}, at2[] = {0, 1, -1};
    const double *const at = four ? at4 : at2;
    g[n - 1][2] = 1; // at infinity
    for (int j = 0; j < n - 1; j++) {
      double norm = 1;
      for (int k = 0; k < n - 1; k++)
        if (k != j) norm *= at[j] - at[k];
      if (!four && j == 0) norm = -norm; // evaluate<2> turns the sign there, and interpolate<2> that at infinity
      for (int i = 0; i < 3; i++) g[j][i] = std::pow(at[j], i) / norm;
    }
  }
};

Shape shape(const at::Tensor &x, const at::Tensor &packed, const at::Tensor &bias, bool add, bool relu) {
  const int64_t h = x.size(2), w = x.size(3);
  const int64_t s = side(packed);
  Shape g{x.size(0), h, w, packed.size(2), bias.numel(), (h + s - 1) / s, (w + s - 1) / s, add, relu};
  if (x.size(1) != g.c || packed.size(1) * kPanel != g.o) throw std::invalid_argument("the sizes of input, weight and bias do not fit");
  return g;
}

void run(const Shape &g, const at::Tensor &x, const at::Tensor &packed, const at::Tensor &bias, at::Tensor &y) {
  run(g, side(packed), x.data_ptr<float>(), packed.data_ptr<float>(), bias.data_ptr<float>(), y.data_ptr<float>());
}

} // namespace

int limit(int most) { return widest.exchange(std::min(most, lanes())); }

bool serves(const at::Tensor &weight, int64_t stride, int64_t padding, int64_t groups) {
  return kernels().two != nullptr && weight.scalar_type() == at::kFloat && weight.size(2) == 3 && weight.size(3) == 3 && stride == 1 && padding == 1 &&
         groups == 1 && weight.size(1) % 16 == 0 && weight.size(0) % kPanel == 0 && weight.size(0) * weight.size(1) <= kChannels2;
}

// The values of a kernel at the points, in double precision: [points, O/32, C, 32].
at::Tensor pack(const at::Tensor &weight, bool fine) {
  const int64_t o = weight.size(0), c = weight.size(1), panels = o / kPanel;
  const Points p(!fine && o * c <= kChannels4);
  const int n = p.n;
  const auto &g = p.g;
  at::Tensor packed = at::empty({n * n, panels, c, kPanel}, at::kFloat);
  const float *const from = weight.data_ptr<float>();
  const int64_t so = weight.stride(0), sc = weight.stride(1), si = weight.stride(2), sj = weight.stride(3);
  float *const to = packed.data_ptr<float>();
  // A training packs its weights in each step, so this goes over a panel at once.
  tab::parallel_for(panels * c, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const float *const w = from + row / c * kPanel * so + row % c * sc;
      double half[6][3][kPanel];
      for (int j = 0; j < 3; j++) {
        double column[3][kPanel];
        for (int i = 0; i < 3; i++)
          for (int64_t k = 0; k < kPanel; k++) column[i][k] = w[k * so + i * si + j * sj];
        for (int i = 0; i < n; i++)
          for (int64_t k = 0; k < kPanel; k++) half[i][j][k] = g[i][0] * column[0][k] + g[i][1] * column[1][k] + g[i][2] * column[2][k];
      }
      for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
          float *const point = to + ((n * i + j) * panels * c + row) * kPanel;
          for (int64_t k = 0; k < kPanel; k++)
            point[k] = static_cast<float>(half[i][0][k] * g[j][0] + half[i][1][k] * g[j][1] + half[i][2][k] * g[j][2]);
        }
    }
  });
  return packed;
}

at::Tensor conv(const at::Tensor &x, const at::Tensor &packed, const at::Tensor &bias, bool relu) {
  const Shape g = shape(x, packed, bias, false, relu);
  at::Tensor y = at::empty({g.n, g.o, g.h, g.w}, x.options(), at::MemoryFormat::ChannelsLast);
  run(g, x, packed, bias, y);
  return y;
}

void add(at::Tensor &sum, const at::Tensor &x, const at::Tensor &packed, const at::Tensor &bias) {
  run(shape(x, packed, bias, true, true), x, packed, bias, sum);
}

// Input and gradient are evaluated at the points, tile by tile, and their products summed up over all tiles: a matrix product for each point. What is
// left is the transpose of how a kernel is evaluated. A thread has all tiles of some channels and outputs, so that its sums stay in the second cache, and a
// sum's order is that of the tiles, for any number of threads.
at::Tensor weight_gradient(const at::Tensor &x, const at::Tensor &grad) {
  const int64_t c = x.size(1), o = grad.size(1), h = x.size(2), w = x.size(3);
  const bool four = o * c <= kChannels4;
  const Points points(four);
  const int n = points.n, side = n - 2;
  const Shape g{x.size(0), h, w, c, o, (h + side - 1) / side, (w + side - 1) / side, false, false};
  const int64_t tiles = g.n * g.down * g.across, threads = at::get_num_threads();
  int64_t cs = (c + kMost - 1) / kMost, os = (o + kMost - 1) / kMost; // parts of the channels and of the outputs
  while (cs * os < threads && (os < o / kPanel || cs < c / kLeast))
    if (os < o / kPanel)
      os = std::min(2 * os, o / kPanel);
    else
      cs = std::min(2 * cs, c / kLeast);
  const int64_t most_c = (c / kLeast + cs - 1) / cs * kLeast, most_o = (o / kPanel + os - 1) / os * kPanel;
  const int64_t sums = n * n * most_c * most_o, size = sums + n * n * (kTiles * (most_c + most_o) + 2 * kApart + most_c), tasks = cs * os;
  at::Tensor dw = at::empty({o, c, 3, 3}, x.options(), at::MemoryFormat::ChannelsLast);
  float *const to = dw.data_ptr<float>();
  const float *const in = x.data_ptr<float>(), *const out = grad.data_ptr<float>();
  const Gradient gradient = four ? kernels().gradient4 : kernels().gradient2;
  if (gradient == nullptr) throw std::invalid_argument("the kernels of the way forward are switched off");
  with_room(tasks, size, [&](int64_t k, float *m) {
    const int64_t i = k / os, j = k % os;
    const int64_t c0 = i * (c / kLeast) / cs * kLeast, cn = (i + 1) * (c / kLeast) / cs * kLeast - c0;
    const int64_t o0 = j * (o / kPanel) / os * kPanel, on = (j + 1) * (o / kPanel) / os * kPanel - o0;
    std::fill_n(m, n * n * cn * on, 0.0f);
    for (int64_t t = 0; t < tiles; t += kTiles) gradient(g, in, out, t, std::min(kTiles, tiles - t), c0, cn, o0, on, m, m + sums);
    for (int64_t p = 0; p < on; p += kPanel)
      for (int64_t r = 0; r < cn; r++) {
        const float *const at = m + (p * cn + r * kPanel);
        double half[3][6][kPanel] = {};
        for (int a = 0; a < n; a++)
          for (int b = 0; b < n; b++) {
            const float *const v = at + (n * a + b) * cn * on;
            for (int y = 0; y < 3; y++)
              for (int64_t q = 0; q < kPanel; q++) half[y][b][q] += points.g[a][y] * v[q];
          }
        for (int y = 0; y < 3; y++)
          for (int z = 0; z < 3; z++)
            for (int64_t q = 0; q < kPanel; q++) {
              double sum = 0;
              for (int b = 0; b < n; b++) sum += points.g[b][z] * half[y][b][q];
              to[((o0 + p + q) * 9 + 3 * y + z) * c + c0 + r] = static_cast<float>(sum);
            }
      }
  });
  return dw;
}

} // namespace winograd
