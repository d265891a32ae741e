//go:build !gotab_shared

// Convolutions in bfloat16 on AMX, the matrix unit of Intel's processors from Sapphire Rapids on.
//
// A tile is a register of 16 rows of 64 bytes. One instruction multiplies a tile of 16 positions with 32 channels by one
// of these 32 channels with 16 outputs, and adds the products to a tile of 16 x 16 sums in float32. The rows of the first
// are 32 channels of neighbouring positions, read from memory a fixed step apart. The rows of the second are pairs of
// channels, the two of an output side by side: the order in which a weight is packed here, once.
//
// A convolution is a sum over its taps, the places of the kernel, and over slices of 32 channels. Two tiles of positions
// and two of outputs make a block of 32 x 32 sums, which stays in four tiles through all of that. Each tile that is
// loaded is used twice then, so that loading is no slower than multiplying.
//
// For every tap the tiles want 16 positions at a fixed step, and a map's rows are seldom a multiple of 16 long. So the
// input is first copied, piece by piece, to a scratch that belongs to the thread and stays in its cache:
//
//   - slice by slice, the 32 channels of a position in one line of 64 bytes. As it lies in the map, 16 positions are a
//     power of two apart, and fall onto each other in the cache;
//   - with a border of zeros. A row's left border is the right one of the row before, an image's upper border the lower one of
//     the image before. A tap is then a fixed distance in the scratch, and a tile goes on over ends of rows, and from one
//     image to the next: of a map of 7 x 7, 49 of 64 positions count. What is computed on a border is thrown away;
//   - for stride 2 in four planes, by the parity of row and column, in each of which a tap is at stride 1;
//   - where the channels are few (the stem of a network: 7 x 7 of 3), a line holds what a row of the kernel meets at one output,
//     7 x 3 values of 32, and the taps are the kernel's 7 rows. Lines are shared by all outputs that meet that row.
//
// While the tiles sum up a block, the vector unit finishes the one before, some rows at each tap: bias, the tensor that is added, ReLU,
// rounding to the nearest, and to the even one between two. Weights are asked for ahead of the first block that uses them:
// for one small image they come from the memory, which takes as long as the products.
//
// A piece is what fits into the cache: rows of an image or several images, and all outputs. Where the input is less than the weights,
// each thread takes a part of the outputs instead, and reads only its part of the weights. A sum's order (slices, then
// taps) is the same in all of them, so that a result does not depend on batch or threads. Numbers below 2^-126 count as zero, as
// in all of the processor's instructions for bfloat16.
//
// Left to oneDNN: other kernels, groups, channels or outputs that are no multiple of 32, weights that are not finite (zeros of the
// border would make them numbers that are none, where the plain convolution has nothing), other processors and systems.
#include "amx.h"
#include "parallel.h"
#include "processors.h"
#include "shim.h"

#include <ATen/ATen.h>
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#if defined(__x86_64__) && defined(__linux__) && (defined(__clang__) ? __clang_major__ >= 12 : defined(__GNUC__) && __GNUC__ >= 11)
#define HAS_AMX 1
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#define AMX __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512vl,avx512bf16")))
#endif

namespace tab {

#ifdef HAS_AMX

namespace {

constexpr int64_t kTile = 16;           // rows of a tile: positions, or pairs of channels
constexpr int64_t kSlice = 32;          // channels of a tile's row, 64 bytes
constexpr int64_t kOutputs = 32;        // outputs of a block: two tiles
constexpr int64_t kStep = kSlice * kOutputs; // weights of one tap of one slice for a block of outputs
constexpr int64_t kLine = 64;           // bytes of a row of a tile, and of a line of the cache
constexpr int64_t kAhead = 8192;        // bytes of weights that are asked for before they are needed
constexpr int64_t kSoon = 64;           // positions that outputs are asked for before they are written
constexpr int64_t kMaxTaps = 9;

// Scratch is memory of a thread that is kept for the next convolution, unless it is large.
class Scratch {
public:
  ~Scratch() { free(at_); }
  char *get(int64_t bytes) {
    if (bytes > size_) {
      free(at_);
      at_ = nullptr, size_ = 0;
      const size_t whole = (static_cast<size_t>(bytes) + 4095) / 4096 * 4096;
      void *p = nullptr;
      if (posix_memalign(&p, 4096, whole) != 0) throw std::bad_alloc();
      at_ = p, size_ = static_cast<int64_t>(whole);
    }
    return static_cast<char *>(at_);
  }
  void trim() {
    if (size_ <= (4 << 20)) return;
    free(at_);
    at_ = nullptr, size_ = 0;
  }

private:
  void *at_ = nullptr;
  int64_t size_ = 0;
};

thread_local Scratch scratch;

} // namespace

class AMXConv {
public:
  int64_t o, c, k, stride, padding;
  bool thin; // a row of the kernel, k*c values, is the slice
  int64_t slices, taps;
  at::Tensor weights; // [O/32, slices, taps, 2, 16, 16, 2]
  int64_t bytes() const { return o / kOutputs * slices * taps * kStep * 2; }
};

namespace {

// Call is one convolution: where its tensors lie, and how it is cut.
struct Call {
  const AMXConv *w;
  const uint16_t *weights, *x, *bias, *other;
  uint16_t *y;
  bool relu;
  bool far;            // the tensors are larger than the cache: what is needed soon is asked for
  int64_t n, h, wd, oh, ow;
  int64_t pitch;       // positions from a row of the outputs to the next one
  int64_t planes;      // of the scratch: by the parity of row and column
  int64_t between;     // rows of positions from an image to the next one, more than it has
  int64_t rows, images; // of a piece: rows of one image, or whole images
  int64_t pieces, parts; // parts: of the outputs
};

// Piece is what is computed at once.
struct Piece {
  int64_t image, images, row, rows; // images, or rows of the one
  int64_t gap;                      // rows of positions from an image to the next one
  int64_t count;                    // positions up to the last that counts
  int64_t plane, slice;             // bytes from a plane of the scratch, and of a slice, to the next one
  int64_t first, last;              // blocks of outputs
};

struct alignas(64) TileConfig {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};
};

AMX void configure() {
  TileConfig c;
  for (int i = 0; i < 8; i++) c.bytes[i] = kLine, c.rows[i] = kTile;
  asm volatile("" ::: "memory");
  _tile_loadconfig(&c);
}

AMX void release() { _tile_release(); }

AMX inline void zero(char *to, int64_t lines, int64_t step) {
  for (; lines > 0; lines--, to += step) _mm512_store_si512(to, _mm512_setzero_si512());
}

// line writes count pixels of a row, every step-th, to the scratch, where slices lie apart.
AMX void line(const uint16_t *from, int64_t c, int64_t step, int64_t count, char *to, int64_t slice, bool far) {
  const int64_t slices = c / kSlice;
  for (int64_t i = 0; i < count; i++, from += c * step, to += kLine) {
    char *at = to;
    if (far)
      for (int64_t s = 0; s < slices; s++) _mm_prefetch(from + s * kSlice + kAhead / 8, _MM_HINT_T0);
    for (int64_t s = 0; s < slices; s++, at += slice) _mm512_store_si512(at, _mm512_loadu_si512(from + s * kSlice));
  }
}

// nothing writes count positions of zeros for all slices.
AMX void nothing(char *to, int64_t count, int64_t slices, int64_t slice) {
  for (int64_t s = 0; s < slices; s++, to += slice) zero(to, count, kLine);
}

// fill brings what a piece reads into the scratch.
AMX void fill(const Call &a, const Piece &p, char *to) {
  const AMXConv &w = *a.w;
  const int64_t s = w.stride, rows = s * (p.rows - 1) + w.k; // rows of an image, with the border's
  for (int64_t g = 0; g < p.images; g++) {
    const uint16_t *image = a.x + (p.image + g) * a.h * a.wd * w.c;
    for (int64_t i = 0; i < rows; i++) {
      if (w.k == 1 && i % s != 0) continue;
      const int64_t r = s * p.row - w.padding + i;
      const bool real = r >= 0 && r < a.h;
      const uint16_t *row = image + r * a.wd * w.c;
      if (w.thin) {
        char *at = to + (i % s) * p.plane + (g * p.gap + i / s) * a.pitch * kLine;
        if (!real) {
          zero(at, a.ow, kLine);
          continue;
        }
        const __mmask32 whole = static_cast<__mmask32>((uint64_t{1} << w.k * w.c) - 1);
        for (int64_t x = 0; x < a.ow; x++, at += kLine) {
          const int64_t left = s * x - w.padding;
          __mmask32 mask = whole; // of the values that lie in the row: others are not read, and zero
          if (left < 0 || left + w.k > a.wd) {
            const int64_t lo = std::max<int64_t>(0, -left) * w.c, hi = std::min(w.k, a.wd - left) * w.c;
            mask = hi > lo ? static_cast<__mmask32>(((uint64_t{1} << hi) - 1) & ~((uint64_t{1} << lo) - 1)) : 0;
          }
          _mm512_store_si512(at, _mm512_maskz_loadu_epi16(mask, row + left * w.c));
        }
      } else if (w.k == 1) {
        line(row, w.c, s, a.ow, to + (g * p.gap + i / s) * a.pitch * kLine, p.slice, a.far);
      } else if (s == 1) {
        char *at = to + (g * p.gap + i) * a.pitch * kLine;
        if (!real) {
          nothing(at, a.pitch, w.slices, p.slice);
          continue;
        }
        nothing(at, 1, w.slices, p.slice);
        line(row, w.c, 1, a.wd, at + kLine, p.slice, a.far);
      } else {
        char *even = to + (i & 1) * 2 * p.plane + (g * p.gap + i / 2) * a.pitch * kLine, *odd = even + p.plane;
        if (!real) {
          nothing(even, a.pitch, w.slices, p.slice);
          nothing(odd, a.pitch, w.slices, p.slice);
          continue;
        }
        nothing(even, 1, w.slices, p.slice);
        line(row + w.c, w.c, 2, a.wd / 2, even + kLine, p.slice, a.far); // pixels 1, 3, ..: the border is a column
        line(row, w.c, 2, (a.wd + 1) / 2, odd, p.slice, a.far);
        if (a.wd % 2 != 0) nothing(even + a.ow * kLine, 1, w.slices, p.slice);
      }
    }
  }
  // The end of the last row is the border, where the rows have one in common.
  if (w.k == 3 && !w.thin && s == 1) nothing(to + ((p.images - 1) * p.gap + p.rows + 2) * a.pitch * kLine, 1, w.slices, p.slice);
}

AMX inline __m512 wide(const uint16_t *v) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(v))), 16));
}

// Finish is what is still to be done with the sums of a block: bias and what else is added, ReLU, rounding, writing. That is done
// row by row while the tiles sum up the next block.
struct Finish {
  const float *sums;
  const int32_t *to, *end; // places of the positions, less than 0 where a position is none
  const float *bias;
  const uint16_t *other;
  uint16_t *y;
  int64_t o;
  bool relu, far;
};

template <bool add> AMX inline __attribute__((always_inline)) void finish(Finish &f, int64_t rows) {
  const __m512 least = f.relu ? _mm512_setzero_ps() : _mm512_set1_ps(-__builtin_inff());
  for (; rows > 0 && f.to < f.end; rows--, f.to++, f.sums += kOutputs) {
    if (*f.to < 0) continue;
    if (f.far) __builtin_prefetch(f.y + f.to[kSoon] * f.o, 1);
    const int64_t at = *f.to * f.o;
    __m512 v0 = _mm512_add_ps(_mm512_load_ps(f.sums), _mm512_load_ps(f.bias));
    __m512 v1 = _mm512_add_ps(_mm512_load_ps(f.sums + kTile), _mm512_load_ps(f.bias + kTile));
    if (add) {
      v0 = _mm512_add_ps(v0, wide(f.other + at));
      v1 = _mm512_add_ps(v1, wide(f.other + at + kTile));
    }
    v0 = _mm512_max_ps(least, v0); // what is no number stays: the second operand is returned then
    v1 = _mm512_max_ps(least, v1);
    _mm512_storeu_si512(f.y + at, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(v1, v0)));
  }
}

// block sums up the products for 32 positions (16 where half) and 32 outputs, and does share rows of f for each tap.
template <bool half, bool add, bool ahead>
AMX inline __attribute__((always_inline)) void block(const char *from, int64_t slices, int64_t slice, const int64_t *at, int64_t taps,
                                                     const char *b, float *sums, Finish &f, int64_t share) {
  _tile_zero(0);
  _tile_zero(1);
  if (!half) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t s = 0; s < slices; s++, from += slice)
    for (int64_t t = 0; t < taps; t++, b += 2 * kStep) {
      const char *a = from + at[t];
      _tile_loadd(4, a, kLine);
      _tile_loadd(6, b, kLine);
      _tile_dpbf16ps(0, 4, 6);
      if (ahead)
        for (int64_t i = 0; i < kStep; i += kLine) _mm_prefetch(b + kAhead + i, _MM_HINT_T0);
      _tile_loadd(7, b + kStep, kLine);
      _tile_dpbf16ps(1, 4, 7);
      if (!half) {
        _tile_loadd(5, a + kTile * kLine, kLine);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
      if (ahead)
        for (int64_t i = kStep; i < 2 * kStep; i += kLine) _mm_prefetch(b + kAhead + i, _MM_HINT_T0);
      finish<add>(f, share);
    }
  finish<add>(f, 2 * kTile);
  _tile_stored(0, sums, 2 * kLine);
  _tile_stored(1, sums + kTile, 2 * kLine);
  if (!half) {
    _tile_stored(2, sums + kTile * kOutputs, 2 * kLine);
    _tile_stored(3, sums + kTile * kOutputs + kTile, 2 * kLine);
  }
}

template <bool add> AMX void compute(const Call &a, const Piece &p, const char *from, const int32_t *to) {
  const AMXConv &w = *a.w;
  int64_t at[kMaxTaps];
  for (int64_t t = 0; t < w.taps; t++) {
    if (w.thin)
      at[t] = (t % w.stride) * p.plane + t / w.stride * a.pitch * kLine;
    else if (w.k == 1)
      at[t] = 0;
    else {
      const int64_t dy = t / 3, dx = t % 3;
      at[t] = w.stride == 1 ? (dy * a.pitch + dx) * kLine : ((dy & 1) * 2 + (dx & 1)) * p.plane + (dy / 2 * a.pitch + dx / 2) * kLine;
    }
  }
  alignas(64) float sums[2][2 * kTile * kOutputs], bias[2][kOutputs];
  const int64_t base = (p.image * a.oh + p.row) * a.ow * w.o, share = (2 * kTile + w.slices * w.taps - 1) / (w.slices * w.taps);
  Finish f{sums[0], to, to, bias[0], a.other, a.y, w.o, a.relu, a.far};
  int turn = 0;
  for (int64_t b = p.first; b < p.last; b++) {
    const char *weights = reinterpret_cast<const char *>(a.weights + b * w.slices * w.taps * kStep);
    float *own = bias[b & 1]; // that of the last block is still needed
    _mm512_store_ps(own, wide(a.bias + b * kOutputs));
    _mm512_store_ps(own + kTile, wide(a.bias + b * kOutputs + kTile));
    const int64_t first = base + b * kOutputs;
    for (int64_t m = 0; m < p.count; m += 2 * kTile, turn ^= 1) {
      const int64_t count = std::min(2 * kTile, p.count - m);
      if (m == 0 && count > kTile) // the weights come from afar
        block<false, add, true>(from + m * kLine, w.slices, p.slice, at, w.taps, weights, sums[turn], f, share);
      else if (count > kTile)
        block<false, add, false>(from + m * kLine, w.slices, p.slice, at, w.taps, weights, sums[turn], f, share);
      else
        block<true, add, true>(from + m * kLine, w.slices, p.slice, at, w.taps, weights, sums[turn], f, share);
      f = Finish{sums[turn], to + m, to + m + count, own, add ? a.other + first : nullptr, a.y + first, w.o, a.relu, a.far};
    }
  }
  finish<add>(f, 2 * kTile);
}

int64_t round_up(int64_t v, int64_t to) { return (v + to - 1) / to * to; }

// piece computes one.
void piece(const Call &a, int64_t number) {
  const AMXConv &w = *a.w;
  const int64_t part = number % a.parts, which = number / a.parts, blocks = w.o / kOutputs;
  Piece p;
  p.first = blocks * part / a.parts;
  p.last = blocks * (part + 1) / a.parts;
  if (a.rows < a.oh) {
    const int64_t each = (a.oh + a.rows - 1) / a.rows;
    p.image = which / each, p.images = 1;
    p.row = which % each * a.rows;
    p.rows = std::min(a.rows, a.oh - p.row);
  } else {
    p.image = which * a.images, p.images = std::min(a.images, a.n - p.image);
    p.row = 0, p.rows = a.oh;
  }
  p.gap = p.rows + a.between;
  p.count = ((p.images - 1) * p.gap + p.rows - 1) * a.pitch + a.ow;
  // All that the tiles read lies in here: the positions in whole blocks, and what the last tap is farther.
  const int64_t reach = w.thin ? (w.k - 1) / w.stride * a.pitch : w.k == 1 ? 0 : w.stride == 1 ? 2 * a.pitch + 2 : a.pitch + 1;
  p.plane = (round_up(p.count, 2 * kTile) + reach + a.pitch) * kLine;
  p.slice = (a.planes * p.plane / kLine | 1) * kLine; // an odd number of lines: slices lie in different sets of the cache
  const int64_t table = round_up((p.count + kSoon) * static_cast<int64_t>(sizeof(int32_t)), kLine);
  char *memory = scratch.get(table + w.slices * p.slice + kLine);
  int32_t *to = reinterpret_cast<int32_t *>(memory);
  int64_t m = 0;
  for (int64_t r = 0; m < p.count; r++) {
    const int64_t g = r / p.gap, y = r % p.gap;
    for (int64_t x = 0; x < a.pitch && m < p.count; x++, m++)
      to[m] = y < p.rows && x < a.ow ? static_cast<int32_t>((g * a.oh + y) * a.ow + x) : -1;
  }
  std::fill(to + p.count, to + p.count + kSoon, -1);
  fill(a, p, memory + table);
  asm volatile("" ::: "memory"); // the tiles' instructions do not say that they read it
  if (a.other != nullptr)
    compute<true>(a, p, memory + table, to);
  else
    compute<false>(a, p, memory + table, to);
}

// cut decides on the pieces: about as much input as a core's cache holds beside the weights, and one for each thread.
void cut(Call &a) {
  const AMXConv &w = *a.w;
  const int64_t threads = std::max(1, at::get_num_threads()), blocks = w.o / kOutputs;
  const int64_t row = a.pitch * a.planes * w.slices * kLine, all = a.n * a.oh * row;
  int64_t budget = w.bytes() > (1 << 20) ? 1 << 20 : 1 << 18;
  a.parts = all * 2 <= w.bytes() ? std::min(threads, blocks) : 1;
  const int64_t share = (threads + a.parts - 1) / a.parts; // threads that share the positions
  int64_t rows = std::max<int64_t>(1, std::min(budget / row, (a.n * a.oh + share - 1) / share));
  a.rows = a.oh, a.images = 1;
  if (rows >= a.oh)
    a.images = std::min(rows / a.oh, a.n);
  else
    a.rows = (a.oh + (a.oh + rows - 1) / rows - 1) / ((a.oh + rows - 1) / rows);
  a.pieces = a.rows < a.oh ? a.n * ((a.oh + a.rows - 1) / a.rows) : (a.n + a.images - 1) / a.images;
}

void run(const AMXConv &w, const uint16_t *x, int64_t n, int64_t h, int64_t wd, const uint16_t *bias, const uint16_t *other,
         uint16_t *y, bool relu) {
  Call a{};
  a.w = &w, a.weights = static_cast<const uint16_t *>(w.weights.data_ptr()), a.x = x, a.bias = bias, a.other = other, a.y = y, a.relu = relu;
  a.n = n, a.h = h, a.wd = wd;
  a.oh = (h + 2 * w.padding - w.k) / w.stride + 1, a.ow = (wd + 2 * w.padding - w.k) / w.stride + 1;
  const bool bordered = w.k == 3 && !w.thin;
  a.pitch = a.ow + (bordered ? 1 : 0);
  a.planes = w.thin ? w.stride : bordered && w.stride == 2 ? 4 : 1;
  a.between = w.thin ? (w.k - 1) / w.stride : bordered ? 1 : 0;
  a.far = n * (h * wd * w.c + a.oh * a.ow * w.o) * 2 > 4 << 20;
  cut(a);
  const int64_t all = a.pieces * a.parts;
  Tasks tasks(all);
  on_threads(all, [&] {
    configure();
    struct Release {
      ~Release() { release(), scratch.trim(); }
    } after;
    for (int64_t i; tasks.next(&i);) piece(a, i);
  });
}

// allowed says whether the processor has AMX and the system lends it to the process.
bool allowed() {
  static const bool yes = [] {
    if (held_to("default") || held_to("avx2")) return false;
    unsigned a, b, c, d;
    constexpr unsigned bf16 = 1u << 22, tile = 1u << 24;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & bf16) == 0 || (d & tile) == 0) return false;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw")) return false;
    if (!__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512bf16")) return false;
    constexpr long request = 0x1023, data = 18; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, request, data) == 0;
  }();
  return yes;
}

const uint16_t *values(const at::Tensor &x) { return static_cast<const uint16_t *>(x.data_ptr()); }

} // namespace

std::shared_ptr<const AMXConv> amx_pack(const at::Tensor &weight, int64_t stride, int64_t padding, int64_t groups) {
  if (weight.scalar_type() != at::kBFloat16 || !weight.device().is_cpu() || weight.dim() != 4) return nullptr;
  if (groups != 1 || stride < 1 || stride > 2) return nullptr;
  auto w = std::make_shared<AMXConv>();
  w->o = weight.size(0), w->c = weight.size(1), w->k = weight.size(2), w->stride = stride, w->padding = padding;
  if (w->o < 1 || w->o % kOutputs != 0 || w->c < 1 || w->k < 1 || w->k != weight.size(3) || !allowed()) return nullptr;
  w->thin = w->c % kSlice != 0;
  if (w->thin) { // of images: up to four channels
    if (w->c > 4 || w->k < 3 || w->k > kMaxTaps || w->k * w->c > kSlice || padding < 0 || padding >= w->k) return nullptr;
  } else if (w->k == 3 ? padding != 1 : w->k != 1 || padding != 0) {
    return nullptr;
  }
  w->slices = w->thin ? 1 : w->c / kSlice;
  w->taps = w->thin ? w->k : w->k * w->k;
  const at::Tensor dense = weight.contiguous();
  const uint16_t *from = values(dense);
  // A border of zeros must not count. Beside a weight that is no number it would.
  for (int64_t i = 0; i < dense.numel(); i++)
    if ((from[i] & 0x7f80) == 0x7f80) return nullptr;
  w->weights = at::zeros({w->bytes() / 2}, at::kBFloat16);
  uint16_t *to = static_cast<uint16_t *>(w->weights.data_ptr());
  const int64_t square = w->k * w->k;
  for (int64_t b = 0; b < w->o; b += kOutputs)
    for (int64_t s = 0; s < w->slices; s++)
      for (int64_t t = 0; t < w->taps; t++)
        for (int64_t half = 0; half < kOutputs; half += kTile)
          for (int64_t i = 0; i < kSlice; i += 2)
            for (int64_t j = 0; j < kTile; j++)
              for (int64_t v = i; v < i + 2; v++, to++) {
                const uint16_t *output = from + (b + half + j) * w->c * square;
                if (!w->thin)
                  *to = output[(s * kSlice + v) * square + t];
                else if (v < w->k * w->c)
                  *to = output[v % w->c * square + t * w->k + v / w->c];
              }
  return w;
}

at::Tensor amx_conv(const AMXConv &w, const at::Tensor &x, const at::Tensor &bias, bool relu) {
  const int64_t n = x.size(0), h = x.size(2), wd = x.size(3);
  at::Tensor y = at::empty({n, w.o, (h + 2 * w.padding - w.k) / w.stride + 1, (wd + 2 * w.padding - w.k) / w.stride + 1},
                           x.options().requires_grad(false).memory_format(at::MemoryFormat::ChannelsLast));
  run(w, values(x), n, h, wd, values(bias), nullptr, static_cast<uint16_t *>(y.data_ptr()), relu);
  return y;
}

void amx_conv_add_relu(const AMXConv &w, at::Tensor &sum, const at::Tensor &x, const at::Tensor &bias) {
  uint16_t *to = static_cast<uint16_t *>(sum.data_ptr());
  run(w, values(x), x.size(0), x.size(2), x.size(3), values(bias), to, to, true);
}

#else

class AMXConv {};

std::shared_ptr<const AMXConv> amx_pack(const at::Tensor &, int64_t, int64_t, int64_t) { return nullptr; }

at::Tensor amx_conv(const AMXConv &, const at::Tensor &, const at::Tensor &, bool) { TORCH_CHECK(false, "no AMX here"); }

void amx_conv_add_relu(const AMXConv &, at::Tensor &, const at::Tensor &, const at::Tensor &) { TORCH_CHECK(false, "no AMX here"); }

#endif

} // namespace tab

extern "C" int tab_has_amx(void) {
#ifdef HAS_AMX
  return tab::allowed() ? 1 : 0;
#else
  return 0;
#endif
}
