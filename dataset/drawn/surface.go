package drawn

import (
	"image"
	"math"
	"math/rand/v2"
)

// over is how many surface points an image's pixel is averaged from, in each
// direction: it is what smooths the edges.
const over = 2

// rgb is a colour, each channel from 0 to 1.
type rgb [3]float64

func (c rgb) times(f float64) rgb { return rgb{c[0] * f, c[1] * f, c[2] * f} }

func (c rgb) toward(d rgb, t float64) rgb {
	return rgb{lerp(c[0], d[0], t), lerp(c[1], d[1], t), lerp(c[2], d[2], t)}
}

// surface is a square relief of side n points and of side 1 in its own units.
type surface struct {
	n      int
	height []float64 // in sides of the image, positive toward the viewer
	colour []rgb
	gloss  []float64 // strength of the mirrored lamp, 0 to 1
}

func newSurface(n int) *surface {
	return &surface{n: n, height: make([]float64, n*n), colour: make([]rgb, n*n), gloss: make([]float64, n*n)}
}

// each calls fn for every point with its place.
func (s *surface) each(fn func(i int, x, y float64)) {
	for r := range s.n {
		for c := range s.n {
			fn(r*s.n+c, (float64(c)+0.5)/float64(s.n), (float64(r)+0.5)/float64(s.n))
		}
	}
}

// within calls fn for the points of the square of half side r around (cx, cy)
// that lie on the surface.
func (s *surface) within(cx, cy, r float64, fn func(i int, x, y float64)) {
	n := float64(s.n)
	x0, x1 := max(0, int((cx-r)*n)), min(s.n-1, int((cx+r)*n)+1)
	y0, y1 := max(0, int((cy-r)*n)), min(s.n-1, int((cy+r)*n)+1)
	for y := y0; y <= y1; y++ {
		for x := x0; x <= x1; x++ {
			fn(y*s.n+x, (float64(x)+0.5)/n, (float64(y)+0.5)/n)
		}
	}
}

// lamp is the light of one image and the camera that took it.
type lamp struct {
	x, y, z  float64 // direction toward the lamp, of length 1
	ambient  float64 // share of light that comes from everywhere
	exposure float64
	tilt     [2]float64 // change of brightness across the image
	balance  rgb
	sharp    float64 // exponent of the mirrored lamp
	noise    float64 // deviation of the sensor's noise, in grey levels
	grain    uint64  // seed of the noise
}

// newLamp draws a lamp that stands toward the upper left, as on a line where
// every station is set up alike: direction, brightness and white vary a little.
func newLamp(r *rand.Rand) lamp {
	turn := -2.3 + 0.25*(2*r.Float64()-1)
	rise := 0.75 + 0.1*(2*r.Float64()-1)
	l := lamp{
		x: math.Cos(turn) * math.Cos(rise), y: math.Sin(turn) * math.Cos(rise), z: math.Sin(rise),
		ambient:  0.45,
		exposure: 1 + 0.05*(2*r.Float64()-1),
		tilt:     [2]float64{0.08 * (2*r.Float64() - 1), 0.08 * (2*r.Float64() - 1)},
		sharp:    18,
		noise:    1.6 + 0.6*r.Float64(),
	}
	for c := range l.balance {
		l.balance[c] = 1 + 0.015*(2*r.Float64()-1)
	}
	l.grain = r.Uint64()
	return l
}

// photograph lights the surface and takes its image.
func (s *surface) photograph(l lamp) *image.RGBA {
	side := s.n / over
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	grain := rand.New(rand.NewPCG(l.grain, 1))
	half := half(l)
	flat := math.Pow(half[2], l.sharp)
	for y := range side {
		for x := range side {
			var sum rgb
			for k := range over * over {
				p := s.shade(x*over+k%over, y*over+k/over, l, half, flat)
				for c := range sum {
					sum[c] += p[c] / (over * over)
				}
			}
			fx, fy := (float64(x)+0.5)/float64(side)-0.5, (float64(y)+0.5)/float64(side)-0.5
			bright := l.exposure * (1 + l.tilt[0]*fx + l.tilt[1]*fy)
			o := img.PixOffset(x, y)
			luma := grain.NormFloat64() * l.noise
			for c := range sum {
				v := 255*sum[c]*bright*l.balance[c] + luma + 0.5*l.noise*grain.NormFloat64()
				img.Pix[o+c] = uint8(clamp(math.Round(v), 0, 255))
			}
			img.Pix[o+3] = 255
		}
	}
	return img
}

// half is the direction between lamp and viewer.
func half(l lamp) [3]float64 {
	d := math.Sqrt(l.x*l.x + l.y*l.y + (l.z+1)*(l.z+1))
	return [3]float64{l.x / d, l.y / d, (l.z + 1) / d}
}

// shade gives the colour that a point shows: Lambert's law for the body, a
// mirrored lamp (Blinn 1977) for the gloss, both equal to the plain colour
// where the surface is flat.
func (s *surface) shade(x, y int, l lamp, half [3]float64, flat float64) rgb {
	n := s.n
	i := y*n + x
	xl, xr := max(x-1, 0), min(x+1, n-1)
	yu, yd := max(y-1, 0), min(y+1, n-1)
	dx := (s.height[y*n+xr] - s.height[y*n+xl]) * float64(n) / float64(xr-xl)
	dy := (s.height[yd*n+x] - s.height[yu*n+x]) * float64(n) / float64(yd-yu)
	inv := 1 / math.Sqrt(dx*dx+dy*dy+1)
	body := max(0, (-dx*l.x-dy*l.y+l.z)*inv) / l.z
	out := s.colour[i].times(l.ambient + (1-l.ambient)*body)
	if g := s.gloss[i]; g > 0 {
		m := max(0, (-dx*half[0]-dy*half[1]+half[2])*inv)
		add := g * (math.Pow(m, l.sharp) - flat)
		for c := range out {
			out[c] += add
		}
	}
	return out
}
