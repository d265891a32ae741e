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
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <malloc.h>
#include <map>
#include <mutex>
#include <set>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace {

constexpr size_t kHeader = 64;       // keeps the data aligned as libtorch wants it
constexpr size_t kLarge = 1u << 18;  // smaller blocks are well served by the C library

struct Header {
  size_t size; // of the block with the header where the pool has it
  bool pooled; // from the pool, and to it
};

Header *header(void *data) { return reinterpret_cast<Header *>(static_cast<char *>(data) - kHeader); }

// page is the least that the system gives and takes.
const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));

// unmap gives memory back. The system may refuse to take a part out of a piece, where a process has as many pieces as it may have: then what
// lies there goes back and the place stays.
void unmap(void *at, size_t n) {
  if (munmap(at, n) != 0) madvise(at, n, MADV_DONTNEED);
}

thread_local bool tl_pooled = false;
thread_local AllocationWatch *tl_watch = nullptr;

// Pool holds free memory of blocks that it has asked the system for, page by page. What lives and what is kept together never exceed the
// most that has lived at one time.
//
// It does not use the C library: that cuts blocks out of one heap once some of their size have been freed, and what training gives back
// there lies between what it keeps. A third of the memory of a training were such holes. Free neighbours are one piece here, the smallest
// piece that serves is cut, and any part of a piece can go back to the system.
class Pool {
public:
  // take returns a block of n bytes, whole pages, or null where the system has none.
  void *take(size_t n) {
    std::unique_lock<std::mutex> lock(mu_);
    const size_t before = peak_;
    live_ += n;
    peak_ = std::max(peak_, live_);
    auto it = sizes_.lower_bound({n, nullptr});
    if (it != sizes_.end()) {
      auto [size, at] = *it;
      remove(at, size);
      if (size > n) insert(at + n, size - n);
      return at;
    }
    shrink(peak_ - live_);
    lock.unlock();
    void *p = mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED) return p;
    lock.lock();
    live_ -= n;
    peak_ = std::max(before, live_); // what was never had is no measure of what may be kept
    return nullptr;
  }

  // put takes a block back. It is called where a tensor ends, and so throws nothing.
  void put(void *block, size_t n) noexcept {
    char *at = static_cast<char *>(block);
    std::lock_guard<std::mutex> lock(mu_);
    live_ -= n;
    if (live_ + kept_ + n > peak_) {
      unmap(at, n);
      return;
    }
    auto next = pieces_.lower_bound(at);
    if (next != pieces_.begin()) {
      auto [before, size] = *std::prev(next);
      if (before + size == at) {
        remove(before, size);
        at = before;
        n += size;
      }
    }
    if (next != pieces_.end() && at + n == next->first) {
      const size_t size = next->second;
      remove(at + n, size);
      n += size;
    }
    insert(at, n);
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
  // insert keeps a piece, or gives it back where there is no memory to note it in.
  void insert(char *at, size_t n) noexcept {
    try {
      pieces_.emplace(at, n);
    } catch (...) {
      return unmap(at, n);
    }
    try {
      sizes_.emplace(n, at);
    } catch (...) {
      pieces_.erase(at);
      return unmap(at, n);
    }
    kept_ += n;
  }

  void remove(char *at, size_t n) {
    pieces_.erase(at);
    sizes_.erase({n, at});
    kept_ -= n;
  }

  // shrink gives kept memory back, of the largest pieces first, until at most n bytes are kept.
  void shrink(size_t n) {
    while (kept_ > n) {
      auto [size, at] = *sizes_.rbegin();
      const size_t most = std::min(size, kept_ - n);
      remove(at, size);
      if (size > most) insert(at, size - most);
      unmap(at + size - most, most);
    }
  }

  std::mutex mu_;
  std::map<char *, size_t> pieces_;           // by their place; no two touch
  std::set<std::pair<size_t, char *>> sizes_; // the same by their size
  size_t live_ = 0, kept_ = 0, peak_ = 0;
};

Pool &pool() {
  static Pool *p = new Pool; // never destroyed: tensors may be freed during exit
  return *p;
}

void release(void *data) {
  if (data == nullptr) return;
  Header *h = header(data);
  if (h->pooled)
    pool().put(h, h->size);
  else
    c10::free_cpu(h);
}

// fresh asks the C library for a block. From two megabytes on it lies on pages of that size where Linux gives them to those who ask: what is
// as large is read from end to end, and with small pages the processor spends as long on finding a page as on reading it. Only what the
// block fills is asked for, so that none of it is there twice. Training does without, in its pool and here: large pages would be cleared anew
// each time that a part of one has been given back.
void *fresh(size_t n) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr size_t large = 2u << 20;
  void *p = nullptr;
  if (n >= large && !tl_pooled && posix_memalign(&p, large, n) == 0) {
    madvise(p, n / large * large, MADV_HUGEPAGE); // an advice: without it all is well, and slower
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
    void *block = nullptr;
    Header h{n, false};
    if (tl_pooled && n >= kLarge && n <= SIZE_MAX - kHeader - page) {
      const size_t whole = (n + kHeader + page - 1) / page * page;
      if ((block = pool().take(whole)) != nullptr) h = Header{whole, true};
    }
    if (block == nullptr) {
      try {
        block = fresh(n + kHeader);
      } catch (...) { // before giving up, give back what is kept
        pool().clear();
        block = fresh(n + kHeader);
      }
    }
    void *data = static_cast<char *>(block) + kHeader;
    *header(data) = h;
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
