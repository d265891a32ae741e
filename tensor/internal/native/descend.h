#ifndef GOTAB_DESCEND_H
#define GOTAB_DESCEND_H
#include <ATen/ATen.h>

namespace tab {

// adam moves a weight and its two moments in one pass, where that is possible (float32 without gaps on the processor), and says whether
// it did. keep is the factor of the decay of weights (1: none), decay that of the gradient's share of the weight (0: none).
bool adam(at::Tensor &p, const at::Tensor &d, at::Tensor &m, at::Tensor &v, double keep, double decay, double beta1, double beta2, double root,
          double eps, double rate);

// sgd likewise moves a weight and its momentum, which is not read if first.
bool sgd(at::Tensor &p, const at::Tensor &d, at::Tensor &b, bool first, double rate, double momentum, double dampening, double decay, bool nesterov);

} // namespace tab

#endif
