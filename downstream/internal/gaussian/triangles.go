package gaussian

import (
	"fmt"

	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/tensor"
)

// rowBlocks is in how many blocks of rows a lower triangular matrix is kept: with
// four, five eighths of the square.
const rowBlocks = 4

// TriangleRows returns the rows of the blocks of a k x k matrix.
func TriangleRows(k int) [][2]int { return feed.Spans(k, (k+rowBlocks-1)/rowBlocks, 1) }

// TriangleEntries is the number of entries of a k x k matrix in blocks.
func TriangleEntries(k int) (n int64) {
	for _, rows := range TriangleRows(k) {
		n += int64(rows[1]-rows[0]) * int64(rows[1])
	}
	return n
}

// Triangles are lower triangular k x k matrices, one for each of P positions. The
// block of the rows lo to hi-1 is a tensor [P, hi, hi-lo] of their transposes,
// without the columns that are zero.
type Triangles struct {
	rows   [][2]int
	blocks []*tensor.Tensor
}

// PutTriangles makes matrices of zeros in p.
func PutTriangles(s *tensor.Scope, p *tensor.Params, positions, k int) error {
	for i, rows := range TriangleRows(k) {
		if err := p.PutBuffer(s, TriangleName(i), s.Zeros(int64(positions), int64(rows[1]), int64(rows[1]-rows[0]))); err != nil {
			return err
		}
	}
	return nil
}

// TrianglesOf takes k x k matrices from p.
func TrianglesOf(p *tensor.Params, k int) *Triangles {
	t := &Triangles{rows: TriangleRows(k)}
	for i := range t.rows {
		t.blocks = append(t.blocks, p.Get(TriangleName(i)))
	}
	return t
}

// TriangleName is what a block of rows is called among the parameters.
func TriangleName(block int) string { return fmt.Sprintf("inverse.%d", block) }

// Set puts matrices [n, k, k] in place of those from position lo on.
func (t *Triangles) Set(s *tensor.Scope, lo int, full *tensor.Tensor) {
	for i, rows := range t.rows {
		s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			part := s.Narrow(s.Narrow(full, 1, int64(rows[0]), int64(rows[1]-rows[0])), 2, 0, int64(rows[1]))
			s.CopyInto(s.Narrow(t.blocks[i], 0, int64(lo), full.Size(0)), s.Transpose(part, 1, 2))
			return nil
		})
	}
}

// Squares returns the squared lengths of the matrices' products with the vectors
// v [P, n, k], [P, n].
func (t *Triangles) Squares(s *tensor.Scope, v *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		var sum *tensor.Tensor
		for i, rows := range t.rows {
			part := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				return s.Square(s.Norm(s.Bmm(s.Narrow(v, 2, 0, int64(rows[1])), t.blocks[i]), 2))
			})
			if sum == nil {
				sum = part
				continue
			}
			s.AddInto(sum, part, 1)
		}
		return sum
	})
}
