// Work for the threads of libtorch.
//
// at::parallel_for is a template: compiled here, without OpenMP, it runs everything on the calling thread. And OpenMP
// of this compiler would be a second pool of threads beside libtorch's. So the loop over the threads is one of
// libtorch's own, the iteration over a tensor with a byte for each of them, which is compiled in libtorch.
#ifndef GOTAB_PARALLEL_H
#define GOTAB_PARALLEL_H
#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>
#include <ATen/ops/from_blob.h>
#include <algorithm>
#include <atomic>
#include <cstdint>

namespace tab {

// on_threads calls f on as many threads at once as the caller may use, n at most. An exception of f comes out here. Nothing is asked of the
// tensors' allocator: a step of an optimizer, which must be whole, runs here.
template <typename F> void on_threads(int64_t n, const F &f) {
  static char bytes[1024]; // one for each thread, which nobody reads or writes
  n = std::min<int64_t>({n, at::get_num_threads(), static_cast<int64_t>(sizeof bytes)});
  if (n < 1) return;
  if (n == 1 || at::in_parallel_region()) return f();
  at::Tensor marks = at::from_blob(bytes, {n}, at::kByte);
  at::TensorIterator threads = at::TensorIterator::nullary_op(marks);
  threads.for_each([&](char **, const int64_t *, int64_t) { f(); }, 1);
}

// Tasks hands the numbers 0 to n-1 out, each once, to threads that ask. A thread that is held up by others takes fewer.
class Tasks {
public:
  explicit Tasks(int64_t n) : n_(n) {}
  bool next(int64_t *i) { return (*i = next_.fetch_add(1, std::memory_order_relaxed)) < n_; }

private:
  std::atomic<int64_t> next_{0};
  int64_t n_;
};

// parallel_for calls f(first, last) with parts of 0 to n-1 of grain numbers or more, on the threads of the caller.
template <typename F> void parallel_for(int64_t n, int64_t grain, const F &f) {
  constexpr int64_t each = 4; // parts for a thread: another takes them where one is held up
  const int64_t parts = std::min<int64_t>(each * at::get_num_threads(), n / std::max<int64_t>(1, grain));
  if (parts < 2) {
    if (n > 0) f(int64_t{0}, n);
    return;
  }
  Tasks tasks(parts);
  on_threads(parts, [&] {
    for (int64_t i; tasks.next(&i);) f(n * i / parts, n * (i + 1) / parts);
  });
}

} // namespace tab

#endif
