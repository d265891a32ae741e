//go:build !gotab_shared

// Convolutions of oneDNN with packed weights and a fused activation, which libtorch
// registers for its compiler and does not declare in a header.
//
// oneDNN chooses the layout of a weight by the whole problem: batch, height, width
// and threads are part of it. A kernel that is given another layout than it wants
// turns the weight on every call, which takes longer than the convolution itself.
// But there are few layouts (they differ in how many output channels stand together),
// and many problems share one. So a packed weight here is a set of layouts, which
// grows when a problem wants one that is not there.
#include "amx.h"
#include "compat.h"
#include "guard.h"
#include "shim.h"
#include "watch.h"
#include "winograd.h"

#include <ATen/ATen.h>
#include <ATen/MemoryOverlap.h>
#include <ATen/OpaqueTensorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using Scalars = torch::List<tab::optional<at::Scalar>>;

// The most layouts of one weight that are kept. oneDNN has three or four that it
// takes for one convolution, by the instructions of the processor.
std::atomic<size_t> kept{4};

// The most problems whose layout is remembered: some megabytes.
constexpr size_t kProblems = 1u << 15;

std::atomic<int64_t> packs{0}, shapes{0};

uint64_t mix(uint64_t h, uint64_t v) {
  h = (h ^ v) * 0x9e3779b97f4a7c15u;
  return h ^ h >> 29;
}

// Problem is what oneDNN's choice depends on: the weight's four sizes, stride,
// padding and groups, the input's four sizes, the number of threads, and the type of
// the elements.
using Problem = std::array<int64_t, 13>;

struct ProblemHash {
  size_t operator()(const Problem &p) const {
    uint64_t h = 0;
    for (int64_t v : p) h = mix(h, static_cast<uint64_t>(v));
    return h;
  }
};

at::Tensor reorder(const at::Tensor &dense, const Problem &p) {
  static auto op = c10::Dispatcher::singleton()
                       .findSchemaOrThrow("mkldnn::_reorder_convolution_weight", "")
                       .typed<at::Tensor(const at::Tensor &, c10::IntArrayRef, c10::IntArrayRef, c10::IntArrayRef,
                                         int64_t, c10::OptionalArrayRef<int64_t>)>();
  std::vector<int64_t> str{p[4], p[4]}, pad{p[5], p[5]}, dil{1, 1}, in{p[7], p[8], p[9], p[10]};
  return op.call(dense, pad, str, dil, p[6], c10::OptionalArrayRef<int64_t>(in));
}

// fingerprint finds out which layout oneDNN wants. libtorch does not tell, so a
// weight whose every value is another is packed, and the order in which its values
// lie in memory is hashed. Where the memory is not seen, because the program has
// set an allocator of its own, every problem counts as a layout.
uint64_t fingerprint(const Problem &p) {
  int64_t n = p[0] * p[1] * p[2] * p[3];
  auto type = static_cast<at::ScalarType>(p[12]);
  at::Tensor count;
  if (type == at::kBFloat16) {
    // All patterns of 16 bits, over and over: a place's neighbours tell it apart.
    count = at::empty({n}, at::kShort);
    int16_t *v = count.data_ptr<int16_t>();
    for (int64_t i = 0; i < n; i++) v[i] = static_cast<int16_t>(i % 65521);
    count = count.view(at::kBFloat16);
  } else {
    count = at::empty({n}, at::kFloat);
    float *v = count.data_ptr<float>();
    // Single precision counts to 2^24; beyond, the same values come again far away.
    for (int64_t i = 0; i < n; i++) v[i] = static_cast<float>(1 + i % ((1 << 24) - 1));
  }
  count = count.view({p[0], p[2], p[3], p[1]}).permute({0, 3, 1, 2}); // channels-last
  AllocationWatch watch(static_cast<size_t>(n) * at::elementSize(type));
  at::Tensor packed = reorder(count, p);
  watch.stop();
  uint64_t h = mix(0, watch.size());
  if (watch.count() != 1) {
    h = ProblemHash{}(p);
    return h | 1; // told apart from the others by the last bit
  }
  const char *at = static_cast<const char *>(watch.data());
  for (size_t i = 0; i + sizeof(uint64_t) <= watch.size(); i += sizeof(uint64_t)) {
    uint64_t v;
    memcpy(&v, at + i, sizeof v);
    h = mix(h, v);
  }
  return h & ~uint64_t{1};
}

// layout_of is fingerprint, remembered for all weights of the process.
uint64_t layout_of(const Problem &p) {
  static std::mutex mu;
  static auto &known = *new std::unordered_map<Problem, uint64_t, ProblemHash>; // Runs may outlive statics
  {
    std::lock_guard<std::mutex> lock(mu);
    auto it = known.find(p);
    if (it != known.end()) return it->second;
  }
  uint64_t id = fingerprint(p); // twice at worst, with one result
  shapes.fetch_add(1, std::memory_order_relaxed);
  std::lock_guard<std::mutex> lock(mu);
  if (known.size() >= kProblems) known.clear();
  known.emplace(p, id);
  return id;
}

// Packed is a weight [O, C/groups, k, k] in the layouts that were asked for. It may
// be used by several threads.
class Packed {
public:
  Packed(const at::Tensor &weight, int64_t stride, int64_t padding, int64_t groups, const int64_t *input)
      : base_{weight.size(0), weight.size(1), weight.size(2), weight.size(3), stride, padding, groups} {
    base_[12] = static_cast<int64_t>(weight.scalar_type());
    // Beside a weight that is infinite or no number a whole tile would be no number: oneDNN has it.
    if (winograd::serves(weight, stride, padding, groups) && at::isfinite(weight).all().item<bool>())
      winograd_ = winograd::pack(weight);
    else
      amx_ = tab::amx_pack(weight, stride, padding, groups);
    if (own()) { // oneDNN is not asked
      packs.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    Problem p = problem(c10::IntArrayRef(input, 4));
    add(weight.contiguous(at::MemoryFormat::ChannelsLast), p, layout_of(p));
  }

  // get returns the layout for an input. The caller's copy keeps it alive while
  // another thread may push it out.
  at::Tensor get(c10::IntArrayRef input) {
    Problem p = problem(input);
    uint64_t id = layout_of(p);
    std::lock_guard<std::mutex> lock(mu_);
    for (Layout &l : layouts_) {
      if (l.id != id) continue;
      l.used = ++clock_;
      return l.packed;
    }
    at::Tensor dense = layouts_.front().packed.to_dense().reshape({base_[0], base_[1], base_[2], base_[3]});
    return add(dense.contiguous(at::MemoryFormat::ChannelsLast), p, id);
  }

  // own says whether a kernel of ours serves the weight, for inputs of all sizes; there are no layouts of oneDNN then.
  bool own() const { return winograd_.defined() || amx_; }

  // conv is the convolution by our kernel, with the bias and, with relu, cut off below zero.
  at::Tensor conv(const at::Tensor &x, const at::Tensor &bias, bool relu) const {
    const at::Tensor in = last(x), b = bias.contiguous();
    return amx_ ? tab::amx_conv(*amx_, in, b, relu) : winograd::conv(in, winograd_, b, relu);
  }

  // add changes sum to ReLU(sum + conv(x) + bias) by our kernel.
  void add(at::Tensor &sum, const at::Tensor &x, const at::Tensor &bias) const {
    const at::Tensor in = last(x), b = bias.contiguous();
    at::Tensor y = last(sum);
    if (amx_)
      tab::amx_conv_add_relu(*amx_, y, in, b);
    else
      winograd::add(y, in, winograd_, b);
    if (!y.is_same(sum)) sum.copy_(y);
  }

  // serves throws unless the convolution is the one that the weight was packed for.
  void serves(int64_t stride, int64_t padding, int64_t groups) const {
    if (stride != base_[4] || padding != base_[5] || groups != base_[6])
      throw std::invalid_argument("Stride, Padding and Groups are " + std::to_string(stride) + ", " + std::to_string(padding) + ", " +
                                  std::to_string(groups) + " and not those that the weight was packed for");
  }

  int64_t count() {
    if (own()) return 1;
    std::lock_guard<std::mutex> lock(mu_);
    return static_cast<int64_t>(layouts_.size());
  }

private:
  static at::Tensor last(const at::Tensor &x) { return x.contiguous(at::MemoryFormat::ChannelsLast); }

  struct Layout {
    uint64_t id;
    at::Tensor packed;
    uint64_t used;
  };

  Problem problem(c10::IntArrayRef input) const {
    Problem p = base_;
    std::copy(input.begin(), input.end(), p.begin() + 7);
    p[11] = at::get_num_threads();
    return p;
  }

  at::Tensor add(const at::Tensor &dense, const Problem &p, uint64_t id) {
    at::Tensor packed = reorder(dense, p);
    packs.fetch_add(1, std::memory_order_relaxed);
    while (!layouts_.empty() && layouts_.size() >= kept.load(std::memory_order_relaxed))
      layouts_.erase(std::min_element(layouts_.begin(), layouts_.end(),
                                      [](const Layout &a, const Layout &b) { return a.used < b.used; }));
    layouts_.push_back({id, packed, ++clock_});
    return packed;
  }

  at::Tensor winograd_;
  std::shared_ptr<const tab::AMXConv> amx_;
  Problem base_; // with no input and no threads; not changed once it is made
  std::mutex mu_;
  std::vector<Layout> layouts_;
  uint64_t clock_ = 0;
};

using PackedImpl = at::OpaqueTensorImpl<std::shared_ptr<Packed>>;

// Handed to Go as a tensor, so that scopes and parameters own it like others. It
// has no dispatch key: no operation of libtorch takes it for something else.
at::Tensor wrap(std::shared_ptr<Packed> p, at::ScalarType type, c10::IntArrayRef sizes) {
  return at::detail::make_tensor<PackedImpl>(c10::DispatchKeySet(), c10::scalarTypeToTypeMeta(type),
                                             c10::Device(c10::DeviceType::CPU), std::move(p), sizes);
}

at::Tensor &T(void *p) { return *static_cast<at::Tensor *>(p); }

Packed &packed_of(void *weight) {
  auto *impl = dynamic_cast<PackedImpl *>(T(weight).unsafeGetTensorImpl());
  if (impl == nullptr) throw std::invalid_argument("the weight is not packed");
  return *impl->unsafe_opaque_handle();
}

} // namespace

extern "C" {

char *tab_pack_conv(void **out, void *weight, int64_t stride, int64_t padding, int64_t groups, int64_t *input) {
  return guarded([=] {
    at::NoGradGuard g;
    auto p = std::make_shared<Packed>(T(weight), stride, padding, groups, input);
    *out = new at::Tensor(wrap(std::move(p), T(weight).scalar_type(), T(weight).sizes()));
  });
}

char *tab_conv_fused(void **out, void *x, void *weight, void *bias, int64_t stride, int64_t padding, int64_t groups,
                     int relu) {
  return guarded([=] {
    static auto op =
        c10::Dispatcher::singleton()
            .findSchemaOrThrow("mkldnn::_convolution_pointwise", "")
            .typed<at::Tensor(const at::Tensor &, const at::Tensor &, const tab::optional<at::Tensor> &,
                              c10::IntArrayRef, c10::IntArrayRef, c10::IntArrayRef, int64_t, c10::string_view,
                              torch::List<tab::optional<at::Scalar>>, tab::optional<c10::string_view>)>();
    at::NoGradGuard g;
    Packed &packed = packed_of(weight);
    packed.serves(stride, padding, groups);
    if (packed.own()) {
      *out = new at::Tensor(packed.conv(T(x), T(bias), relu != 0));
      return;
    }
    at::Tensor w = packed.get(T(x).sizes());
    std::vector<int64_t> pad{padding, padding}, str{stride, stride}, dil{1, 1};
    *out = new at::Tensor(op.call(T(x), w, T(bias), pad, str, dil, groups, relu ? "relu" : "none", Scalars(), ""));
  });
}

char *tab_conv_add_relu(void *other, void *x, void *weight, void *bias, int64_t stride, int64_t padding,
                        int64_t groups) {
  return guarded([=] {
    static auto op =
        c10::Dispatcher::singleton()
            .findSchemaOrThrow("mkldnn::_convolution_pointwise_", "binary")
            .typed<at::Tensor &(at::Tensor &, const at::Tensor &, const at::Tensor &, const tab::optional<at::Tensor> &,
                                c10::IntArrayRef, c10::IntArrayRef, c10::IntArrayRef, int64_t, c10::string_view,
                                tab::optional<at::Scalar>, tab::optional<c10::string_view>,
                                torch::List<tab::optional<at::Scalar>>, tab::optional<c10::string_view>)>();
    at::NoGradGuard g;
    Packed &packed = packed_of(weight);
    packed.serves(stride, padding, groups);
    if (at::has_internal_overlap(T(other)) == at::MemOverlap::Yes) throw std::invalid_argument("the sum's values share memory");
    // One part of the sum is written while another part of what it is made of is read.
    auto apart = [&](void *p) { return T(p).is_alias_of(T(other)) ? T(p).clone() : T(p); };
    const at::Tensor in = apart(x), b = apart(bias);
    T(other).unsafeGetTensorImpl()->bump_version(); // Backward of what has read the sum before refuses then
    if (packed.own()) return packed.add(T(other), in, b);
    at::Tensor w = packed.get(in.sizes());
    std::vector<int64_t> pad{padding, padding}, str{stride, stride}, dil{1, 1};
    op.call(T(other), in, w, b, pad, str, dil, groups, "add", at::Scalar(1.0), "relu", Scalars(), "");
  });
}

char *tab_conv_layouts(int64_t *n, void *weight) {
  return guarded([=] { *n = packed_of(weight).count(); });
}

char *tab_conv_own(int *own, void *weight) {
  return guarded([=] { *own = packed_of(weight).own(); });
}

int tab_conv_lanes(int most) { return winograd::limit(most); }

int64_t tab_conv_keep(int64_t n) { return static_cast<int64_t>(kept.exchange(static_cast<size_t>(n))); }

int64_t tab_conv_packs(void) { return packs.load(std::memory_order_relaxed); }

int64_t tab_conv_shapes(void) { return shapes.load(std::memory_order_relaxed); }

} // extern "C"
