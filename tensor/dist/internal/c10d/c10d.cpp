//go:build gotab_dist

#include "c10d.h"

#include <ATen/ATen.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/version.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#ifndef USE_C10D_GLOO
#error "tensor/dist needs gloo's headers; take the environment of: go run github.com/gotab/gotab/tensor/libtorch env -dist"
#endif

namespace {

using std::chrono::milliseconds;

template <typename F> char *guarded(F f) {
  try {
    f();
    return nullptr;
  } catch (const std::exception &e) {
    return strdup(e.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}

struct Store {
  c10::intrusive_ptr<c10d::Store> store;
};

struct Group {
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
};

// What is under way owns its memory: a caller that has given up waiting leaves nothing
// that another thread still writes to.
struct Work {
  c10::intrusive_ptr<c10d::Work> work;
  std::vector<at::Tensor> in;
  std::vector<std::vector<at::Tensor>> out;
};

at::Tensor copied(const void *v, int64_t n, int64_t width, at::ScalarType type) {
  auto t = at::empty({n}, at::TensorOptions().dtype(type));
  if (n > 0)
    std::memcpy(t.data_ptr(), v, n * width);
  return t;
}

} // namespace

extern "C" {

char *dist_store_open(void **out, const char *host, int port, int server, int64_t connect_ms, int64_t timeout_ms, const char *prefix) {
  return guarded([=] {
    c10d::TCPStoreOptions options;
    options.port = static_cast<std::uint16_t>(port);
    options.isServer = server != 0;
    options.waitWorkers = false;
    options.timeout = milliseconds(connect_ms);
    auto tcp = c10::make_intrusive<c10d::TCPStore>(host, options);
    auto s = std::make_unique<Store>();
    s->store = c10::make_intrusive<c10d::PrefixStore>(prefix, tcp);
    s->store->setTimeout(milliseconds(timeout_ms));
    *out = s.release();
  });
}

void dist_store_close(void *store) {
  free(guarded([=] { delete static_cast<Store *>(store); }));
}

char *dist_store_set(void *store, const char *key, const void *data, int64_t n) {
  return guarded([=] {
    auto p = static_cast<const uint8_t *>(data);
    static_cast<Store *>(store)->store->set(std::string(key), std::vector<uint8_t>(p, p + n));
  });
}

char *dist_store_get(void *store, const char *key, void **data, int64_t *n) {
  return guarded([=] {
    auto &s = static_cast<Store *>(store)->store;
    *data = nullptr;
    *n = 0;
    if (!s->check({std::string(key)}))
      return;
    auto v = s->get(std::string(key));
    void *p = std::malloc(v.size() + 1);
    if (p == nullptr)
      throw std::bad_alloc();
    std::memcpy(p, v.data(), v.size());
    *data = p;
    *n = static_cast<int64_t>(v.size());
  });
}

char *dist_group_open(void **out, void *store, int rank, int size, const char *address, int is_interface,
                      int64_t timeout_ms) {
  return guarded([=] {
    auto options = c10d::ProcessGroupGloo::Options::create(milliseconds(timeout_ms));
    options->devices.push_back(is_interface ? c10d::ProcessGroupGloo::createDeviceForInterface(address)
                                            : c10d::ProcessGroupGloo::createDeviceForHostname(address));
    options->threads = 1; // calls come one at a time
    auto g = std::make_unique<Group>();
    g->gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(static_cast<Store *>(store)->store, rank, size, options);
    *out = g.release();
  });
}

void dist_group_close(void *group) {
  free(guarded([=] { delete static_cast<Group *>(group); }));
}

char *dist_sum(void **work, void *group, const float *v, int64_t n) {
  return guarded([=] {
    auto w = std::make_unique<Work>();
    w->in.push_back(copied(v, n, sizeof(float), at::kFloat));
    w->work = static_cast<Group *>(group)->gloo->allreduce(w->in);
    *work = w.release();
  });
}

char *dist_gather(void **work, void *group, int size, const void *v, int64_t n) {
  return guarded([=] {
    auto w = std::make_unique<Work>();
    w->in.push_back(copied(v, n, 1, at::kByte));
    w->out.emplace_back();
    for (int i = 0; i < size; i++)
      w->out[0].push_back(at::empty({n}, at::TensorOptions().dtype(at::kByte)));
    w->work = static_cast<Group *>(group)->gloo->allgather(w->out, w->in);
    *work = w.release();
  });
}

char *dist_broadcast(void **work, void *group, int from, const void *v, int64_t n) {
  return guarded([=] {
    auto w = std::make_unique<Work>();
    w->in.push_back(copied(v, n, 1, at::kByte));
    c10d::BroadcastOptions options;
    options.rootRank = from;
    w->work = static_cast<Group *>(group)->gloo->broadcast(w->in, options);
    *work = w.release();
  });
}

char *dist_wait(void *work, int64_t ms, int *done) {
  return guarded([=] {
    auto &w = static_cast<Work *>(work)->work;
    *done = 0;
    try {
      w->wait(milliseconds(ms)); // also ends, with its error, where the work has failed
    } catch (...) {
      if (!w->isCompleted())
        return; // not yet
      *done = 1;
      if (auto e = w->exception())
        std::rethrow_exception(e);
      return; // over since it was given up
    }
    *done = 1;
  });
}

char *dist_result(void *work, void *v, int64_t n) {
  return guarded([=] {
    auto w = static_cast<Work *>(work);
    auto &parts = w->out.empty() ? w->in : w->out[0];
    auto to = static_cast<char *>(v);
    int64_t left = n;
    for (auto &t : parts) {
      int64_t bytes = static_cast<int64_t>(t.nbytes());
      TORCH_CHECK(bytes <= left, "the result is longer than expected");
      if (bytes > 0)
        std::memcpy(to, t.data_ptr(), bytes);
      to += bytes;
      left -= bytes;
    }
    TORCH_CHECK(left == 0, "the result is shorter than expected");
  });
}

void dist_free(void *work) {
  free(guarded([=] { delete static_cast<Work *>(work); }));
}
}
