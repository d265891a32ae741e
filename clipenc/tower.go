package clipenc

import (
	"context"
	"fmt"
	"math"

	"github.com/gotab/gotab/tensor"
)

// encodeBatch runs the tower once and returns one feature a text.
func (e *TextEncoder) encodeBatch(ctx context.Context, batch []Tokens) ([][]float32, error) {
	var flat []float32
	err := tensor.Run(ctx, e.params.Device(), tensor.Evaluation, func(s *tensor.Scope) error {
		var err error
		flat, err = s.Floats(e.forward(s, batch))
		return err
	})
	if err != nil {
		return nil, err
	}
	rows := make([][]float32, len(batch))
	for i := range rows {
		rows[i] = flat[i*e.cfg.Embed : (i+1)*e.cfg.Embed : (i+1)*e.cfg.Embed]
	}
	return rows, nil
}

// forward returns the features [N, Embed] of N texts. Attention is causal, so positions behind the last end token of
// the batch are left out: no end token sees them.
func (e *TextEncoder) forward(s *tensor.Scope, batch []Tokens) *tensor.Tensor {
	n, length := len(batch), 0
	for _, t := range batch {
		length = max(length, t.End+1)
	}
	ids, ends := make([]int64, 0, n*length), make([]int64, n)
	for i, t := range batch {
		for _, id := range t.IDs[:length] {
			ids = append(ids, int64(id))
		}
		ends[i] = int64(i*length + t.End)
	}
	p, w := e.params, int64(e.cfg.Width)
	x := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		tokens := s.Embedding(p.Get("token_embedding.weight"), s.FromInts(ids, int64(n), int64(length)))
		return s.Add(tokens, s.Narrow(p.Get("positional_embedding"), 0, 0, int64(length))) // [N, L, W]
	})
	mask := causal(s, length)
	for i := range e.cfg.Layers {
		before := x
		x = e.block(s, fmt.Sprintf("transformer.resblocks.%d.", i), before, mask)
		s.Free(before)
	}
	// Layer norm and projection work row by row: the rows of the end tokens are enough.
	pooled := s.IndexSelect(s.Reshape(x, -1, w), 0, s.FromInts(ends, int64(n))) // [N, W]
	return s.MatMul(e.norm(s, "ln_final.", pooled), p.Get("text_projection"))
}

// causal returns the mask [L, L] that is added to attention scores: minus infinity where a position would look ahead.
func causal(s *tensor.Scope, length int) *tensor.Tensor {
	mask := make([]float32, length*length)
	for row := range length {
		for column := row + 1; column < length; column++ {
			mask[row*length+column] = float32(math.Inf(-1))
		}
	}
	return s.FromFloats(mask, int64(length), int64(length))
}

// block is one pre-norm residual block; x is [N, L, W].
func (e *TextEncoder) block(s *tensor.Scope, prefix string, x, mask *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		x := s.Add(x, e.attention(s, prefix+"attn.", e.norm(s, prefix+"ln_1.", x), mask))
		return s.Add(x, e.mlp(s, prefix+"mlp.", e.norm(s, prefix+"ln_2.", x)))
	})
}

// attention is multi-head self-attention softmax(Q K^T / sqrt(d) + mask) V with d = Width/Heads (Vaswani et al.,
// "Attention Is All You Need", NIPS 2017, equation 1).
func (e *TextEncoder) attention(s *tensor.Scope, prefix string, x, mask *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		n, l, h := x.Size(0), x.Size(1), int64(e.cfg.Heads)
		d := int64(e.cfg.Width) / h
		joint := s.Linear(x, e.params.Get(prefix+"in_proj_weight"), e.params.Get(prefix+"in_proj_bias"))
		joint = s.Permute(s.Reshape(joint, n, l, 3, h, d), 2, 0, 3, 1, 4) // [3, N, H, L, d]
		q, k, v := s.Select(joint, 0, 0), s.Select(joint, 0, 1), s.Select(joint, 0, 2)
		q = s.MulScalar(q, 1/math.Sqrt(float64(d)))
		scores := s.Add(s.MatMul(q, s.Transpose(k, -2, -1)), mask) // [N, H, L, L]
		y := s.MatMul(s.Softmax(scores, -1), v)                    // [N, H, L, d]
		y = s.Reshape(s.Permute(y, 0, 2, 1, 3), n, l, h*d)
		return s.Linear(y, e.params.Get(prefix+"out_proj.weight"), e.params.Get(prefix+"out_proj.bias"))
	})
}

func (e *TextEncoder) mlp(s *tensor.Scope, prefix string, x *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		y := s.Linear(x, e.params.Get(prefix+"c_fc.weight"), e.params.Get(prefix+"c_fc.bias"))
		if e.cfg.Activation == QuickGELU {
			y = s.QuickGELU(y)
		} else {
			y = s.GELU(y)
		}
		return s.Linear(y, e.params.Get(prefix+"c_proj.weight"), e.params.Get(prefix+"c_proj.bias"))
	})
}

func (e *TextEncoder) norm(s *tensor.Scope, prefix string, x *tensor.Tensor) *tensor.Tensor {
	return s.LayerNorm(x, e.params.Get(prefix+"weight"), e.params.Get(prefix+"bias"), e.cfg.Epsilon)
}
