// Functions that are compiled once for processors with AVX2 (and FMA, where the compiler knows that level by
// name: "arch=" of a processor would ask for that very model), and once for all.
#ifndef GOTAB_PROCESSORS_H
#define GOTAB_PROCESSORS_H
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
