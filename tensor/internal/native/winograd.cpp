//go:build !gotab_shared

// Convolutions of 3x3 places with stride 1 in float32, in a quarter of the multiplications.
//
// A tile of 4x4 values that come out depends on 6x6 that go in. Taken as polynomials, the two factors of the
// convolution are evaluated at six points along each side, multiplied there, 36 products for 16 values where plain
// sums take 144, and read back (Winograd; Lavin and Gray, arXiv 1509.09308; the construction is Toom's and Cook's). The
// products over all channels are 36 matrix products of tiles with weights, which take nearly all of the time.
//
// The usual points 0, 1, -1, 2, -2 and infinity lose half a decimal in float32. With 0, 3/4, -3/4, 3/2, -3/2 and infinity, whose
// powers are exact in binary, rounding is that of plain sums: on random values with 64 channels 1.1e-6 of the largest at most where plain sums have 1.0e-6.
//
// Tiles go through all three parts in blocks that stay in the second cache. What a tile's values are does not
// depend on its block: a sum runs over the channels in their order, in one accumulator. So results are the same for any batch and any
// number of threads. A value that is no number, or infinite, spreads over its tile.
#include "parallel.h"
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

using Block = void (*)(const Shape &g, const float *x, const float *u, const float *bias, float *y, int64_t first, int64_t count,
                       int64_t from, int64_t to, float *work);

// Blocks are the kernels for tiles of 2x2 and of 4x4.
struct Blocks {
  Block two, four;
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
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) return 16;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 8 : 0;
}

Blocks of(int lanes) {
  if (lanes == 16) return {wide::block<2>, wide::block<4>};
  if (lanes == 8) return {narrow::block<2>, narrow::block<4>};
  return {nullptr, nullptr};
}
#else
int lanes() { return 0; }
Blocks of(int) { return {nullptr, nullptr}; }
#endif

std::atomic<int> widest{lanes()};

Blocks kernels() { return of(widest.load(std::memory_order_relaxed)); }

// side is that of the tiles which a weight is packed for.
int64_t side(const at::Tensor &packed) { return packed.size(0) == 36 ? 4 : 2; }

// floats is what a block of tiles works in: the values at the points before and after the products, and one tile whose border is
// filled up with zeros.
int64_t floats(const Shape &g, int64_t points, int64_t tiles) { return points * (tiles * (g.c + g.o) + 2 * kApart + g.c); }

void run(const Shape &g, int64_t side, const float *x, const float *u, const float *bias, float *y) {
  const int64_t threads = at::get_num_threads(), tiles = g.n * g.down * g.across, panels = g.o / kPanel;
  int64_t blocks = (tiles + kTiles - 1) / kTiles, parts = 1;
  if (blocks < threads)
    parts = std::min(panels, (threads + blocks - 1) / blocks); // each reads its own part of the weights
  else
    blocks = std::min(tiles, (blocks + threads - 1) / threads * threads);
  const int64_t tasks = blocks * parts, size = floats(g, (side + 2) * (side + 2), (tiles + blocks - 1) / blocks);
  at::Tensor work = at::empty({std::min(threads, tasks) * size}, at::kFloat);
  float *const room = work.data_ptr<float>();
  const Block block = side == 4 ? kernels().four : kernels().two;
  tab::Tasks left(tasks);
  std::atomic<int64_t> seats{0};
  tab::on_threads(tasks, [&] {
    float *const mine = room + seats.fetch_add(1, std::memory_order_relaxed) * size;
    for (int64_t k; left.next(&k);) {
      const int64_t b = k / parts, p = k % parts, first = b * tiles / blocks;
      block(g, x, u, bias, y, first, (b + 1) * tiles / blocks - first, p * panels / parts * kPanel, (p + 1) * panels / parts * kPanel, mine);
    }
  });
}

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
at::Tensor pack(const at::Tensor &weight) {
  const at::Tensor dense = weight.contiguous();
  const int64_t o = dense.size(0), c = dense.size(1), panels = o / kPanel;
  const double at4[] = {0, kA, -kA, kB, -kB}, at2[] = {0, 1, -1};
  const bool four = o * c <= kChannels4;
  const double *const at = four ? at4 : at2;
  const int n = four ? 6 : 4;
  double g[6][3] = {};
  g[n - 1][2] = 1; // at infinity
  for (int j = 0; j < n - 1; j++) {
    double norm = 1;
    for (int k = 0; k < n - 1; k++)
      if (k != j) norm *= at[j] - at[k];
    if (!four && j == 0) norm = -norm; // evaluate<2> turns the sign there, and interpolate<2> that at infinity
    for (int i = 0; i < 3; i++) g[j][i] = std::pow(at[j], i) / norm;
  }
  at::Tensor packed = at::empty({n * n, panels, c, kPanel}, at::kFloat);
  const float *const from = dense.data_ptr<float>();
  float *const to = packed.data_ptr<float>();
  tab::parallel_for(c, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; k++)
      for (int64_t out = 0; out < o; out++) {
        const float *w = from + (out * c + k) * 9;
        double half[6][3];
        for (int i = 0; i < n; i++)
          for (int j = 0; j < 3; j++) half[i][j] = g[i][0] * w[j] + g[i][1] * w[3 + j] + g[i][2] * w[6 + j];
        for (int i = 0; i < n; i++)
          for (int j = 0; j < n; j++)
            to[(((n * i + j) * panels + out / kPanel) * c + k) * kPanel + out % kPanel] =
                static_cast<float>(half[i][0] * g[j][0] + half[i][1] * g[j][1] + half[i][2] * g[j][2]);
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

} // namespace winograd
