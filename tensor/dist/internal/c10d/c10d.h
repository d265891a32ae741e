// Libtorch's engine for several processes, as tensor/dist needs it. Every function
// catches all exceptions and returns NULL or a message that the caller frees.
#ifndef GOTAB_C10D_H
#define GOTAB_C10D_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// A store of names and values that all ranks see.
char *dist_store_open(void **out, const char *host, int port, int server, int64_t connect_ms, int64_t timeout_ms, const char *prefix);
void dist_store_close(void *store);
char *dist_store_set(void *store, const char *key, const void *data, int64_t n);
// Without waiting: *data is NULL where there is no such key, and otherwise the caller's to free.
char *dist_store_get(void *store, const char *key, void **data, int64_t *n);

// A group of ranks over gloo; address is this machine's, or an interface's name.
char *dist_group_open(void **out, void *store, int rank, int size, const char *address, int is_interface,
                      int64_t timeout_ms);
void dist_group_close(void *group); // waits for what is under way

// What a group does begins here and is waited for below. The memory of v is not kept.
char *dist_sum(void **work, void *group, const float *v, int64_t n);
char *dist_gather(void **work, void *group, int size, const void *v, int64_t n);
char *dist_broadcast(void **work, void *group, int from, const void *v, int64_t n);
char *dist_wait(void *work, int64_t ms, int *done);
char *dist_result(void *work, void *v, int64_t n); // all bytes of the result
void dist_free(void *work);

#ifdef __cplusplus
}
#endif
#endif
