package synth

import (
	"math"
	"math/bits"
	"math/cmplx"
)

// fft is the complex Fourier transform of a length 2^a or 3*2^a, y[k] = sum of x[j]*exp(-2*pi*i*j*k/n), by Stockham's
// self-sorting passes of radix 4 with one of radix 2 or 3 at the end. It is immutable and safe for concurrent use.
type fft struct {
	n    int
	wave []complex128 // exp(-2*pi*i*p/n)
}

// fftLength is the least length from n on that fft takes.
func fftLength(n int) int {
	m := 1 << bits.Len(uint(n-1))
	if 3*m/4 >= n && m >= 4 {
		return 3 * m / 4
	}
	return m
}

func newFFT(n int) *fft {
	f := &fft{n: n, wave: make([]complex128, n)}
	for p := range f.wave {
		f.wave[p] = cmplx.Rect(1, -2*math.Pi*float64(p)/float64(n))
	}
	return f
}

// transform returns the transform of x, which is either x or y; both have n values and are overwritten.
func (f *fft) transform(x, y []complex128) []complex128 {
	n, s := f.n, 1
	for ; n%4 == 0; n, s = n/4, 4*s {
		f.pass4(n, s, x, y)
		x, y = y, x
	}
	switch n {
	case 1:
		return x
	case 2:
		pass2(s, x, y)
	case 3:
		pass3(s, x, y)
	case 6:
		f.pass2Twisted(n, s, x, y)
		x, y = y, x
		pass3(2*s, x, y)
	}
	return y
}

// pass4 does one radix-4 step on s interleaved sequences of n values.
func (f *fft) pass4(n, s int, x, y []complex128) {
	m := n / 4
	for p := range m {
		w1, w2, w3 := f.wave[p*s], f.wave[2*p*s], f.wave[3*p*s]
		xa, xb, xc, xd := x[s*p:][:s], x[s*(p+m):][:s], x[s*(p+2*m):][:s], x[s*(p+3*m):][:s]
		ya, yb, yc, yd := y[4*s*p:][:s], y[s*(4*p+1):][:s], y[s*(4*p+2):][:s], y[s*(4*p+3):][:s]
		for q, a := range xa {
			b, c, d := xb[q], xc[q], xd[q]
			ac, bd := a+c, b+d
			dif, u := a-c, b-d
			turn := complex(-imag(u), real(u)) // i*(b-d)
			ya[q] = ac + bd
			yb[q] = w1 * (dif - turn)
			yc[q] = w2 * (ac - bd)
			yd[q] = w3 * (dif + turn)
		}
	}
}

// pass2Twisted does one radix-2 step that is not the last.
func (f *fft) pass2Twisted(n, s int, x, y []complex128) {
	m := n / 2
	for p := range m {
		w := f.wave[p*s]
		for q := range s {
			a, b := x[q+s*p], x[q+s*(p+m)]
			y[q+s*2*p], y[q+s*(2*p+1)] = a+b, w*(a-b)
		}
	}
}

func pass2(s int, x, y []complex128) {
	for q := range s {
		y[q], y[q+s] = x[q]+x[q+s], x[q]-x[q+s]
	}
}

func pass3(s int, x, y []complex128) {
	h := math.Sqrt(3) / 2
	for q := range s {
		a, b, c := x[q], x[q+s], x[q+2*s]
		sum, dif := b+c, b-c
		mid := a - complex(real(sum)/2, imag(sum)/2)
		turn := complex(h*imag(dif), -h*real(dif)) // -i*h*(b-c)
		y[q], y[q+s], y[q+2*s] = a+sum, mid+turn, mid-turn
	}
}
