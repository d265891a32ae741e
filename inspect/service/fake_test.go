package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/inspect/service"
)

// fake is an Inspector whose score is the brightest red of the picture, and whose map is
// that red.
type fake struct {
	name  string
	first func(ctx context.Context) error // asked before a picture is judged; nil: never
	bits  int                             // of 16-bit pictures, 0: as by default
	stats inspect.Stats

	mu     sync.Mutex
	judged int
}

const limit = 200 // rejects from here on

func (f *fake) Inspect(ctx context.Context, img image.Image) (inspect.Verdict, error) {
	if f.first != nil {
		if err := f.first(ctx); err != nil {
			return inspect.Verdict{}, err
		}
	}
	f.mu.Lock()
	f.judged++
	f.mu.Unlock()
	rgba := dataset.ToRGBA(img)
	m := downstream.Map{W: rgba.Rect.Dx(), H: rgba.Rect.Dy(), Data: make([]float32, rgba.Rect.Dx()*rgba.Rect.Dy()),
		Rect: dataset.Rect{MaxX: float64(rgba.Rect.Dx()), MaxY: float64(rgba.Rect.Dy())}}
	for i := range m.Data {
		m.Data[i] = float32(rgba.Pix[4*i])
	}
	v := inspect.Verdict{Product: f.name, Bundle: "0123456789ab", Scorer: "ba9876543210", Map: m, Scale: heatmap.Scale{Low: 100, High: 255},
		Waited: 2 * time.Millisecond, Took: 3 * time.Millisecond}
	v.Score, v.Threshold, v.Rule, v.AsHigh, v.Good = m.Max(), limit, "overkill of at most 5 %", 3, 41
	if v.Reject = v.Score >= limit; v.Reject {
		v.AsHigh = 0
		v.Defects = []inspect.Named{{Name: "scratch", Probability: 0.75}, {Name: "dent", Probability: 0.25}}
	}
	return v, nil
}

func (f *fake) Info() inspect.Info {
	return inspect.Info{Product: f.name, Bundle: "0123456789ab", Scorer: "ba9876543210", Version: 1, Library: "v0", Detector: "fake", Threshold: limit, Rule: "overkill of at most 5 %",
		Calibration: "one good part in twenty", Input: image.Pt(64, 48), Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Provenance: map[string]string{"seed": "1"}}
}

func (f *fake) Stats() inspect.Stats { return f.stats }

func (f *fake) Decoder() dataset.Decoder {
	d := dataset.DefaultDecoder()
	if f.bits != 0 {
		d.Bits16 = f.bits
	}
	return d
}

// part is a grey part; a defective one has a bright red place from 10,10 to 20,20.
func part(w, h int, defective bool) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{60, 60, 60, 255}
			if defective && x >= 10 && x < 20 && y >= 10 && y < 20 {
				c.R = 250
			}
			img.SetRGBA(x, y, c)
		}
	}
	return img
}

func encoded(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, img))
	return b.Bytes()
}

func handler(t testing.TB, change func(*service.Config), inspectors ...service.Inspector) *service.Handler {
	t.Helper()
	cfg := service.DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	if len(inspectors) == 0 {
		inspectors = []service.Inspector{&fake{name: "gear"}}
	}
	h, err := service.New(cfg, inspectors...)
	require.NoError(t, err)
	return h
}

// serve answers one request.
func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// call sends a request to a handler; header are pairs.
func call(h http.Handler, method, path string, body io.Reader, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, body)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return serve(h, r)
}

func read[T any](t testing.TB, w *httptest.ResponseRecorder) (v T) {
	t.Helper()
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&v))
	return v
}

// requireProblem looks at an error: status, code, a sentence, the id.
func requireProblem(t testing.TB, w *httptest.ResponseRecorder, status int, code string) string {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body.String())
	p := read[service.Problem](t, w)
	require.Equal(t, code, p.Error.Code, p.Error.Message)
	require.Regexp(t, `^[A-Z/].*\.$`, p.Error.Message)
	require.Equal(t, w.Header().Get("X-Request-Id"), p.RequestID)
	return p.Error.Message
}

// field is a field of a form.
type field struct {
	name string
	data []byte
}

func formOf(t testing.TB, fields ...field) (kind string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		p, err := w.CreateFormFile(f.name, "part.png")
		require.NoError(t, err)
		_, err = p.Write(f.data)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return w.FormDataContentType(), b.Bytes()
}

// scene is a part for the page: a washer on a bench, with a red scratch at 140..175,86..94.
func scene() *image.RGBA {
	const w, h = 256, 192
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			g := uint8(52 + 12*((x/3+y/5)%2))
			if d := (x-w/2)*(x-w/2) + (y-h/2)*(y-h/2); d < 80*80 && d > 26*26 {
				g = uint8(80 + d/160)
			}
			c := color.RGBA{min(g, 99), g, g, 255}
			if x >= 140 && x < 175 && y >= 86+(x-140)/8 && y < 94+(x-140)/8 {
				c.R = 250
			}
			img.SetRGBA(x, y, c)
		}
	}
	return img
}
