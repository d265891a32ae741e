package synth

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
)

// Textures is where Perlin takes the material from that it lays over the image.
type Textures interface {
	// Texture fills dst, whose origin is (0,0), with a texture that rng picks; alpha is 255. It is called by many
	// goroutines at once, each with its own dst and rng.
	Texture(dst *image.RGBA, rng *rand.Rand) error
}

// checkTexture checks what a source of textures is given.
func checkTexture(dst *image.RGBA, rng *rand.Rand) error {
	if rng == nil {
		return fmt.Errorf("synth: texture: %w", ErrNoRand)
	}
	if err := usable(dst); err != nil {
		return fmt.Errorf("synth: texture: %w", err)
	}
	if dst.Rect.Empty() {
		return fmt.Errorf("synth: texture: the image is empty: %w", ErrImage)
	}
	return nil
}

// TextureImages are images of textures, for example those of the Describable Textures Dataset (DRAEM's source). One is
// picked and resized to the size that is asked for, without regard to its ratio of sides and without smoothing.
// An *image.RGBA is used as it is, every other type is converted at each call.
type TextureImages []image.Image

// Texture implements Textures. ErrImage says that there is no image or that one is too small.
func (t TextureImages) Texture(dst *image.RGBA, rng *rand.Rand) error {
	if err := checkTexture(dst, rng); err != nil {
		return err
	}
	if len(t) == 0 {
		return fmt.Errorf("synth: texture: there are no images: %w", ErrImage)
	}
	k := rng.IntN(len(t))
	m, err := asRGBA(fmt.Sprintf("texture %d", k), t[k])
	if err != nil {
		return err
	}
	w, h, sw, sh := dst.Rect.Dx(), dst.Rect.Dy(), m.Rect.Dx(), m.Rect.Dy()
	resizeBilinear(dst.Pix, dst.Stride, w, h, m.Pix, m.Stride, sw, sh, 4, float64(sw)/float64(w), float64(sh)/float64(h))
	opaque(dst)
	return nil
}

func opaque(m *image.RGBA) {
	for i := 3; i < len(m.Pix); i += 4 {
		m.Pix[i] = 255
	}
}

// DrawnTextures draws its textures, for those who have no images: clouds, stripes, weaves, cells, spots and grain, in two
// random colours, at a random scale and turn. The zero value is ready.
type DrawnTextures struct{}

// Texture implements Textures. It never fails.
func (DrawnTextures) Texture(dst *image.RGBA, rng *rand.Rand) error {
	if err := checkTexture(dst, rng); err != nil {
		return err
	}
	w, h := dst.Rect.Dx(), dst.Rect.Dy()
	var ramp [256][3]uint8
	for c := range 3 {
		a, b := 255*rng.Float64(), 255*rng.Float64()
		for i := range ramp {
			ramp[i][c] = uint8(a + (b-a)*float64(i)/255 + 0.5)
		}
	}
	kind := rng.IntN(6)
	// One period, in pixels, evenly on a logarithmic scale from 3 to 64, and no longer than the image.
	period := min(3*math.Exp(rng.Float64()*math.Log(64./3)), float64(max(w, h)))
	sin, cos := math.Sincos(2 * math.Pi * rng.Float64())
	soft := 0.25 + 0.75*rng.Float64() // how far the pattern goes beyond the ends of the ramp
	level := func(v float64) int { return int(min(max((v-0.5)/soft+0.5, 0), 1) * 255) }
	var paint func(x, y float64) float64 // 0 to 1, x and y in periods
	switch kind {
	case 0: // clouds: three octaves
		var n [3]lattice
		for o := range n {
			side := float64(int(1) << o)
			n[o].reset(cells(h, period/side), cells(w, period/side), rng)
		}
		for y := range h {
			row := dst.Pix[y*dst.Stride : y*dst.Stride+4*w]
			for x := range w {
				v, gain := 0.5, 0.5
				for o := range n {
					v += gain * n[o].at(float64(y)*float64(n[o].rows)/float64(h), float64(x)*float64(n[o].cols)/float64(w))
					gain /= 2
				}
				put(row[4*x:4*x+4], ramp[level(v)])
			}
		}
		return nil
	case 1: // stripes
		var wave [1024]float64
		for i := range wave {
			wave[i] = 0.5 + 0.5*math.Sin(2*math.Pi*float64(i)/1024)
		}
		paint = func(x, y float64) float64 { return wave[int(1024*(x-math.Floor(x)))&1023] }
	case 2: // weave: over and under in turns, darker towards the edge of a thread
		paint = func(x, y float64) float64 {
			i, j := math.Floor(x), math.Floor(y)
			u, v := x-i-0.5, y-j-0.5
			if int(i+j)&1 == 0 {
				return 1 - 4*u*u
			}
			return 0.7 * (1 - 4*v*v)
		}
	case 3, 4: // cells and spots: distance to the nearest of one point a square
		salt := rng.Uint64()
		paint = func(x, y float64) float64 {
			i, j := math.Floor(x), math.Floor(y)
			best := 4.0
			for b := j - 1; b <= j+1; b++ {
				for a := i - 1; a <= i+1; a++ {
					k := scramble(uint64(int64(a))*0x9E3779B97F4A7C15 ^ uint64(int64(b))*0xC2B2AE3D27D4EB4F ^ salt)
					dx, dy := x-a-float64(k&0xFFFF)/65536, y-b-float64(k>>16&0xFFFF)/65536
					best = min(best, dx*dx+dy*dy)
				}
			}
			if kind == 3 {
				return math.Sqrt(best)
			}
			if best < 0.09 {
				return 1
			}
			return 0
		}
	default: // grain: a value for every square of the period
		salt := rng.Uint64()
		paint = func(x, y float64) float64 {
			k := scramble(uint64(int64(math.Floor(x)))*0x9E3779B97F4A7C15 ^ uint64(int64(math.Floor(y)))*0xC2B2AE3D27D4EB4F ^ salt)
			return float64(k&0xFFFF) / 65536
		}
	}
	sin, cos = sin/period, cos/period
	for y := range h {
		row := dst.Pix[y*dst.Stride : y*dst.Stride+4*w]
		for x := range w {
			put(row[4*x:4*x+4], ramp[level(paint(float64(x)*cos-float64(y)*sin, float64(x)*sin+float64(y)*cos))])
		}
	}
	return nil
}

// cells is how many periods fit into n pixels, 1 to 512.
func cells(n int, period float64) int { return min(max(int(math.Round(float64(n)/period)), 1), 512) }

func put(px []uint8, c [3]uint8) { px[0], px[1], px[2], px[3] = c[0], c[1], c[2], 255 }

// scramble is the finaliser of SplitMix64.
func scramble(k uint64) uint64 {
	k = (k ^ k>>30) * 0xBF58476D1CE4E5B9
	k = (k ^ k>>27) * 0x94D049BB133111EB
	return k ^ k>>31
}
