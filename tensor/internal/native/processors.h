// Which instructions kernels may use, and functions that are compiled once for processors with AVX2 (and FMA, where the compiler knows that level by
// name: "arch=" of a processor would ask for that very model), and once for all.
#ifndef GOTAB_PROCESSORS_H
#define GOTAB_PROCESSORS_H
#include <cstdlib>
#include <cstring>

namespace tab {

// held_to says that libtorch's variable for using less of a processor than it has names this level: "default" or "avx2".
inline bool held_to(const char *level) {
  const char *const set = std::getenv("ATEN_CPU_CAPABILITY");
  return set != nullptr && std::strcmp(set, level) == 0;
}

} // namespace tab

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)
#if !defined(__clang__) && __GNUC__ >= 12
#define FOR_PROCESSORS __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define FOR_PROCESSORS __attribute__((target_clones("avx2", "default")))
#endif
#else
#define FOR_PROCESSORS
#endif
#endif
