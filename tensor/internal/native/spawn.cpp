//go:build !gotab_shared

// How many threads the system lets this process make.
#include "shim.h"

#include <mutex>
#include <pthread.h>
#include <signal.h>
#include <vector>

#include <c10/util/Flags.h>

C10_DECLARE_int(pthreadpool_size);

namespace {

// wait_for_end ends when whoever holds the mutex lets go of it.
void *wait_for_end(void *held) {
  std::lock_guard<std::mutex> l(*static_cast<std::mutex *>(held));
  return nullptr;
}

} // namespace

extern "C" {

// Makes n threads that do nothing, ends them again and returns how many there could be. They are
// there for a moment: Go's runtime, which cannot go on without a thread that it wants, tries for
// a fifth of a second.
int tab_try_threads(int n) {
  try {
    std::mutex held;
    std::vector<pthread_t> made;
    made.reserve(n > 0 ? n : 0);
    sigset_t all, before;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return 0; // a signal is for threads of Go's
    held.lock();
    for (int i = 0; i < n; i++) {
      pthread_t t;
      if (pthread_create(&t, nullptr, wait_for_end, &held) != 0) break;
      made.push_back(t);
    }
    held.unlock();
    for (pthread_t t : made) pthread_join(t, nullptr);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return static_cast<int>(made.size());
  } catch (...) {
    return 0;
  }
}

// The pool that libtorch keeps for kernels of telephones begins with as many threads as the
// machine has processors, whatever is set and nobody uses it. One is the caller's own.
void tab_no_idle_pool(void) { FLAGS_pthreadpool_size = 1; }

} // extern "C"
