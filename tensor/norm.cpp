#include "shim.h"

#include <ATen/ATen.h>
#include <cstring>
#include <exception>

// The Euclidean length along one dimension, in one pass and without the square
// of the whole operand in memory.
extern "C" char *tab_norm(void **out, void *self, int64_t dim) {
  try {
    *out = new at::Tensor(at::linalg_vector_norm(*static_cast<at::Tensor *>(self), 2, at::IntArrayRef(&dim, 1), false));
    return nullptr;
  } catch (const std::exception &e) {
    return strdup(e.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}
