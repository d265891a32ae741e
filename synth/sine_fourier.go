package synth

import (
	"math"
	"math/cmplx"
	"sync"
)

// sineFourier makes sine transforms of n-1 values from a discrete Fourier transform of length n: directly where fft takes
// n, as a convolution of a length that it takes otherwise (Bluestein 1970), so that no length is slow. Two real rows go
// through one complex transform.
type sineFourier struct {
	n      int
	fft    *fft
	half   []float64    // sin(pi*j/n)
	wave   []complex128 // exp(-i*pi*j*j/n); nil: direct
	filter []complex128 // transform of the conjugate wave
	pool   sync.Pool
}

type fourierWork struct{ a, b, z []complex128 }

func newSineFourier(n int) *sineFourier {
	c := &sineFourier{n: n, half: make([]float64, n)}
	for j := range n {
		c.half[j] = math.Sin(math.Pi * float64(j) / float64(n))
	}
	m := fftLength(n)
	if m != n {
		m = fftLength(2*n - 1)
	}
	c.fft = newFFT(m)
	if m != n {
		c.wave = make([]complex128, n)
		f := make([]complex128, m)
		for j := range n {
			// j*j modulo 2n keeps the angle small and so exact.
			c.wave[j] = cmplx.Rect(1, -math.Pi*float64(j*j%(2*n))/float64(n))
			v := cmplx.Conj(c.wave[j]) / complex(float64(m), 0) // the way back has to divide by m
			f[j] = v
			if j > 0 {
				f[m-j] = v
			}
		}
		c.filter = c.fft.transform(f, make([]complex128, m))
	}
	c.pool.New = func() any {
		return &fourierWork{a: make([]complex128, m), b: make([]complex128, m), z: make([]complex128, n)}
	}
	return c
}

// bytes is the size of the tables and of one set of work buffers.
func (c *sineFourier) bytes() int {
	return 8*len(c.half) + 16*(2*len(c.wave)+len(c.filter)+3*c.fft.n)
}

// rows replaces each row of q, of n-1 values, by its sine transform.
func (c *sineFourier) rows(q []float64, rows, width int) {
	w := c.pool.Get().(*fourierWork)
	for r := 0; r < rows; r += 2 {
		f := q[r*width : (r+1)*width]
		g := f
		if r+1 < rows {
			g = q[(r+1)*width : (r+2)*width]
		}
		c.pair(f, g, w)
	}
	c.pool.Put(w)
}

// pair transforms two rows. With y[j] = sin(pi*j/n)*(f[j]+f[n-j]) + (f[j]-f[n-j])/2 and Y its Fourier transform, the sine
// transform has F[2k] = -Im Y[k] and F[2k+1] = F[2k-1] + Re Y[k], F[1] = Re Y[0]/2.
func (c *sineFourier) pair(f, g []float64, w *fourierWork) {
	n := c.n
	clear(w.a[n:])
	w.a[0] = 0
	for j := 1; j < n; j++ {
		s := c.half[j]
		yf := s*(f[j-1]+f[n-j-1]) + 0.5*(f[j-1]-f[n-j-1])
		yg := s*(g[j-1]+g[n-j-1]) + 0.5*(g[j-1]-g[n-j-1])
		w.a[j] = complex(yf, yg)
	}
	z := c.dft(w)
	// z = Y(f) + i*Y(g); both are transforms of real rows, so z[k] and z[n-k] tell them apart.
	af, ag := real(z[0])/2, imag(z[0])/2
	f[0], g[0] = af, ag
	for k := 1; 2*k < n; k++ {
		p, m := z[k], z[n-k]
		if 2*k <= n-1 {
			f[2*k-1] = -(imag(p) - imag(m)) / 2
			g[2*k-1] = (real(p) - real(m)) / 2
		}
		if 2*k+1 <= n-1 {
			af += (real(p) + real(m)) / 2
			ag += (imag(p) + imag(m)) / 2
			f[2*k], g[2*k] = af, ag
		}
	}
}

// dft returns the Fourier transform of the n values in w.a; zeros follow them there.
func (c *sineFourier) dft(w *fourierWork) []complex128 {
	if c.wave == nil {
		return c.fft.transform(w.a, w.b)
	}
	for j, t := range c.wave {
		w.a[j] *= t
	}
	v := c.fft.transform(w.a, w.b)
	for i, t := range c.filter {
		v[i] *= t
	}
	// The way back is the same transform read backwards.
	other := w.a
	if &v[0] == &w.a[0] {
		other = w.b
	}
	v = c.fft.transform(v, other)
	z := w.z
	z[0] = v[0] * c.wave[0]
	for k := 1; k < c.n; k++ {
		z[k] = v[len(v)-k] * c.wave[k]
	}
	return z
}
