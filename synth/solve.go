package synth

// field is the right-hand side and then the solution of the five-point Laplace equation on nx x ny unknowns with zero
// around them, three channels. It is laid out so that the sine transform runs along contiguous memory, along whichever
// axis has the cheaper transform.
type field struct {
	q      []float64 // three planes of rows x plan.n
	nx, ny int
	sx, sy int // strides of x and y
	rows   int // rows of a plane as laid out
	plan   *sine
	half   []float64 // the equations of every second row
	pivot  []float64
	zero   []float64
	room   []float64 // for the transform
}

// begin lays a field out for nx x ny unknowns.
func (w *blendWork) begin(b *Blender, nx, ny int) *field {
	px := b.plan(nx)
	py := px
	if ny != nx {
		py = b.plan(ny)
	}
	f := &w.field
	f.nx, f.ny = nx, ny
	f.q = grow(f.q, 3*nx*ny)
	if px.cost*float64(ny) <= py.cost*float64(nx) {
		f.plan, f.sx, f.sy, f.rows = px, 1, nx, ny
	} else {
		f.plan, f.sx, f.sy, f.rows = py, ny, 1, nx
	}
	return f
}

// solve replaces the right-hand side by the solution of laplace(u) = q with u = 0 around, in three exact steps (Hockney
// 1965, with one step of cyclic reduction). With T the operator of one row, (1, -4, 1), row j says
//
//	u[j-1] + T u[j] + u[j+1] = q[j].
//
// First rows 2, 4, 6, ... are freed of the rows between them: neighbours added, own row times -T,
//
//	u[j-2] + (2-T*T) u[j] + u[j+2] = q[j-1] - T q[j] + q[j+1].
//
// Second a sine transform along the row turns T into its eigenvalue, so each frequency is a small system down the rows,
// which elimination solves, and the transform leads back. Third each row between is T u[j] = q[j] - u[j-1] - u[j+1], solved
// along the row. Compared with sine transforms in both directions this needs a quarter of the transforms, for the same
// result. All systems are dominated by their diagonal: no pivoting, no loss of digits.
func (f *field) solve() {
	n, rows := f.plan.n, f.rows
	plane, even := n*rows, rows/2
	f.zero = grow(f.zero, n)
	clear(f.zero)
	if even > 0 {
		f.half = grow(f.half, 3*even*n)
		f.room = grow(f.room, f.plan.room)
		for c := range 3 {
			q := f.q[c*plane : (c+1)*plane]
			for i := range even {
				j := 2*i + 1 // counted from 0
				below := f.zero
				if j+1 < rows {
					below = q[(j+1)*n : (j+2)*n]
				}
				reduceRow(f.half[(c*even+i)*n:(c*even+i+1)*n], q[(j-1)*n:j*n], q[j*n:(j+1)*n], below)
			}
		}
		f.plan.forward(f.half, 3*even, f.room)
		f.eliminate(even, rows%2 == 0)
		f.plan.inverse(f.half, 3*even, f.room)
		for c := range 3 {
			for i := range even {
				copy(f.q[c*plane+(2*i+1)*n:][:n], f.half[(c*even+i)*n:])
			}
		}
	}
	f.pivot = grow(f.pivot, n)
	p := 0.0
	for i := range n {
		p = 1 / (-4 - p)
		f.pivot[i] = p
	}
	for j := 0; j < rows; j += 2 {
		var at [3]rowSystem
		for c := range 3 {
			q := f.q[c*plane : (c+1)*plane]
			at[c] = rowSystem{q[j*n : (j+1)*n], f.zero, f.zero}
			if j > 0 {
				at[c].above = q[(j-1)*n : j*n]
			}
			if j+1 < rows {
				at[c].below = q[(j+1)*n : (j+2)*n]
			}
		}
		solveRows(&at, f.pivot)
	}
}

// reduceRow writes above - T*q + below.
func reduceRow(out, above, q, below []float64) {
	n := len(out)
	above, q, below = above[:n], q[:n], below[:n]
	left := 0.0
	for i := 0; i < n-1; i++ {
		out[i] = above[i] + below[i] + 4*q[i] - left - q[i+1]
		left = q[i]
	}
	out[n-1] = above[n-1] + below[n-1] + 4*q[n-1] - left
}

// eliminate solves, for every frequency, the system of the rows in half: 1 beside the diagonal, 2-l*l on it; the last row
// has 1-l*l where the row behind it was the border (cut).
func (f *field) eliminate(rows int, cut bool) {
	n := f.plan.n
	f.pivot = grow(f.pivot, n*rows)
	last := f.zero
	for j := range rows {
		p := f.pivot[j*n : (j+1)*n]
		d := 2.0
		if cut && j == rows-1 {
			d = 1
		}
		last = last[:len(p)]
		for k, l := range f.plan.eigen[:len(p)] {
			p[k] = 1 / (d - l*l - last[k])
		}
		last = p
	}
	for c := range 3 {
		q := f.half[c*n*rows : (c+1)*n*rows]
		before := f.zero
		for j := range rows {
			v := q[j*n : (j+1)*n]
			eliminateRow(v, before, f.pivot[j*n:(j+1)*n], f.plan.scale)
			before = v
		}
		for j := rows - 2; j >= 0; j-- {
			backRow(q[j*n:(j+1)*n], q[(j+1)*n:(j+2)*n], f.pivot[j*n:(j+1)*n])
		}
	}
}

func eliminateRow(q, before, pivot []float64, scale float64) {
	before, pivot = before[:len(q)], pivot[:len(q)]
	for k := range q {
		q[k] = (scale*q[k] - before[k]) * pivot[k]
	}
}

func backRow(q, after, pivot []float64) {
	after, pivot = after[:len(q)], pivot[:len(q)]
	for k := range q {
		q[k] -= pivot[k] * after[k]
	}
}

// rowSystem is one row of unknowns, its right-hand side in place, between two known rows.
type rowSystem struct{ q, above, below []float64 }

// solveRows solves T u = q - above - below in place for the three channels side by side: each is a chain of dependent
// steps, three of them fill the processor better than one.
func solveRows(s *[3]rowSystem, pivot []float64) {
	n := len(pivot)
	q0, a0, b0 := s[0].q[:n], s[0].above[:n], s[0].below[:n]
	q1, a1, b1 := s[1].q[:n], s[1].above[:n], s[1].below[:n]
	q2, a2, b2 := s[2].q[:n], s[2].above[:n], s[2].below[:n]
	var u0, u1, u2 float64
	for i, p := range pivot {
		u0 = (q0[i] - a0[i] - b0[i] - u0) * p
		u1 = (q1[i] - a1[i] - b1[i] - u1) * p
		u2 = (q2[i] - a2[i] - b2[i] - u2) * p
		q0[i], q1[i], q2[i] = u0, u1, u2
	}
	for i := n - 2; i >= 0; i-- {
		p := pivot[i]
		u0, u1, u2 = q0[i]-p*u0, q1[i]-p*u1, q2[i]-p*u2
		q0[i], q1[i], q2[i] = u0, u1, u2
	}
}
