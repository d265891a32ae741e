// Names that differ between releases of libtorch.
#ifndef GOTAB_COMPAT_H
#define GOTAB_COMPAT_H
#include <torch/version.h>

#include <c10/util/Optional.h>
#include <c10/util/string_view.h>
#include <optional>

// Whether libtorch is of a release, or a later one.
#define TORCH_SINCE(major, minor)                                                                                      \
  (TORCH_VERSION_MAJOR > (major) || (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

namespace tab {
#if TORCH_SINCE(2, 6)
template <typename T> using optional = std::optional<T>;
inline constexpr auto none = std::nullopt;
#else
template <typename T> using optional = c10::optional<T>;
inline constexpr auto none = c10::nullopt;
#endif
} // namespace tab

#endif
