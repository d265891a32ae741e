package synth

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"
)

// denseTolerance is the project's bar for exactness on the 0 to 255 scale; float64 leaves about 1e-11.
const denseTolerance = 1e-6

// slowBlend is Poisson editing written as the textbook has it, without the library's reformulation: guidance field,
// divergence, right-hand side with the boundary moved to it, and a dense solve. It returns the unrounded values of the box
// of the mask by channel.
func slowBlend(dst, src *image.RGBA, mask *image.Gray, at image.Point, p Poisson) (image.Rectangle, [3][][]float64) {
	pw, ph := src.Rect.Dx(), src.Rect.Dy()
	m := func(x, y int) float64 {
		if x <= 0 || y <= 0 || x >= pw-1 || y >= ph-1 {
			return 0
		}
		if mask == nil {
			return 255
		}
		return float64(mask.GrayAt(mask.Rect.Min.X+x, mask.Rect.Min.Y+y).Y)
	}
	roi := image.Rectangle{}
	for y := range ph {
		for x := range pw {
			if m(x, y) > 0 {
				roi = roi.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	eroded := func(x, y int) float64 {
		v := 255.0
		for j := y - p.Erode; j <= y+p.Erode; j++ {
			for i := x - p.Erode; i <= x+p.Erode; i++ {
				if i >= 0 && j >= 0 && i < pw && j < ph {
					v = min(v, m(i, j))
				}
			}
		}
		return v / 255
	}
	w, h := roi.Dx(), roi.Dy()
	var res [3][][]float64
	for c := range 3 {
		val := func(im *image.RGBA, x, y int) float64 {
			return float64(im.Pix[im.PixOffset(im.Rect.Min.X+x, im.Rect.Min.Y+y)+c])
		}
		s := func(x, y int) float64 { return val(src, roi.Min.X+x, roi.Min.Y+y) }
		d := func(x, y int) float64 { return val(dst, at.X+roi.Min.X+x, at.Y+roi.Min.Y+y) }
		vx, vy := mat.NewDense(h, w, nil), mat.NewDense(h, w, nil)
		for y := range h - 1 {
			for x := range w - 1 {
				gsx, gsy := s(x+1, y)-s(x, y), s(x, y+1)-s(x, y)
				gdx, gdy := d(x+1, y)-d(x, y), d(x, y+1)-d(x, y)
				k := eroded(roi.Min.X+x, roi.Min.Y+y)
				if p.Mode == Mixed && !(math.Abs(gsx-gsy) > math.Abs(gdx-gdy)) {
					gsx, gsy = gdx, gdy
				}
				vx.Set(y, x, k*gsx+(1-k)*gdx)
				vy.Set(y, x, k*gsy+(1-k)*gdy)
			}
		}
		n := (w - 2) * (h - 2)
		a, b := mat.NewDense(n, n, nil), mat.NewVecDense(n, nil)
		id := func(x, y int) int { return (y-1)*(w-2) + x - 1 }
		for y := 1; y < h-1; y++ {
			for x := 1; x < w-1; x++ {
				i := id(x, y)
				a.Set(i, i, -4)
				r := vx.At(y, x) - vx.At(y, x-1) + vy.At(y, x) - vy.At(y-1, x)
				for _, q := range [4]image.Point{{x - 1, y}, {x + 1, y}, {x, y - 1}, {x, y + 1}} {
					if q.X == 0 || q.Y == 0 || q.X == w-1 || q.Y == h-1 {
						r -= d(q.X, q.Y)
					} else {
						a.Set(i, id(q.X, q.Y), 1)
					}
				}
				b.SetVec(i, r)
			}
		}
		var u mat.VecDense
		if err := u.SolveVec(a, b); err != nil {
			panic(err)
		}
		res[c] = make([][]float64, h)
		for y := range h {
			res[c][y] = make([]float64, w)
			for x := range w {
				if x == 0 || y == 0 || x == w-1 || y == h-1 {
					res[c][y][x] = d(x, y)
				} else {
					res[c][y][x] = u.AtVec(id(x, y))
				}
			}
		}
	}
	return roi, res
}

func noise(w, h int, rng *rand.Rand) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range m.Pix {
		m.Pix[i] = uint8(rng.IntN(256))
		if i%4 == 3 {
			m.Pix[i] = 255
		}
	}
	return m
}

func blob(w, h int, rng *rand.Rand) *image.Gray {
	m := image.NewGray(image.Rect(0, 0, w, h))
	for range 3 {
		cx, cy := float64(w)*(0.3+0.4*rng.Float64()), float64(h)*(0.3+0.4*rng.Float64())
		rx, ry := float64(w)*(0.2+0.3*rng.Float64()), float64(h)*(0.2+0.3*rng.Float64())
		for y := range h {
			for x := range w {
				dx, dy := (float64(x)-cx)/rx, (float64(y)-cy)/ry
				if dx*dx+dy*dy < 1 {
					m.Pix[y*m.Stride+x] = 255
				}
			}
		}
	}
	return m
}

// unrounded runs the library's blending up to the rounding.
func unrounded(t *testing.T, b *Blender, dst, src *image.RGBA, mask *image.Gray, at image.Point, p Poisson) (image.Rectangle, func(c, x, y int) float64) {
	t.Helper()
	roi := maskBox(src.Rect.Dx(), src.Rect.Dy(), mask)
	w := b.work()
	require.True(t, w.erode(roi, src.Rect.Size(), mask, p.Erode))
	f := w.begin(b, roi.Dx()-2, roi.Dy()-2)
	w.guidance(f, dst, src, roi.Min.Add(at), roi.Min, p.Mode)
	f.solve()
	return roi, func(c, x, y int) float64 {
		o := dst.PixOffset(at.X+roi.Min.X+x, at.Y+roi.Min.Y+y)
		return float64(dst.Pix[o+c]) + f.q[c*f.nx*f.ny+(x-1)*f.sx+(y-1)*f.sy]
	}
}

func TestBlendEqualsDenseSolve(t *testing.T) {
	// Patch sides: odd and even, with n+1 smooth (unknowns: side less 4) and prime.
	sides := [][2]int{{9, 9}, {10, 13}, {14, 9}, {15, 15}, {16, 17}, {21, 12}, {11, 22}, {23, 20}}
	for i, s := range sides {
		for _, mode := range []Mode{Normal, Mixed} {
			for _, masked := range []bool{false, true} {
				t.Run(fmt.Sprintf("%dx%d/%d/%v", s[0], s[1], mode, masked), func(t *testing.T) {
					rng := rand.New(rand.NewPCG(uint64(i), 7))
					dst, src := noise(30, 29, rng), noise(s[0], s[1], rng)
					var mask *image.Gray
					p := Poisson{Mode: mode, Erode: 3}
					if masked {
						mask, p.Erode = blob(s[0], s[1], rng), 1
						for k := range mask.Pix {
							if mask.Pix[k] > 0 && k%5 == 0 {
								mask.Pix[k] = 100 // a weight between
							}
						}
					}
					at := image.Pt(rng.IntN(30-s[0]+1), rng.IntN(29-s[1]+1))
					roi, want := slowBlend(dst, src, mask, at, p)
					got, v := unrounded(t, &Blender{}, dst, src, mask, at, p)
					require.Equal(t, roi, got)
					most := 0.0
					for c := range 3 {
						for y := 1; y < roi.Dy()-1; y++ {
							for x := 1; x < roi.Dx()-1; x++ {
								most = max(most, math.Abs(want[c][y][x]-v(c, x, y)))
							}
						}
					}
					require.Less(t, most, denseTolerance)
				})
			}
		}
	}
}

// TestSineKindsAgree compares every way of computing a transform with the sum that defines it, and the round trip.
func TestSineKindsAgree(t *testing.T) {
	const tol = 1e-9 // relative to values up to 255 summed over n of them
	rng := rand.New(rand.NewPCG(3, 3))
	for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 16, 21, 30, 46, 47, 64, 97, 126, 127, 130, 191} {
		for _, kind := range []sineKind{sineByTable, sineByFourier} {
			s := newSine(n, kind)
			for _, rows := range []int{1, 2, 7} {
				q := make([]float64, n*rows)
				for i := range q {
					q[i] = 510*rng.Float64() - 255
				}
				in := append([]float64(nil), q...)
				room := make([]float64, s.room)
				s.forward(q, rows, room)
				for i, l := range s.eigen {
					// The eigenvalue says which frequency stands at i.
					k := math.Round(math.Acos((l+4)/2) / math.Pi * float64(n+1))
					for r := range rows {
						want := 0.0
						for j := range n {
							want += in[r*n+j] * math.Sin(math.Pi*float64(j+1)*k/float64(n+1))
						}
						require.InDelta(t, want, q[r*n+i], tol*float64(n)*255, "n %d kind %d row %d frequency %v", n, kind, r, k)
					}
				}
				s.inverse(q, rows, room)
				for i := range q {
					require.InDelta(t, in[i], q[i]*s.scale, tol*255)
				}
			}
		}
	}
}

// TestSolveFindsKnownSolution checks sizes too large for a dense solve, each kind of transform: the right-hand side is made
// from a solution of grey levels, coarse and fine structure together, which has to come back.
func TestSolveFindsKnownSolution(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, size := range [][2]int{{1, 1}, {1, 9}, {7, 1}, {2, 2}, {126, 128}, {255, 100}, {282, 140}, {508, 60}, {1020, 301}, {1023, 20}} {
		for _, kind := range []sineKind{sineByTable, sineByFourier} {
			f := &field{nx: size[0], ny: size[1], sx: 1, sy: size[0], rows: size[1], plan: newSine(size[0], kind)}
			n := f.nx * f.ny
			want := make([]float64, 3*n)
			for i := range want {
				x, y := float64(i%f.nx+1)/float64(f.nx+1), float64(i%n/f.nx+1)/float64(f.ny+1)
				want[i] = math.Round(1500*x*(1-x)*y*(1-y)) * float64(1+i/n)
				if size[1] < 200 {
					want[i] += float64(rng.IntN(511) - 255)
				}
			}
			at := func(c, x, y int) float64 {
				if x < 0 || y < 0 || x >= f.nx || y >= f.ny {
					return 0
				}
				return want[c*n+y*f.nx+x]
			}
			f.q = make([]float64, 3*n)
			for c := range 3 {
				for y := range f.ny {
					for x := range f.nx {
						f.q[c*n+y*f.nx+x] = at(c, x-1, y) + at(c, x+1, y) + at(c, x, y-1) + at(c, x, y+1) - 4*at(c, x, y)
					}
				}
			}
			f.solve()
			most := 0.0
			for i, v := range f.q {
				most = max(most, math.Abs(v-want[i]))
			}
			t.Logf("%v kind %d: %.1e", size, kind, most)
			require.Less(t, most, denseTolerance, "%v kind %d", size, kind)
		}
	}
}
