// Convolutions in bfloat16 on the matrix unit of Intel's processors, AMX; amx.cpp says how.
#ifndef GOTAB_AMX_H
#define GOTAB_AMX_H
#include <ATen/core/Tensor.h>
#include <cstdint>
#include <memory>

namespace tab {

class AMXConv; // a weight in the order of the tiles; it never changes

// amx_pack returns nothing where the convolution, the processor or the system is none for these kernels.
std::shared_ptr<const AMXConv> amx_pack(const at::Tensor &weight, int64_t stride, int64_t padding, int64_t groups);

// amx_conv is the convolution of x [N, C, H, W] plus bias [O], both bfloat16, and ReLU where it is asked for. Maps are channels-last.
at::Tensor amx_conv(const AMXConv &w, const at::Tensor &x, const at::Tensor &bias, bool relu);

// amx_conv_add_relu makes sum, which shares no memory with x, the ReLU of itself and the convolution.
void amx_conv_add_relu(const AMXConv &w, at::Tensor &sum, const at::Tensor &x, const at::Tensor &bias);

} // namespace tab

#endif
