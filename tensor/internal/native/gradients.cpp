//go:build !gotab_shared

// Gradients on their way to other processes. Each is copied to host memory as soon as the backward pass has it, so
// that a bucket of them can be summed over the processes while the pass goes on.
#include "guard.h"
#include "shim.h"

#include <ATen/ATen.h>
#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <unordered_set>
#include <vector>

namespace {

at::Tensor &T(void *p) { return *static_cast<at::Tensor *>(p); }

// Gradients is what the hooks of one backward pass fill. They keep it alive.
struct Gradients {
  struct Weight {
    at::Tensor t;
    float *to;
    int bucket;
    bool got;
  };
  std::vector<Weight> weights;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<int> missing; // of each bucket
  int ready = 0;            // buckets that are complete, in order
  bool over = false;

  // see takes the gradient that weight i has now.
  void see(size_t i) {
    Weight &w = weights[i];
    {
      std::lock_guard<std::mutex> lock(mutex);
      if (over || w.got) return;
    }
    at::NoGradGuard no_grad;
    const at::Tensor &g = w.t.grad();
    if (!g.defined()) return;
    at::from_blob(w.to, g.sizes(), at::device(at::kCPU).dtype(at::kFloat)).copy_(g);
    std::lock_guard<std::mutex> lock(mutex);
    w.got = true;
    missing[w.bucket]--;
    while (ready < static_cast<int>(missing.size()) && missing[ready] == 0) ready++;
    changed.notify_all();
  }
};

struct Hook : torch::autograd::PostAccumulateGradHook {
  Hook(std::shared_ptr<Gradients> g, size_t i) : gradients(std::move(g)), at(i) {}
  void operator()(const at::Tensor &) override { gradients->see(at); }
  std::shared_ptr<Gradients> gradients;
  size_t at;
};

std::shared_ptr<Gradients> &G(void *p) { return *static_cast<std::shared_ptr<Gradients> *>(p); }

void take_hooks_off(Gradients &g) {
  for (auto &w : g.weights) torch::autograd::impl::set_post_acc_grad_hooks(w.t, nullptr);
}

} // namespace

extern "C" {

// out[i] is 1 where a backward pass from loss comes to weight i.
char *tab_reached(void *loss, void **weights, int n, uint8_t *out) {
  return guarded([=] {
    using torch::autograd::Node;
    std::unordered_set<const Node *> seen;
    std::vector<Node *> next;
    auto visit = [&](Node *f) {
      if (f != nullptr && seen.insert(f).second) next.push_back(f);
    };
    auto first = T(loss).requires_grad() ? torch::autograd::impl::gradient_edge(T(loss)).function : nullptr;
    visit(first.get());
    while (!next.empty()) {
      Node *f = next.back();
      next.pop_back();
      for (const auto &e : f->next_edges()) visit(e.function.get());
    }
    for (int i = 0; i < n; i++) {
      auto own = torch::autograd::impl::try_get_grad_accumulator(T(weights[i]));
      out[i] = own && seen.count(own.get()) ? 1 : 0;
    }
  });
}

// The gradient of weight i, row by row, goes to values + offset[i] and belongs to bucket[i] of buckets. values must
// stay until tab_gradients_finish has returned.
char *tab_gradients_watch(void **out, float *values, void **weights, int64_t *offset, int *bucket, int n, int buckets) {
  return guarded([=] {
    auto g = std::make_shared<Gradients>();
    g->missing.assign(buckets, 0);
    g->weights.reserve(n);
    for (int i = 0; i < n; i++) {
      g->weights.push_back({T(weights[i]), values + offset[i], bucket[i], false});
      g->missing.at(bucket[i])++;
    }
    auto kept = std::make_unique<std::shared_ptr<Gradients>>(g);
    try {
      for (int i = 0; i < n; i++)
        torch::autograd::impl::set_post_acc_grad_hooks(T(weights[i]), std::make_unique<Hook>(g, i));
    } catch (...) {
      take_hooks_off(*g);
      throw;
    }
    *out = kept.release();
  });
}

// Returns when the bucket and those before it are complete, or there will be no more.
void tab_gradients_wait(void *gradients, int bucket) {
  auto g = G(gradients);
  std::unique_lock<std::mutex> lock(g->mutex);
  g->changed.wait(lock, [&] { return g->over || g->ready > bucket; });
}

// Ends it: got[i] is 1 where there was a gradient; of others the values become zero.
void tab_gradients_finish(void *gradients, uint8_t *got) {
  auto g = G(gradients);
  take_hooks_off(*g);
  std::lock_guard<std::mutex> lock(g->mutex);
  for (size_t i = 0; i < g->weights.size(); i++) {
    auto &w = g->weights[i];
    got[i] = w.got ? 1 : 0;
    if (!w.got) std::fill_n(w.to, w.t.numel(), 0.0f);
  }
  g->over = true;
  g->changed.notify_all();
}

void tab_gradients_free(void *gradients) { delete static_cast<std::shared_ptr<Gradients> *>(gradients); }

// Makes v, row by row, the gradient of a weight.
char *tab_put_gradient(void *weight, float *v) {
  return guarded([=] {
    at::NoGradGuard no_grad;
    at::Tensor &w = T(weight);
    at::Tensor from = at::from_blob(v, w.sizes(), at::device(at::kCPU).dtype(at::kFloat));
    at::Tensor &g = w.mutable_grad();
    if (!g.defined()) g = at::empty_like(w);
    g.copy_(from);
  });
}

} // extern "C"
