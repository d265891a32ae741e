package tensor

import (
	"fmt"

	"github.com/gotab/gotab/tensor/internal/native"
)

// leadRows is how many rows have their first values side by side.
const leadRows = 8

// RowSet are rows of float32 values on the host, to which a nearest one is looked for again and again while more
// are added. It needs no Run. Nearer may be called concurrently, Append not.
type RowSet struct {
	k, n   int
	values []float32
	leads  []float32 // the first native.RowLeads values of eight rows at a time, value by value
}

// NewRowSet returns a set of no rows, of k values each, 1 to 2^20. room is how many are expected, 0 or more; memory for 16 million values
// at most is taken beforehand. Errors wrap [ErrShape].
func NewRowSet(k, room int) (*RowSet, error) {
	const mostValues, mostRoom = 1 << 20, 1 << 24
	if k < 1 || k > mostValues || room < 0 {
		return nil, fmt.Errorf("tensor: new row set: %w: k is %d, want 1 to 2^20, room %d, want 0 or more", ErrShape, k, room)
	}
	return &RowSet{k: k, values: make([]float32, 0, min(room, mostRoom/k)*k)}, nil
}

// Len returns how many rows there are.
func (r *RowSet) Len() int { return r.n }

// Append adds a copy of a row. A row of another length is [ErrShape].
func (r *RowSet) Append(row []float32) error {
	if len(row) != r.k {
		return fmt.Errorf("tensor: append to row set: %w: %d values, want %d", ErrShape, len(row), r.k)
	}
	r.values = append(r.values, row...)
	if r.k >= native.RowLeads {
		if r.n%leadRows == 0 {
			r.leads = append(r.leads, make([]float32, leadRows*native.RowLeads)...)
		}
		group := r.leads[r.n/leadRows*leadRows*native.RowLeads:]
		for j, v := range row[:native.RowLeads] {
			group[j*leadRows+r.n%leadRows] = v
		}
	}
	r.n++
	return nil
}

// Nearer brings bound, which is no less than the squared distance of x to some row, down to that of the nearest of rows from on, and
// returns it with the number of the first row that was not looked at: it ends early when bound is below enough. A comparison ends as
// soon as it cannot lower bound. An x of another length, or a from that is not 0 to Len, is [ErrShape].
func (r *RowSet) Nearer(x []float32, from int, bound, enough float32) (float32, int, error) {
	if len(x) != r.k || from < 0 || from > r.n {
		return bound, from, fmt.Errorf("tensor: nearer row: %w: %d values from row %d, want %d and 0 to %d", ErrShape, len(x), from, r.k, r.n)
	}
	if r.k >= native.RowLeads {
		if from == r.n {
			return bound, from, nil
		}
		bound, from = native.Lower(x, r.values, r.leads, r.k, from, r.n, bound, enough)
		return bound, from, nil
	}
	for ; from < r.n && bound >= enough; from++ {
		sum := float32(0)
		for j, v := range r.values[from*r.k:][:r.k] {
			sum += (x[j] - v) * (x[j] - v)
		}
		bound = min(bound, sum)
	}
	return bound, from, nil
}
