// The inner part of winograd.cpp, compiled once for each width of registers: LANES floats in one, and ROWS tiles whose sums are held at once.
// No header may be included here: what it defines inline would be compiled for that processor and then taken for all.

typedef float Vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static inline __attribute__((always_inline)) void load(Vec &v, const float *at) { v = *reinterpret_cast<const Vec *>(at); }
static inline __attribute__((always_inline)) void store(float *at, const Vec &v) { *reinterpret_cast<Vec *>(at) = v; }

// evaluate takes the SIDE+2 values d[0], d[s], .. along a row or a column of a tile to the points.
template <int SIDE> static inline __attribute__((always_inline)) void evaluate(Vec *d, int s) {
  if constexpr (SIDE == 2) {
    const Vec d1 = d[s], d2 = d[2 * s];
    d[0] -= d2;
    d[s] = d1 + d2;
    d[2 * s] = d2 - d1;
    d[3 * s] = d1 - d[3 * s];
  } else {
    const Vec d1 = d[s], d2 = d[2 * s], d3 = d[3 * s], d4 = d[4 * s];
    const Vec ea = d4 - (kB * kB) * d2, oa = kA * (d3 - (kB * kB) * d1);
    const Vec eb = d4 - (kA * kA) * d2, ob = kB * (d3 - (kA * kA) * d1);
    d[0] = d4 - (kA * kA + kB * kB) * d2 + (kA * kA * kB * kB) * d[0];
    d[s] = ea + oa;
    d[2 * s] = ea - oa;
    d[3 * s] = eb + ob;
    d[4 * s] = eb - ob;
    d[5 * s] = d[5 * s] - (kA * kA + kB * kB) * d3 + (kA * kA * kB * kB) * d1;
  }
}

// interpolate takes the products at the points to the SIDE values that come out, d[0], d[s], ..
template <int SIDE> static inline __attribute__((always_inline)) void interpolate(Vec *d, int s) {
  if constexpr (SIDE == 2) {
    const Vec m1 = d[s], m2 = d[2 * s];
    d[0] = d[0] + m1 + m2;
    d[s] = m1 - m2 - d[3 * s];
  } else {
    const Vec ea = d[s] + d[2 * s], oa = d[s] - d[2 * s], eb = d[3 * s] + d[4 * s], ob = d[3 * s] - d[4 * s];
    d[0] = d[0] + ea + eb;
    d[s] = kA * oa + kB * ob;
    d[2 * s] = (kA * kA) * ea + (kB * kB) * eb;
    d[3 * s] = (kA * kA * kA) * oa + (kB * kB * kB) * ob + d[5 * s];
  }
}

// into writes a tile, lines line floats apart and c channels a place, as a row of count channels in v at each of the points.
template <int SIDE> static void into(const float *x, int64_t line, int64_t c, int64_t count, float *v, int64_t step) {
  constexpr int N = SIDE + 2;
  for (int64_t k = 0; k < count; k += LANES, x += LANES, v += LANES) {
    Vec d[N * N];
    for (int i = 0; i < N; i++)
      for (int j = 0; j < N; j++) load(d[N * i + j], x + i * line + j * c);
#pragma GCC unroll 6
    for (int j = 0; j < N; j++) evaluate<SIDE>(d + j, N);
#pragma GCC unroll 6
    for (int i = 0; i < N; i++) evaluate<SIDE>(d + N * i, 1);
    for (int i = 0; i < N * N; i++) store(v + i * step, d[i]);
  }
}

// enter is into of the tile whose 4x4 or 2x2 values begin at row top and column left of image n, for c channels from c0 on. What lies beyond the map is
// zero; edge is room for such a tile.
template <int SIDE>
static void enter(const Shape &g, const float *x, int64_t n, int64_t top, int64_t left, int64_t c0, int64_t c, float *v, int64_t step, float *edge) {
  constexpr int N = SIDE + 2;
  const float *image = x + n * g.h * g.w * g.c + c0;
  top--;
  left--;
  if (top >= 0 && left >= 0 && top + N <= g.h && left + N <= g.w) return into<SIDE>(image + (top * g.w + left) * g.c, g.w * g.c, g.c, c, v, step);
  const int64_t west = left < 0 ? 0 : left, east = left + N < g.w ? left + N : g.w;
  for (int64_t i = 0; i < N; i++) {
    float *line = edge + i * N * c, *to = line + (west - left) * c;
    __builtin_memset(line, 0, N * c * sizeof(float));
    if (top + i < 0 || top + i >= g.h) continue;
    const float *from = image + ((top + i) * g.w + west) * g.c;
    if (c == g.c)
      __builtin_memcpy(to, from, (east - west) * c * sizeof(float));
    else
      for (int64_t j = west; j < east; j++, to += c, from += g.c) __builtin_memcpy(to, from, c * sizeof(float));
  }
  into<SIDE>(edge, N * c, c, c, v, step);
}

// product writes 32 channels of m [R, o] from v [R, c] and a panel of weights [c, 32].
template <int R> static inline __attribute__((always_inline)) void product(const float *v, int64_t c, const float *u, float *m, int64_t o) {
  for (int part = 0; part < 32; part += 2 * LANES, u += 2 * LANES, m += 2 * LANES) {
    Vec acc[R][2] = {};
    const float *w = u;
#pragma GCC unroll 4
    for (int64_t k = 0; k < c; k++, w += 32) {
      __builtin_prefetch(w + kAhead); // panels follow each other, but the processor's own look ahead ends with a page
      __builtin_prefetch(w + kAhead + 16);
      Vec w0, w1;
      load(w0, w);
      load(w1, w + LANES);
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) {
        const float x = v[r * c + k]; // spread by the load, not by an instruction
        acc[r][0] += w0 * x;
        acc[r][1] += w1 * x;
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
      store(m + r * o, acc[r][0]);
      store(m + r * o + LANES, acc[r][1]);
    }
  }
}

template <int R> static void products(int64_t rows, const float *v, int64_t c, const float *u, float *m, int64_t o) {
  if constexpr (R > 0) {
    if (rows == R)
      product<R>(v, c, u, m, o);
    else
      products<R - 1>(rows, v, c, u, m, o);
  }
}

// out turns the products of a tile into its values, of the channels from to to, and writes those that lie on the map.
template <int SIDE>
static void out(const float *m, int64_t step, const Shape &g, int64_t from, int64_t to, int64_t rows, int64_t columns, const float *bias, float *y) {
  constexpr int N = SIDE + 2;
  const int64_t line = g.w * g.o;
  m += from;
  y += from;
  for (int64_t k = from; k < to; k += LANES, m += LANES, y += LANES) {
    Vec d[N * N];
    for (int i = 0; i < N * N; i++) load(d[i], m + i * step);
#pragma GCC unroll 6
    for (int j = 0; j < N; j++) interpolate<SIDE>(d + j, N);
#pragma GCC unroll 4
    for (int i = 0; i < SIDE; i++) interpolate<SIDE>(d + N * i, 1);
    Vec b;
    load(b, bias + k);
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < columns; j++) {
        float *at = y + i * line + j * g.o;
        Vec r = d[N * i + j] + b;
        if (g.add) {
          Vec before;
          load(before, at);
          r += before;
        }
        if (g.relu) r = r < Vec{} ? Vec{} : r; // what is no number stays so
        store(at, r);
      }
  }
}

// block computes the channels from to to of count tiles from first on.
template <int SIDE>
static void block(const Shape &g, const float *x, const float *u, const float *bias, float *y, int64_t first, int64_t count, int64_t from, int64_t to,
                  float *work) {
  constexpr int N = SIDE + 2;
  const int64_t vs = count * g.c + kApart, ms = count * g.o + kApart;
  float *v = work, *m = v + N * N * vs, *edge = m + N * N * ms;
  for (int64_t t = 0; t < count; t++) {
    const int64_t n = (first + t) / (g.down * g.across), place = (first + t) % (g.down * g.across);
    enter<SIDE>(g, x, n, place / g.across * SIDE, place % g.across * SIDE, 0, g.c, v + t * g.c, vs, edge);
  }
  const int64_t groups = (count + ROWS - 1) / ROWS;
  for (int64_t p = 0; p < N * N; p++)
    for (int64_t o = from; o < to; o += 32)
      for (int64_t k = 0; k < groups; k++) {
        const int64_t t = k * count / groups, rows = (k + 1) * count / groups - t;
        products<ROWS>(rows, v + p * vs + t * g.c, g.c, u + (p * g.o + o) * g.c, m + p * ms + t * g.o + o, g.o);
      }
  for (int64_t t = 0; t < count; t++) {
    const int64_t n = (first + t) / (g.down * g.across), place = (first + t) % (g.down * g.across);
    const int64_t top = place / g.across * SIDE, left = place % g.across * SIDE;
    out<SIDE>(m + t * g.o, ms, g, from, to, g.h - top < SIDE ? g.h - top : SIDE, g.w - left < SIDE ? g.w - left : SIDE, bias,
              y + ((n * g.h + top) * g.w + left) * g.o);
  }
}

// spread is interpolate turned around: it takes the SIDE values d[0], d[s], .. that came out to the points.
template <int SIDE> static inline __attribute__((always_inline)) void spread(Vec *d, int s) {
  if constexpr (SIDE == 2) {
    const Vec d0 = d[0], d1 = d[s];
    d[s] = d0 + d1;
    d[2 * s] = d0 - d1;
    d[3 * s] = -d1;
  } else {
    const Vec d0 = d[0], d1 = d[s], d2 = d[2 * s], d3 = d[3 * s];
    const Vec ea = d0 + (kA * kA) * d2, oa = kA * (d1 + (kA * kA) * d3);
    const Vec eb = d0 + (kB * kB) * d2, ob = kB * (d1 + (kB * kB) * d3);
    d[s] = ea + oa;
    d[2 * s] = ea - oa;
    d[3 * s] = eb + ob;
    d[4 * s] = eb - ob;
    d[5 * s] = d3;
  }
}

// outof writes a tile of gradients, lines line floats apart and o channels a place, as a row of count channels in e at each of the points. What
// lies below rows or right of columns is nothing.
template <int SIDE>
static void outof(const float *y, int64_t line, int64_t o, int64_t count, int64_t rows, int64_t columns, float *e, int64_t step) {
  constexpr int N = SIDE + 2;
  for (int64_t k = 0; k < count; k += LANES, y += LANES, e += LANES) {
    Vec d[N * N] = {};
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < columns; j++) load(d[N * i + j], y + i * line + j * o);
#pragma GCC unroll 4
    for (int j = 0; j < SIDE; j++) spread<SIDE>(d + j, N);
#pragma GCC unroll 6
    for (int i = 0; i < N; i++) spread<SIDE>(d + N * i, 1);
    for (int i = 0; i < N * N; i++) store(e + i * step, d[i]);
  }
}

// gather adds to m [R, 32], in one sum that was made alone, so that rounding does not grow with all tiles, the products of v [tiles, R], whose rows are c floats apart, with e [tiles, 32], whose rows are o apart.
template <int R> static inline __attribute__((always_inline)) void gather(const float *v, int64_t c, const float *e, int64_t o, int64_t tiles, float *m) {
  for (int part = 0; part < 32; part += 2 * LANES, e += 2 * LANES, m += 2 * LANES) {
    Vec acc[R][2] = {};
    for (int64_t t = 0; t < tiles; t++) {
      Vec e0, e1;
      load(e0, e + t * o);
      load(e1, e + t * o + LANES);
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) {
        const float x = v[t * c + r];
        acc[r][0] += e0 * x;
        acc[r][1] += e1 * x;
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
      Vec m0, m1;
      load(m0, m + r * 32);
      load(m1, m + r * 32 + LANES);
      store(m + r * 32, m0 + acc[r][0]);
      store(m + r * 32 + LANES, m1 + acc[r][1]);
    }
  }
}

template <int R> static void gathers(int64_t rows, const float *v, int64_t c, const float *e, int64_t o, int64_t tiles, float *m) {
  if constexpr (R > 0) {
    if (rows == R)
      gather<R>(v, c, e, o, tiles, m);
    else
      gathers<R - 1>(rows, v, c, e, o, tiles, m);
  }
}

// gradient adds to m [points, O/32, C, 32], of c channels from c0 on and o outputs from o0 on, what count tiles from first on have of
// the products of input and gradient.
template <int SIDE>
static void gradient(const Shape &g, const float *x, const float *y, int64_t first, int64_t count, int64_t c0, int64_t c, int64_t o0, int64_t o, float *m,
                     float *work) {
  constexpr int N = SIDE + 2;
  const int64_t vs = count * c + kApart, es = count * o + kApart;
  float *v = work, *e = v + N * N * vs, *edge = e + N * N * es;
  for (int64_t t = 0; t < count; t++) {
    const int64_t n = (first + t) / (g.down * g.across), place = (first + t) % (g.down * g.across);
    const int64_t top = place / g.across * SIDE, left = place % g.across * SIDE;
    outof<SIDE>(y + ((n * g.h + top) * g.w + left) * g.o + o0, g.w * g.o, g.o, o, g.h - top < SIDE ? g.h - top : SIDE,
                g.w - left < SIDE ? g.w - left : SIDE, e + t * o, es);
    enter<SIDE>(g, x, n, top, left, c0, c, v + t * c, vs, edge);
  }
  const int64_t groups = (c + ROWS - 1) / ROWS;
  for (int64_t p = 0; p < N * N; p++)
    for (int64_t k = 0; k < o; k += 32)
      for (int64_t r = 0; r < groups; r++) {
        const int64_t from = r * c / groups, rows = (r + 1) * c / groups - from;
        gathers<ROWS>(rows, v + p * vs + from, c, e + p * es + k, o, count, m + ((p * o + k) * c + from * 32));
      }
}
