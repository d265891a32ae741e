// What libtorch can do and the C layer of gotch cannot reach. Every function
// catches all exceptions and returns NULL or a message that the caller frees.
#ifndef GOTAB_SHIM_H
#define GOTAB_SHIM_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

char *tab_setup(int64_t primitives, int tf32, int benchmark, int deterministic);
int tab_switches(void);
int tab_try_threads(int n); // how many of n more threads can be made (spawn.cpp)
void tab_no_idle_pool(void);
char *tab_set_device(int index);
int tab_has_onednn(void);
/* whether oneDNN is there and the processor multiplies bfloat16 */
int tab_has_bfloat16(void);
char *tab_channels_last(void **out, void *self);
int tab_is_channels_last(void *self);
char *tab_to_device(void **out, void *self, int device);
char *tab_gelu(void **out, void *self);
char *tab_leaky_relu(void **out, void *self, double slope);
char *tab_norm(void **out, void *self, int64_t dim);
char *tab_axpy(void *self, void *other, double alpha);
char *tab_scale(void *self, double alpha);
char *tab_increment(void *self);
char *tab_clear_grad(void *self);
char *tab_sum_squares(void *self, double *sum, int *finite);
char *tab_sgd(void *param, void *grad, void *buf, void *scratch, void *momentum, int first, double lr, double m,
              double dampening, double decay, int nesterov);
char *tab_adam(void *param, void *grad, void *m, void *v, void *scratch, void *keep, void *beta2, void *root, void *eps,
               double step, double lr, double b1, double b2, double decay);
char *tab_scalar(void **out, void *like, double value);
char *tab_view_as(void **out, void *bytes, void *like);
int tab_same_layout(void *x, void *like); // of one shape
char *tab_baddbmm_into(void *acc, void *a, void *b, double beta);

// Convolutions with packed weights (packed.cpp). A packed weight serves inputs of
// all sizes; input is the first one's.
char *tab_pack_conv(void **out, void *weight, int64_t stride, int64_t padding, int64_t groups, int64_t *input);
char *tab_conv_fused(void **out, void *x, void *weight, void *bias, int64_t stride, int64_t padding, int64_t groups,
                     int relu);
char *tab_conv_add_relu(void *other, void *x, void *weight, void *bias, int64_t stride, int64_t padding,
                        int64_t groups);
// A convolution that Backward goes back through by kernels of ours (convolve.cpp), or nothing where they do not serve it.
char *tab_conv_filtered(void **out, void *x, void *weight, int64_t stride, int64_t padding, int64_t dilation, int64_t groups);
int64_t tab_conv_filtered_count(void); // how many there were in this process
int tab_has_amx(void); // whether convolutions in bfloat16 may be those of amx.cpp
char *tab_conv_layouts(int64_t *n, void *weight); // how many a weight has
char *tab_conv_own(int *own, void *weight); // whether a kernel of ours serves the weight, not oneDNN's
int tab_conv_lanes(int most); // sets the most floats in a register of our kernels, 0 for none, and returns how many they were
int64_t tab_conv_keep(int64_t n); // sets how many a weight keeps and returns how many it was
int64_t tab_conv_packs(void);  // how often a weight was packed in this process
int64_t tab_conv_shapes(void); // for how many problems a layout was looked for

// Bilinear reading of a map at the places of a grid, recorded for Backward
// (warp.cpp).
char *tab_grid_sample(void **out, void *map, void *grid);
// Maxima of windows where no gradient is wanted, or nothing (pool.cpp).
char *tab_max_pool_last(void **out, void *x, int64_t k, int64_t stride, int64_t padding);
char *tab_mahalanobis(void **out, void *x, void *mean, void *factor);
char *tab_mahalanobis_maps(void **out, void **maps, int n_maps, int64_t *channels, int64_t *counts, void *mean, void *factor);
char *tab_scatter_lower(void *sums, void *x);
char *tab_halve(void **out, void *x);
char *tab_join(void **out, void *x);
char *tab_pack_lower(void *to, const void *rows, int64_t c);
// The nearest rows of a bank (nearest.cpp).
float tab_lower(const float *x, const float *rows, const float *leads, int64_t k, int64_t *at, int64_t n, float bound, float enough);
char *tab_nearest(void **dist, void **at, void *q, void *bank, void *axes, void *low, void *half, int exact);

// Gradients that leave for other processes while Backward computes them (gradients.cpp).
char *tab_reached(void *loss, void **weights, int n, uint8_t *out);
char *tab_gradients_watch(void **out, float *values, void **weights, int64_t *offset, int *bucket, int n, int buckets);
void tab_gradients_wait(void *gradients, int bucket); // on any thread
void tab_gradients_finish(void *gradients, uint8_t *got);
void tab_gradients_free(void *gradients);
char *tab_put_gradient(void *weight, float *v);

// Batch norm whose statistics are those of several processes (syncnorm.cpp). A tab_sums replaces v by the sum over the
// processes, for batch norm number layer of a backward pass, and returns NULL or a message that the caller frees.
typedef char *(*tab_sums)(uintptr_t handle, int64_t layer, double *v, int64_t n);
char *tab_batch_sums(void *x, double *sums); // numbers of each channel: how many, then sums, then sums of squares
char *tab_sync_norm(void **out, void **token, void *x, void *weight, void *bias, void *running_mean, void *running_var,
                    double *mean, double *var, double count, double momentum, double eps, tab_sums sums, uintptr_t handle,
                    int64_t layer);

// In place, recorded for Backward.
char *tab_relu_into(void *self);
char *tab_leaky_relu_into(void *self, double slope);
char *tab_add_into(void *self, void *other);

// The pool of blocks that training steps use again (allocator.cpp).
void tab_pool_install(void);
void tab_pool_use(int on); // for allocations of the calling thread
void tab_pool_clear(void);
int64_t tab_pool_kept(void);

// For tests (allocator.cpp): counts the host allocations of Runs of mode Training
// from now on, and lets those from number "from" on fail where that is above 0.
void tab_watch_allocations(int on, int64_t from);
int64_t tab_allocations_seen(void);

#ifdef __cplusplus
}
#endif
#endif
