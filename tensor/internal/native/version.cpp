//go:build !gotab_shared

#include <torch/version.h>

// A file of its own: the headers of the shim do not bring this macro along.
extern "C" const char *tab_libtorch_version(void) { return TORCH_VERSION; }
