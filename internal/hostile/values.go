package hostile

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing/fstest"
)

// maker draws arguments. What it makes is small: whatever a call allocates beyond
// that, the call chose.
type maker struct {
	rng  *rand.Rand
	pool []reflect.Value // arguments that make sense
}

// spoiled is how many of a hundred values are hostile rather than sensible.
const spoiled = 35

func (m *maker) hostile() bool { return m.rng.IntN(100) < spoiled }

func pick[T any](m *maker, from ...T) T { return from[m.rng.IntN(len(from))] }

// value draws a value of type t; fair asks for one that makes sense, where there
// is one.
func (m *maker) value(t reflect.Type, fair bool, depth int) reflect.Value {
	if v, ok := m.pooled(t, fair, depth); ok {
		return v
	}
	v := reflect.New(t).Elem()
	if depth > 6 {
		return v
	}
	switch t.Kind() {
	case reflect.Bool:
		v.SetBool(m.rng.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n := pick[int64](m, 1, 2, 3, 8, 16, 64, 0)
		if !fair {
			n = pick[int64](m, 0, -1, -7, 100, 1<<31-1, 1<<31, 1<<40, math.MaxInt64, math.MinInt64)
		}
		v.SetInt(n) // truncated to the type, which is another such number
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(pick[uint64](m, 0, 1, 2, 128, 255, 1<<31, math.MaxUint64))
	case reflect.Float32, reflect.Float64:
		x := pick(m, 0, 0.1, 0.3, 0.5, 0.95, 1)
		if !fair {
			x = pick(m, math.NaN(), math.Inf(1), math.Inf(-1), -1, 2, 1e300, -1e300, 1e18, math.SmallestNonzeroFloat64, -0.25)
		}
		v.SetFloat(x)
	case reflect.String:
		v.SetString(pick(m, "", "a", "good", "../..", "/", "a\x00b", "\xff\xfe", "{}", "%s%d", strings.Repeat("long", 1<<12)))
	case reflect.Slice:
		if n := m.length(fair); n >= 0 {
			v.Set(reflect.MakeSlice(t, n, n))
			for i := range n {
				v.Index(i).Set(m.value(t.Elem(), fair && !m.hostile(), depth+1))
			}
		}
	case reflect.Array:
		for i := range min(t.Len(), 64) {
			v.Index(i).Set(m.value(t.Elem(), fair, depth+1))
		}
	case reflect.Map:
		if n := m.length(fair); n >= 0 {
			v.Set(reflect.MakeMap(t))
			for range n {
				v.SetMapIndex(m.value(t.Key(), fair, depth+1), m.value(t.Elem(), fair, depth+1))
			}
		}
	case reflect.Pointer:
		if fair || m.rng.IntN(3) > 0 {
			v.Set(reflect.New(t.Elem()))
			v.Elem().Set(m.value(t.Elem(), fair, depth+1))
		}
	case reflect.Struct:
		for i := range t.NumField() {
			if t.Field(i).IsExported() {
				v.Field(i).Set(m.value(t.Field(i).Type, fair && !m.hostile(), depth+1))
			}
		}
	case reflect.Func:
		if fair || m.rng.IntN(3) > 0 {
			// It is called from any goroutine, so it draws from a generator of its own.
			own := &maker{rng: rand.New(rand.NewPCG(m.rng.Uint64(), m.rng.Uint64())), pool: m.pool}
			var mu sync.Mutex
			v.Set(reflect.MakeFunc(t, func([]reflect.Value) []reflect.Value {
				mu.Lock()
				defer mu.Unlock()
				out := make([]reflect.Value, t.NumOut())
				for i := range out {
					out[i] = own.value(t.Out(i), fair, depth+1)
				}
				return out
			}))
		}
	}
	return v
}

// length is the length of a slice or map, -1 for nil.
func (m *maker) length(fair bool) int {
	if fair {
		return pick(m, 4, 4, 4, 16, 64, 1, 2)
	}
	return pick(m, -1, 0, 1, 3, 4, 5, 17)
}

// pooled draws from the arguments that make sense and from the makers of the
// types below. For a hostile value of a struct it spoils one field of a good one.
func (m *maker) pooled(t reflect.Type, fair bool, depth int) (reflect.Value, bool) {
	if v, ok := m.special(t, fair); ok {
		return v, true
	}
	var fit []reflect.Value
	for _, v := range m.pool {
		if v.Type().AssignableTo(t) {
			fit = append(fit, v)
		}
	}
	if len(fit) == 0 {
		return reflect.Value{}, false
	}
	v := pick(m, fit...)
	if fair {
		return as(t, v), true
	}
	switch {
	case t.Kind() == reflect.Interface && m.rng.IntN(3) == 0:
		return reflect.Zero(t), true
	case v.Kind() == reflect.Struct && m.rng.IntN(4) > 0:
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		for range 1 + m.rng.IntN(2) {
			m.spoil(c, depth)
		}
		return as(t, c), true
	}
	if t.Kind() == reflect.Interface {
		return as(t, v), true
	}
	return reflect.Value{}, false
}

func as(t reflect.Type, v reflect.Value) reflect.Value {
	out := reflect.New(t).Elem()
	out.Set(v)
	return out
}

// spoil makes one exported field of a struct, or one of a struct in it, hostile.
func (m *maker) spoil(v reflect.Value, depth int) {
	var fields []int
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() {
			fields = append(fields, i)
		}
	}
	if len(fields) == 0 {
		return
	}
	f := v.Field(pick(m, fields...))
	if f.Kind() == reflect.Struct && m.rng.IntN(2) == 0 {
		m.spoil(f, depth+1)
		return
	}
	f.Set(m.value(f.Type(), false, depth+1))
}

// special makes values of types that reflection could not fill.
func (m *maker) special(t reflect.Type, fair bool) (reflect.Value, bool) {
	var v any
	switch t {
	case reflect.TypeFor[*rand.Rand]():
		if v = rand.New(rand.NewPCG(m.rng.Uint64(), 1)); !fair && m.rng.IntN(2) == 0 {
			v = (*rand.Rand)(nil)
		}
	case reflect.TypeFor[context.Context]():
		v = context.Background()
		if !fair {
			ended, cancel := context.WithCancel(context.Background())
			cancel()
			if v = ended; m.rng.IntN(2) == 0 {
				return reflect.Zero(t), true
			}
		}
	case reflect.TypeFor[error]():
		if fair || m.rng.IntN(2) == 0 {
			return reflect.Zero(t), true
		}
		v = errors.New("hostile")
	case reflect.TypeFor[image.Image]():
		v = m.image(fair)
		if v == nil {
			return reflect.Zero(t), true
		}
	case reflect.TypeFor[*image.RGBA]():
		v = m.rgba(fair)
	case reflect.TypeFor[*image.Gray]():
		v = m.gray(fair)
	case reflect.TypeFor[image.Rectangle]():
		v = m.rect(fair)
	case reflect.TypeFor[io.Reader](), reflect.TypeFor[io.ReaderAt]():
		b := make([]byte, m.rng.IntN(200))
		for i := range b {
			b[i] = byte(m.rng.Uint32())
		}
		if v = bytes.NewReader(b); !fair && m.rng.IntN(2) == 0 {
			return reflect.Zero(t), true
		}
	case reflect.TypeFor[io.Writer]():
		if v = io.Discard; !fair {
			return reflect.Zero(t), true
		}
	case reflect.TypeFor[fs.FS]():
		v = fstest.MapFS{"a.png": {Data: []byte("no picture")}, "train/good/0.png": {Data: nil}, "test/good": {Data: nil}}
		if !fair && m.rng.IntN(2) == 0 {
			return reflect.Zero(t), true
		}
	default:
		return reflect.Value{}, false
	}
	return as(t, reflect.ValueOf(v)), true
}

// rect draws bounds: of a small image, or empty, inside out, or as large as numbers go.
func (m *maker) rect(fair bool) image.Rectangle {
	if fair {
		return pick(m, image.Rect(0, 0, 16, 16), image.Rect(0, 0, 40, 24), image.Rect(3, 5, 35, 37))
	}
	return pick(m, image.Rectangle{}, image.Rect(0, 0, 1, 1), image.Rect(0, 0, 1<<30, 1<<30), image.Rect(0, 0, 1, 1<<40),
		image.Rectangle{Min: image.Pt(9, 9)}, image.Rectangle{Min: image.Pt(math.MinInt, math.MinInt), Max: image.Pt(math.MaxInt, math.MaxInt)},
		image.Rect(0, 0, 9, 0), image.Rectangle{Min: image.Pt(math.MaxInt-9, 0), Max: image.Pt(math.MaxInt, 9)})
}

func (m *maker) fill(pix []uint8) {
	for i := range pix {
		pix[i] = uint8(m.rng.Uint32())
	}
}

// tear makes an image one whose fields do not fit each other, or says that there is to be none.
func (m *maker) tear(pix *[]uint8, stride *int, rect *image.Rectangle) (none bool) {
	switch m.rng.IntN(6) {
	case 0:
		return true
	case 1:
		*pix, *stride, *rect = nil, 0, m.rect(false)
	case 2:
		*pix = (*pix)[:len(*pix)/2]
	case 3:
		*stride = pick(m, 0, -1, 1, math.MaxInt, math.MinInt)
	case 4:
		*rect = m.rect(false)
	case 5:
		*pix, *stride, *rect = nil, 0, image.Rectangle{}
	}
	return false
}

func (m *maker) rgba(fair bool) *image.RGBA {
	img := image.NewRGBA(m.rect(true))
	m.fill(img.Pix)
	if !fair && m.tear(&img.Pix, &img.Stride, &img.Rect) {
		return nil
	}
	return img
}

func (m *maker) gray(fair bool) *image.Gray {
	img := image.NewGray(m.rect(true))
	for i := range img.Pix {
		img.Pix[i] = uint8(255 * m.rng.IntN(2))
	}
	if !fair && m.tear(&img.Pix, &img.Stride, &img.Rect) {
		return nil
	}
	return img
}

// image draws an image of any kind; nil stands for an interface that holds nothing.
func (m *maker) image(fair bool) image.Image {
	if fair {
		if m.rng.IntN(4) == 0 {
			return m.gray(true)
		}
		return m.rgba(true)
	}
	switch m.rng.IntN(5) {
	case 0:
		return nil
	case 1:
		return (*image.RGBA)(nil)
	case 2:
		return image.NewUniform(color.White) // 2e9 pixels a side
	case 3:
		return m.gray(false)
	}
	return m.rgba(false)
}
