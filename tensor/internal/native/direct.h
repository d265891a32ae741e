// What tensor needs of libtorch, for the floor that is compiled here and not by gotch
// (direct.cpp). Every function catches all exceptions and returns NULL or a message
// that the caller frees. A NULL operand is one that is not given.
#ifndef GOTAB_DIRECT_H
#define GOTAB_DIRECT_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

void tab_free(void *self);
int tab_defined(void *self);
int64_t tab_dim(void *self);
void tab_shape(void *self, int64_t *sizes);
int tab_scalar_type(void *self);
void *tab_data(void *self);
int tab_device(void *self);
int tab_cuda_devices(void);
void tab_grad_mode(int on);
void tab_set_threads(int n);
int tab_get_threads(void);

char *tab_shallow_clone(void **out, void *self);
char *tab_copy_into(void *dst, void *src);
char *tab_backward(void *self);
char *tab_grad(void **out, void *self);
char *tab_requires_grad(void *self, int on);

char *tab_empty(void **out, int64_t *shape, int n, int dtype, int device);
char *tab_full(void **out, int64_t *shape, int n, double value, int dtype, int device);
char *tab_eye(void **out, int64_t n, int dtype, int device);
char *tab_to_dtype(void **out, void *self, int dtype, int copy);

char *tab_unary(void **out, int op, void *self);
char *tab_binary(void **out, int op, void *a, void *b);
char *tab_with_scalar(void **out, int op, void *self, double v);

char *tab_sum(void **out, void *self, int64_t *dims, int n, int keep);
char *tab_mean(void **out, void *self, int64_t *dims, int n, int keep);
char *tab_amax(void **out, void *self, int64_t *dims, int n, int keep);
char *tab_argmax(void **out, void *self, int64_t dim);
char *tab_softmax(void **out, void *self, int64_t dim);
char *tab_log_softmax(void **out, void *self, int64_t dim);
char *tab_cosine_similarity(void **out, void *a, void *b, int64_t dim, double eps);
char *tab_topk(void **values, void **indices, void *self, int64_t k, int64_t dim, int largest);

char *tab_reshape(void **out, void *self, int64_t *shape, int n);
char *tab_permute(void **out, void *self, int64_t *dims, int n);
char *tab_transpose(void **out, void *self, int64_t a, int64_t b);
char *tab_expand(void **out, void *self, int64_t *shape, int n);
char *tab_narrow(void **out, void *self, int64_t dim, int64_t start, int64_t length);
char *tab_select(void **out, void *self, int64_t dim, int64_t i);
char *tab_unsqueeze(void **out, void *self, int64_t dim);
char *tab_cat(void **out, void **xs, int n, int64_t dim);
char *tab_index_select(void **out, void *self, int64_t dim, void *index);
char *tab_gather(void **out, void *self, int64_t dim, void *index);
char *tab_flip(void **out, void *self, int64_t *dims, int n);
char *tab_rot90(void **out, void *self, int64_t k, int64_t from, int64_t to);

char *tab_solve_lower(void **out, void *l, void *b);
char *tab_linear(void **out, void *x, void *w, void *b);
char *tab_conv2d(void **out, void *x, void *w, void *b, int64_t stride, int64_t padding, int64_t dilation,
                 int64_t groups);
char *tab_conv_transpose2d(void **out, void *x, void *w, void *b, int64_t stride, int64_t padding, int64_t dilation,
                           int64_t groups);
char *tab_batch_norm(void **out, void *x, void *weight, void *bias, void *mean, void *variance, int train,
                     double momentum, double eps);
char *tab_layer_norm(void **out, void *x, void *weight, void *bias, int64_t n, double eps);
char *tab_embedding(void **out, void *weight, void *ids);
char *tab_max_pool2d(void **out, void *x, int64_t k, int64_t stride, int64_t padding);
char *tab_avg_pool2d(void **out, void *x, int64_t k, int64_t stride, int64_t padding);
char *tab_upsample_bilinear(void **out, void *x, int64_t h, int64_t w);
char *tab_upsample_nearest(void **out, void *x, int64_t h, int64_t w);
char *tab_cross_entropy(void **out, void *logits, void *target, void *weight);
char *tab_bce_with_logits(void **out, void *logits, void *target, void *positive);
char *tab_affine_grid(void **out, void *theta, int64_t n, int64_t h, int64_t w);

#ifdef __cplusplus
}
#endif
#endif
