//go:build !gotab_shared

// A CPU allocator that keeps the blocks of training steps. The C library returns
// blocks of this size to the system when they are freed, so every step would
// fault gigabytes of fresh pages in again.
#include "compat.h"
#include "shim.h"
#include "watch.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <c10/util/Exception.h>
#include <algorithm>
#include <atomic>
#include <iterator>
#include <malloc.h>
#include <map>
#include <mutex>
#ifdef __linux__
#include <cstdlib>
#include <sys/mman.h>
#endif

namespace {

constexpr size_t kHeader = 64;       // keeps the data aligned as libtorch wants it
constexpr size_t kLarge = 1u << 18;  // smaller blocks are well served by the C library

struct Header {
  size_t size; // of the block without the header
  bool pooled; // counted and kept by the pool
};

Header *header(void *data) { return reinterpret_cast<Header *>(static_cast<char *>(data) - kHeader); }

thread_local bool tl_pooled = false;
thread_local AllocationWatch *tl_watch = nullptr;

// Pool holds free blocks by size. What lives and what is kept together never
// exceed the most that has lived at one time.
class Pool {
public:
  void *take(size_t n) {
    std::lock_guard<std::mutex> lock(mu_);
    live_ += n;
    peak_ = std::max(peak_, live_);
    auto it = free_.lower_bound(n);
    // A block that is an eighth too large may be taken, not a larger one.
    if (it != free_.end() && it->first <= n + n / 8) {
      void *p = it->second;
      live_ += it->first - n;
      kept_ -= it->first;
      free_.erase(it);
      return p;
    }
    shrink(peak_ > live_ ? peak_ - live_ : 0);
    return nullptr;
  }

  // put takes a block back, or says that it must be freed.
  bool put(void *data) {
    std::lock_guard<std::mutex> lock(mu_);
    size_t n = header(data)->size;
    live_ -= n;
    if (live_ + kept_ + n > peak_) return false;
    kept_ += n;
    free_.emplace(n, data);
    return true;
  }

  // forget undoes a take that found nothing and could not be served.
  void forget(size_t n) {
    std::lock_guard<std::mutex> lock(mu_);
    live_ -= n;
  }

  void clear() {
    std::lock_guard<std::mutex> lock(mu_);
    shrink(0);
    peak_ = live_;
  }

  int64_t kept() {
    std::lock_guard<std::mutex> lock(mu_);
    return static_cast<int64_t>(kept_);
  }

private:
  // shrink frees kept blocks, the largest first, until at most n bytes are kept.
  void shrink(size_t n) {
    while (kept_ > n && !free_.empty()) {
      auto it = std::prev(free_.end());
      kept_ -= it->first;
      c10::free_cpu(header(it->second));
      free_.erase(it);
    }
  }

  std::mutex mu_;
  std::multimap<size_t, void *> free_;
  size_t live_ = 0, kept_ = 0, peak_ = 0;
};

Pool &pool() {
  static Pool *p = new Pool; // never destroyed: tensors may be freed during exit
  return *p;
}

void release(void *data) {
  if (data == nullptr) return;
  if (header(data)->pooled && pool().put(data)) return;
  c10::free_cpu(header(data));
}

// fresh asks the system for a block. From two megabytes on it lies on pages of that size where Linux gives them to those who ask: what is
// as large is read from end to end, and with small pages the processor spends as long on finding a page as on reading it. Only what the
// block fills is asked for, so that none of it is there twice. Training does without: what its pool lets go comes back sooner from the C
// library with small pages, and large ones are cleared anew each time.
void *fresh(size_t n) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr size_t page = 2u << 20;
  void *p = nullptr;
  if (n >= page && !tl_pooled && posix_memalign(&p, page, n) == 0) {
    madvise(p, n / page * page, MADV_HUGEPAGE); // an advice: without it all is well, and slower
    return p;
  }
#endif
  return c10::alloc_cpu(n);
}

// What tests ask for: while watched, the allocations of Runs of mode Training are
// counted, and from a number on they fail.
std::atomic<bool> watched{false};
std::atomic<int64_t> seen{0}, fail_from{0};

void watch() {
  if (!tl_pooled || !watched.load(std::memory_order_relaxed)) return;
  int64_t n = ++seen, from = fail_from.load();
  TORCH_CHECK(from <= 0 || n < from, "can't allocate memory: allocation ", n, " was made to fail by a test");
}

#if TORCH_SINCE(2, 3)
#define GOTAB_CONST
#else
#define GOTAB_CONST const
#endif

class Allocator final : public c10::Allocator {
public:
  c10::DataPtr allocate(size_t n) GOTAB_CONST override {
    if (n == 0) return {nullptr, nullptr, &release, c10::Device(c10::DeviceType::CPU)};
    watch();
    bool pooled = tl_pooled && n >= kLarge;
    void *data = pooled ? pool().take(n) : nullptr;
    if (data == nullptr) {
      void *block;
      try {
        block = fresh(n + kHeader);
      } catch (...) {
        // Before giving up, give back what is kept and forget the block.
        if (pooled) pool().forget(n);
        pool().clear();
        block = fresh(n + kHeader);
        pooled = false;
      }
      data = static_cast<char *>(block) + kHeader;
      *header(data) = Header{n, pooled};
    }
    if (tl_watch != nullptr) tl_watch->see(data, n);
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
#if TORCH_SINCE(2, 3)
  void copy_data(void *to, const void *from, size_t n) const override { default_copy_data(to, from, n); }
#endif
};

} // namespace

AllocationWatch::AllocationWatch(size_t least) : least_(least) { tl_watch = this; }

void AllocationWatch::stop() {
  if (tl_watch == this) tl_watch = nullptr;
}

void AllocationWatch::see(void *data, size_t size) {
  if (size < least_) return;
  data_ = data;
  size_ = size;
  count_++;
}

extern "C" {

void tab_pool_install(void) {
  static Allocator allocator;
  c10::SetCPUAllocator(&allocator, 1);
}

void tab_pool_use(int on) { tl_pooled = on != 0; }

// The C library keeps what it is given back of blocks that it had not mapped one
// by one; trimming makes it let go.
void tab_pool_clear(void) {
  pool().clear();
  malloc_trim(0);
}

void tab_watch_allocations(int on, int64_t from) {
  seen = 0;
  fail_from = from;
  watched = on != 0;
}

int64_t tab_allocations_seen(void) { return seen; }

int64_t tab_pool_kept(void) { return pool().kept(); }

} // extern "C"
