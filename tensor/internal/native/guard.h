// What keeps C++ exceptions out of Go.
#ifndef GOTAB_GUARD_H
#define GOTAB_GUARD_H
#include <cstring>
#include <exception>

// guarded runs f and turns whatever it throws into a message.
template <typename F> inline char *guarded(F f) {
  try {
    f();
    return nullptr;
  } catch (const std::exception &e) {
    return strdup(e.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}

#endif
