package synth

import "math"

// tables fills the tables. sin(pi*(N-j)*k/N) = sin(pi*j*k/N) for odd k and its negative for even k, so odd frequencies need
// the sums f[j]+f[N-j] only and even ones the differences: two products of half the size instead of one.
func (s *sine) tables() {
	n, N := s.n, s.n+1
	s.room = 4 * n
	no, ne := (n+1)/2, n/2
	period := make([]float64, 2*N) // sin(pi*i/N)
	for i := range period {
		period[i] = math.Sin(math.Pi * float64(i) / float64(N))
	}
	s.odd, s.oddT = make([]float64, no*no), make([]float64, no*no)
	for i := range no {
		for j := range no {
			v := period[(2*i+1)*(j+1)%(2*N)]
			s.odd[i*no+j], s.oddT[j*no+i] = v, v
		}
	}
	s.even, s.evenT = make([]float64, ne*ne), make([]float64, ne*ne)
	for i := range ne {
		for j := range ne {
			v := period[2*(i+1)*(j+1)%(2*N)]
			s.even[i*ne+j], s.evenT[j*ne+i] = v, v
		}
	}
}

// tableForward transforms rows in place; odd frequencies come first.
func (s *sine) tableForward(q []float64, rows int, room []float64) {
	n := s.n
	no := (n + 1) / 2
	for r := 0; r < rows; r += 4 {
		k := min(4, rows-r)
		for i := range 4 {
			// Beyond the last row the last one is computed again, so that the kernel always has four.
			v := q[(r+min(i, k-1))*n:][:n]
			fold(room[i*n:(i+1)*n], v, no)
		}
		var out [4][]float64
		for i := range 4 {
			out[i] = q[(r+min(i, k-1))*n:][:n]
		}
		mul4(&out, 0, room, 0, n, s.odd, no)
		mul4(&out, no, room, no, n, s.even, n-no)
	}
}

// fold writes sums f[j]+f[N-j], then differences.
func fold(out, v []float64, no int) {
	n := len(v)
	sum, dif := out[:no], out[no:n]
	for j := range dif {
		a, b := v[j], v[n-1-j]
		sum[j], dif[j] = a+b, a-b
	}
	if no > len(dif) {
		sum[no-1] = v[no-1]
	}
}

// tableInverse undoes tableForward but for the scale.
func (s *sine) tableInverse(q []float64, rows int, room []float64) {
	n := s.n
	no := (n + 1) / 2
	for r := 0; r < rows; r += 4 {
		k := min(4, rows-r)
		var out [4][]float64
		for i := range 4 {
			v := q[(r+min(i, k-1))*n:][:n]
			copy(room[i*n:(i+1)*n], v)
			out[i] = v
		}
		mul4(&out, 0, room, 0, n, s.oddT, no)
		mul4(&out, no, room, no, n, s.evenT, n-no)
		for i := range k {
			v := out[i]
			copy(room[:n], v)
			sum, dif := room[:no], room[no:n]
			for j := range dif {
				v[j], v[n-1-j] = sum[j]+dif[j], sum[j]-dif[j]
			}
			if no > len(dif) {
				v[no-1] = sum[no-1]
			}
		}
	}
}

// mul4 writes the products of the m x m table with the m values from offset in each of four rows of stride n.
func mul4(out *[4][]float64, at int, in []float64, offset, n int, table []float64, m int) {
	a0, a1 := in[offset:offset+m], in[n+offset:n+offset+m]
	a2, a3 := in[2*n+offset:2*n+offset+m], in[3*n+offset:3*n+offset+m]
	o0, o1, o2, o3 := out[0][at:at+m], out[1][at:at+m], out[2][at:at+m], out[3][at:at+m]
	i := 0
	for ; i+1 < m; i += 2 {
		o0[i], o0[i+1], o1[i], o1[i+1], o2[i], o2[i+1], o3[i], o3[i+1] =
			dots4x2(a0, a1, a2, a3, table[i*m:(i+1)*m], table[(i+1)*m:(i+2)*m])
	}
	if i < m {
		t := table[i*m : (i+1)*m]
		o0[i], _, o1[i], _, o2[i], _, o3[i], _ = dots4x2(a0, a1, a2, a3, t, t)
	}
}

// dots4x2 is the eight inner products of four rows with two: enough work between loads to keep both adders busy.
func dots4x2(a0, a1, a2, a3, t0, t1 []float64) (s00, s01, s10, s11, s20, s21, s30, s31 float64) {
	n := len(t0)
	a0, a1, a2, a3, t1 = a0[:n], a1[:n], a2[:n], a3[:n], t1[:n]
	for j := range t0 {
		u, v := t0[j], t1[j]
		s00 += a0[j] * u
		s01 += a0[j] * v
		s10 += a1[j] * u
		s11 += a1[j] * v
		s20 += a2[j] * u
		s21 += a2[j] * v
		s30 += a3[j] * u
		s31 += a3[j] * v
	}
	return
}
