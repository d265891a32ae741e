package tsne

import "slices"

// maxDepth ends the division of a cell: its points are as good as at one place then.
const maxDepth = 40

// tree is a quadtree over points of the plane; its memory is used again by the next build.
type tree struct {
	y     [][2]float64
	order []int32 // points, those of a cell side by side
	place []int32 // where a point is in order
	spare []int32
	cells []cell
}

// cell is a square. Its points are order[from:to].
type cell struct {
	centre   [2]float64 // of mass
	side     float64
	from, to int32
	child    [4]int32 // 0 for none, since the root is nobody's child
	leaf     bool
}

// build makes the tree anew. It keeps y and reads it in repulsion.
func (t *tree) build(y [][2]float64) {
	n := len(y)
	if len(t.order) != n {
		t.order, t.place, t.spare = make([]int32, n), make([]int32, n), make([]int32, n)
	}
	t.y, t.cells = y, t.cells[:0]
	low, high := y[0], y[0]
	for i, p := range y {
		t.order[i] = int32(i)
		for k := range 2 {
			low[k], high[k] = min(low[k], p[k]), max(high[k], p[k])
		}
	}
	side := max(high[0]-low[0], high[1]-low[1])
	t.split(0, n, [2]float64{(low[0] + high[0]) / 2, (low[1] + high[1]) / 2}, side, 0)
	for k, i := range t.order {
		t.place[i] = int32(k)
	}
}

// split adds the cell of order[from:to], around middle, with all below it.
func (t *tree) split(from, to int, middle [2]float64, side float64, depth int) int32 {
	me := int32(len(t.cells))
	c := cell{side: side, from: int32(from), to: int32(to)}
	in := t.order[from:to]
	same := true
	for _, i := range in {
		for k := range 2 {
			c.centre[k] += t.y[i][k] / float64(len(in))
		}
		same = same && t.y[i] == t.y[in[0]]
	}
	c.leaf = same || depth == maxDepth
	t.cells = append(t.cells, c)
	if c.leaf {
		return me
	}
	// Each quarter in turn, in the order of the points.
	quarter := func(i int32) int {
		q := 0
		if t.y[i][0] > middle[0] {
			q = 1
		}
		if t.y[i][1] > middle[1] {
			q += 2
		}
		return q
	}
	var end [4]int
	for _, i := range in {
		end[quarter(i)]++
	}
	var next [4]int
	for q := 1; q < 4; q++ {
		next[q] = end[q-1]
		end[q] += end[q-1]
	}
	spare := t.spare[from:to]
	for _, i := range in {
		q := quarter(i)
		spare[next[q]] = i
		next[q]++
	}
	copy(in, spare)
	begin := 0
	for q, e := range end {
		if e > begin {
			m := middle
			m[0] += side / 4 * float64(2*(q&1)-1)
			m[1] += side / 4 * float64(q&2-1)
			child := t.split(from+begin, from+e, m, side/2, depth+1)
			t.cells[me].child[q] = child
		}
		begin = e
	}
	return me
}

// repulsion returns the sums of w^2 (y_i - y_j) and of w over the other points, with
// w = 1 / (1 + |y_i - y_j|^2). A cell that does not hold i and whose side is less than
// theta times its distance counts as its points at their centre.
func (t *tree) repulsion(i int, theta float64) (force [2]float64, z float64) {
	at, here := t.y[i], t.place[i]
	add := func(to [2]float64, count float64) {
		dx, dy := at[0]-to[0], at[1]-to[1]
		w := 1 / (1 + dx*dx + dy*dy)
		z += count * w
		force[0] += count * w * w * dx
		force[1] += count * w * w * dy
	}
	var room [4 * maxDepth]int32 // a cell leaves three that wait at each depth
	stack := append(room[:0], 0)
	for len(stack) > 0 {
		c := &t.cells[stack[len(stack)-1]]
		stack = stack[:len(stack)-1]
		holds := here >= c.from && here < c.to
		dx, dy := at[0]-c.centre[0], at[1]-c.centre[1]
		switch {
		case !holds && c.side*c.side < theta*theta*(dx*dx+dy*dy):
			add(c.centre, float64(c.to-c.from))
		case c.leaf:
			for _, j := range t.order[c.from:c.to] {
				if int(j) != i {
					add(t.y[j], 1)
				}
			}
		default:
			for _, child := range slices.Backward(c.child[:]) {
				if child != 0 {
					stack = append(stack, child)
				}
			}
		}
	}
	return force, z
}
