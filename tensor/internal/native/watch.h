// Which large blocks of host memory the calling thread takes, while a watch is on.
#ifndef GOTAB_WATCH_H
#define GOTAB_WATCH_H
#include <cstddef>

// AllocationWatch sees the blocks of at least a size that this library's allocator
// hands to the calling thread, until it is stopped or destroyed. One at a time.
class AllocationWatch {
public:
  explicit AllocationWatch(size_t least);
  ~AllocationWatch() { stop(); }
  AllocationWatch(const AllocationWatch &) = delete;
  AllocationWatch &operator=(const AllocationWatch &) = delete;

  void stop();
  void see(void *data, size_t size);

  int count() const { return count_; }      // how many there were
  const void *data() const { return data_; } // the last one
  size_t size() const { return size_; }

private:
  size_t least_, size_ = 0;
  void *data_ = nullptr;
  int count_ = 0;
};

#endif
