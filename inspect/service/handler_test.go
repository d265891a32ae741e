package service_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/inspect/service"
)

func TestAPictureGetsItsVerdict(t *testing.T) {
	h := handler(t, nil)
	for _, path := range []string{"/inspect", "/inspect/gear"} {
		w := call(h, "POST", path, bytes.NewReader(encoded(t, part(40, 30, true))), "Content-Type", "image/png", "X-Request-Id", "line-7.42")
		require.Equal(t, 200, w.Code, w.Body.String())
		require.Equal(t, "line-7.42", w.Header().Get("X-Request-Id"))
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		a := read[service.Answer](t, w)
		require.Positive(t, a.Timing.Decode)
		a.Timing.Read, a.Timing.Decode = 0, 0
		threshold := 200.0
		require.Equal(t, service.Answer{RequestID: "line-7.42", Product: "gear", Bundle: "0123456789ab", Scorer: "ba9876543210", Decision: service.Reject, Score: 250, Threshold: &threshold,
			Rule: "overkill of at most 5 %", Reason: "rejected: score 250 is not below the threshold 200 (overkill of at most 5 %); 0 of 41 good parts score as high",
			AsHigh: 0, Good: 41, PValue: 1.0 / 42, Width: 40, Height: 30, Timing: service.Timing{Waited: 2, Inspect: 3},
			Defects: []service.Defect{{Name: "scratch", Probability: 0.75}, {Name: "dent", Probability: 0.25}}}, a)
	}
	a := read[service.Answer](t, call(h, "POST", "/inspect", bytes.NewReader(encoded(t, part(40, 30, false)))))
	require.Equal(t, service.Pass, a.Decision)
	require.Equal(t, []service.Defect{}, a.Defects)
}

func TestTheMapIsThatOfTheVerdict(t *testing.T) {
	h := handler(t, nil)
	pic := part(40, 30, true)
	v, err := (&fake{name: "gear"}).Inspect(t.Context(), pic)
	require.NoError(t, err)
	want, err := heatmap.Overlay(pic, v.Map, v.Scale)
	require.NoError(t, err)

	w := call(h, "POST", "/inspect?map=png", bytes.NewReader(encoded(t, pic)))
	require.Equal(t, 200, w.Code)
	require.Equal(t, "image/png", w.Header().Get("Content-Type"))
	require.Equal(t, "reject", w.Header().Get("X-Inspect-Decision"))
	require.Equal(t, "250", w.Header().Get("X-Inspect-Score"))
	require.Equal(t, "200", w.Header().Get("X-Inspect-Threshold"))
	require.Equal(t, "0123456789ab", w.Header().Get("X-Inspect-Bundle"))
	sent := w.Body.Bytes()
	got, err := png.Decode(bytes.NewReader(sent))
	require.NoError(t, err)
	require.Equal(t, want.Rect, got.Bounds())
	for y := range 30 {
		for x := range 40 {
			c := color.RGBAModel.Convert(got.At(x, y)).(color.RGBA)
			require.Equal(t, want.RGBAAt(x, y), c)
			inside := x >= 10 && x < 20 && y >= 10 && y < 20
			require.Equal(t, inside, c.R != c.B, "colour at the defect and nowhere else: %d,%d", x, y)
		}
	}

	a := read[service.Answer](t, call(h, "POST", "/inspect?map=base64", bytes.NewReader(encoded(t, pic))))
	require.Equal(t, &service.Map{Type: "image/png", Data: sent, Low: 100, High: 255}, a.Map)
	// In the text it is base64, as the description says.
	require.Contains(t, call(h, "POST", "/inspect?map=base64", bytes.NewReader(encoded(t, pic))).Body.String(), base64.StdEncoding.EncodeToString(sent))
}

func TestTheFormOfTheAnswer(t *testing.T) {
	h := handler(t, nil)
	for _, c := range []struct{ query, accept, kind string }{
		{"", "", "application/json"},
		{"", "*/*", "application/json"},
		{"", "application/json", "application/json"},
		{"", "image/png", "image/png"},
		{"", "image/*;q=0.9, application/json;q=0.1", "image/png"},
		{"", "image/png;q=0.2, application/json;q=0.3", "application/json"},
		{"", "text/html, */*;q=0.1", "application/json"},
		{"", "image/png;q=0, */*", "application/json"},
		{"", "application/json;q=0, */*", "image/png"},
		{"", "rubbish//, image/png", "image/png"},
		{"?map=none", "image/png", "application/json"},
		{"?map=png", "application/json", "image/png"},
		{"?map=base64", "image/png", "application/json"},
	} {
		w := call(h, "POST", "/inspect"+c.query, bytes.NewReader(encoded(t, part(30, 30, false))), "Accept", c.accept)
		require.Equal(t, 200, w.Code, "%+v", c)
		require.Equal(t, c.kind, w.Header().Get("Content-Type"), "%+v", c)
	}
}

func TestForms(t *testing.T) {
	h := handler(t, nil)
	pic := encoded(t, part(40, 30, true))
	kind, body := formOf(t, field{"comment", []byte("from the line")}, field{"image", pic}, field{"other", make([]byte, 1000)})
	a := read[service.Answer](t, call(h, "POST", "/inspect", bytes.NewReader(body), "Content-Type", kind))
	require.Equal(t, 250.0, a.Score)

	many := make([]field, 17)
	for i := range many {
		many[i] = field{"other", nil}
	}
	for _, c := range []struct {
		why    string
		fields []field
		cut    int
		code   string
	}{
		{"no image", []field{{"picture", pic}}, 0, "no_image"},
		{"no field", nil, 0, "no_image"},
		{"empty", []field{{"image", nil}}, 0, "no_image"},
		{"two", []field{{"image", pic}, {"image", pic}}, 0, "bad_request"},
		{"many", many, 0, "bad_request"},
		{"cut", []field{{"image", pic}}, 20, "bad_request"},
	} {
		kind, body := formOf(t, c.fields...)
		w := call(h, "POST", "/inspect", bytes.NewReader(body[:len(body)-c.cut]), "Content-Type", kind)
		require.Equal(t, 400, w.Code, c.why)
		requireProblem(t, w, 400, c.code)
	}
	requireProblem(t, call(h, "POST", "/inspect", bytes.NewReader(body), "Content-Type", "multipart/form-data"), 400, "bad_request")
}

func TestRequestsThatAreRefused(t *testing.T) {
	pic := encoded(t, part(40, 30, false))
	two := handler(t, nil, &fake{name: "gear"}, &fake{name: "spring"})
	one := handler(t, nil)
	for _, c := range []struct {
		h            http.Handler
		method, path string
		body         []byte
		header       []string
		status       int
		code, says   string
	}{
		{two, "POST", "/inspect", pic, nil, 400, "product_needed", "gear, spring"},
		{one, "POST", "/inspect", nil, nil, 400, "no_image", "field"},
		{one, "POST", "/inspect?map=gif", pic, nil, 400, "bad_request", "gif"},
		{one, "POST", "/inspect?map=png&map=png", pic, nil, 400, "bad_request", "map"},
		{one, "POST", "/inspect?mpa=png", pic, nil, 400, "bad_request", "mpa"},
		{one, "POST", "/inspect?a=%zz", pic, nil, 400, "bad_request", "query"},
		{one, "POST", "/inspect/bolt", pic, nil, 404, "unknown_product", "gear"},
		{one, "POST", "/inspect/", pic, nil, 404, "not_found", "/openapi.json"},
		{one, "POST", "/inspect/gear/2", pic, nil, 404, "not_found", ""},
		{one, "GET", "/metrics", nil, nil, 404, "not_found", ""},
		{one, "POST", "/feedback/gear", []byte(`{"label":"good"}`), []string{"Content-Type", "application/json"}, 404, "not_found", ""},
		{one, "GET", "/inspect", nil, nil, 405, "method_not_allowed", "POST, OPTIONS"},
		{one, "HEAD", "/inspect", nil, nil, 405, "method_not_allowed", ""},
		{one, "POST", "/info", pic, nil, 405, "method_not_allowed", "GET, HEAD, OPTIONS"},
		{one, "BREW", "/", nil, nil, 405, "method_not_allowed", "BREW"},
		{one, "POST", "/inspect", pic, []string{"Accept", "text/html"}, 406, "not_acceptable", ""},
		{one, "POST", "/inspect", pic, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "unsupported_type", "image/png"},
		{one, "POST", "/inspect", pic, []string{"Content-Type", ";;"}, 415, "unsupported_type", ""},
		{one, "POST", "/inspect", pic, []string{"Content-Type", "image/png", "Content-Encoding", "gzip"}, 415, "unsupported_type", "gzip"},
		{one, "POST", "/inspect", []byte("no picture"), []string{"Content-Type", "image/png"}, 422, "not_a_picture", "neither PNG"},
		{one, "POST", "/inspect", pic[:len(pic)/2], []string{"Content-Type", "image/png"}, 422, "not_a_picture", "ends too early"},
		{one, "POST", "/inspect", pic[:20], nil, 422, "not_a_picture", ""},
	} {
		w := call(c.h, c.method, c.path, bytes.NewReader(c.body), c.header...)
		if c.method == "HEAD" {
			require.Equal(t, c.status, w.Code)
			require.Empty(t, w.Body.String())
			continue
		}
		require.Contains(t, requireProblem(t, w, c.status, c.code), c.says, "%s %s", c.method, c.path)
		if c.status == 405 {
			require.NotEmpty(t, w.Header().Get("Allow"))
		}
	}
}

// failing refuses every picture with one error.
func failing(err error) *fake {
	return &fake{name: "gear", first: func(context.Context) error { return err }}
}

func TestWhatAnInspectorSaysIsToldTheCaller(t *testing.T) {
	pic := encoded(t, part(40, 30, false))
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{inspect.ErrBusy, 503, "busy"},
		{downstream.ErrClosed, 503, "closed"},
		{downstream.ErrImage, 422, "picture_refused"},
		{errors.New("a secret of the server"), 500, "internal"},
		{context.Canceled, 500, "internal"}, // not of this request
		{context.DeadlineExceeded, 500, "internal"},
	} {
		w := call(handler(t, nil, failing(c.err)), "POST", "/inspect", bytes.NewReader(pic))
		retry := w.Header().Get("Retry-After")
		require.NotContains(t, requireProblem(t, w, c.status, c.code), "secret")
		if c.status == 503 {
			require.Equal(t, "1", retry)
		} else {
			require.Empty(t, retry)
		}
	}
}

// odd is an Inspector whose verdict is changed.
type odd struct {
	fake
	change func(*inspect.Verdict)
}

func (o *odd) Inspect(ctx context.Context, img image.Image) (inspect.Verdict, error) {
	v, err := o.fake.Inspect(ctx, img)
	o.change(&v)
	return v, err
}

func TestVerdictsThatJSONDoesNotHave(t *testing.T) {
	pic := encoded(t, part(40, 30, false))
	post := func(change func(*inspect.Verdict), query string) (int, string) {
		w := call(handler(t, nil, &odd{fake{name: "gear"}, change}), "POST", "/inspect"+query, bytes.NewReader(pic))
		return w.Code, w.Body.String()
	}
	status, body := post(func(v *inspect.Verdict) { v.Threshold = math.Inf(1) }, "")
	require.Equal(t, 200, status)
	require.Contains(t, body, `"threshold":null`)
	status, body = post(func(v *inspect.Verdict) { v.Score = math.NaN() }, "")
	require.Equal(t, 500, status)
	require.Contains(t, body, `"internal"`)
	// A map that cannot be drawn is an error where it was asked for, and none elsewhere.
	status, body = post(func(v *inspect.Verdict) { v.Scale.High = v.Scale.Low }, "?map=png")
	require.Equal(t, 500, status)
	require.Contains(t, body, "map=none")
	status, _ = post(func(v *inspect.Verdict) { v.Scale.High = v.Scale.Low }, "")
	require.Equal(t, 200, status)
	// One at the detector's own size is brought to the picture's.
	status, _ = post(func(v *inspect.Verdict) { v.Map.W, v.Map.H, v.Map.Data = 4, 3, make([]float32, 12) }, "?map=png")
	require.Equal(t, 200, status)
	status, body = post(func(*inspect.Verdict) { panic("a fault") }, "")
	require.Equal(t, 500, status)
	require.Contains(t, body, `"internal"`)
}

func TestBytesAreBounded(t *testing.T) {
	pic := encoded(t, part(40, 30, false))
	exact := func(c *service.Config) { c.MaxBytes = int64(len(pic)) }
	less := func(c *service.Config) { c.MaxBytes = int64(len(pic)) - 1 }
	kind, form := formOf(t, field{"image", pic})
	big, bigForm := formOf(t, field{"image", pic}, field{"other", make([]byte, 80<<10)})
	for _, c := range []struct {
		change func(*service.Config)
		kind   string
		body   []byte
		ok     bool
	}{
		{exact, "image/png", pic, true},
		{less, "image/png", pic, false},
		{exact, kind, form, true},
		{less, kind, form, false},
		{exact, big, bigForm, false},
	} {
		for _, chunked := range []bool{false, true} {
			var body io.Reader = bytes.NewReader(c.body)
			if chunked {
				body = io.MultiReader(body) // hides the length
			}
			w := call(handler(t, c.change), "POST", "/inspect", body, "Content-Type", c.kind)
			if c.ok {
				require.Equal(t, 200, w.Code, w.Body.String())
			} else {
				requireProblem(t, w, 413, "too_many_bytes")
			}
		}
	}
}

// untouched fails when it is read.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestRefusedBeforeTheBodyIsRead(t *testing.T) {
	h := handler(t, func(c *service.Config) { c.Tokens = []string{"0123456789abcdef"} })
	for _, c := range []struct {
		length int64
		header []string
		status int
	}{
		{1000, nil, 401},
		{1 << 40, []string{"Authorization", "Bearer 0123456789abcdef"}, 413},
		{1000, []string{"Authorization", "Bearer 0123456789abcdef", "Content-Type", "text/plain"}, 415},
		{1000, []string{"Authorization", "Bearer 0123456789abcdef", "Accept", "text/plain"}, 406},
	} {
		r, err := http.NewRequest("POST", "/inspect", untouched{t})
		require.NoError(t, err)
		r.ContentLength = c.length
		for i := 0; i < len(c.header); i += 2 {
			r.Header.Set(c.header[i], c.header[i+1])
		}
		require.Equal(t, c.status, serve(h, r).Code)
	}
}

// hugePNG has a header that says a size, and next to nothing else.
func hugePNG(w, h uint32) []byte {
	head := make([]byte, 0, 17)
	head = append(head, "IHDR"...)
	head = binary.BigEndian.AppendUint32(head, w)
	head = binary.BigEndian.AppendUint32(head, h)
	head = append(head, 8, 2, 0, 0, 0)
	out := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d")
	out = append(out, head...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(head))
}

func TestPixelsAreCountedBeforeTheyTakeMemory(t *testing.T) {
	f := &fake{name: "gear"}
	h := handler(t, func(c *service.Config) { c.MaxPixels = 40 * 30 }, f)
	require.Equal(t, 200, call(h, "POST", "/inspect", bytes.NewReader(encoded(t, part(40, 30, false)))).Code)
	require.Contains(t, requireProblem(t, call(h, "POST", "/inspect", bytes.NewReader(encoded(t, part(40, 31, false)))), 413, "too_many_pixels"), "1200")
	require.Equal(t, 1, f.judged)
	require.Less(t, testing.AllocsPerRun(3, func() {
		call(h, "POST", "/inspect", bytes.NewReader(hugePNG(1<<31-1, 1<<31-1)))
	}), 500.0)
	requireProblem(t, call(h, "POST", "/inspect", bytes.NewReader(hugePNG(60000, 60000))), 413, "too_many_pixels")
}

// An Inspector that says how its pictures are read gets them so: 12 of 16 bits here.
func TestPicturesAreReadAsInTheFit(t *testing.T) {
	img := image.NewGray16(image.Rect(0, 0, 30, 30))
	img.SetGray16(12, 12, color.Gray16{Y: 250 << 4})
	score := func(bits int) float64 {
		return read[service.Answer](t, call(handler(t, nil, &fake{name: "gear", bits: bits}), "POST", "/inspect", bytes.NewReader(encoded(t, img)))).Score
	}
	require.Equal(t, 250.0, score(12))
	require.Equal(t, 15.0, score(16))
}

// swapped is a fake whose bundle is replaced by one of other bits after a picture was decoded,
// so many times.
type swapped struct {
	fake
	times int
	bits  int
}

func (s *swapped) Decoder() dataset.Decoder {
	d := dataset.DefaultDecoder()
	d.Bits16 = s.bits
	return d
}

func (s *swapped) Inspect(ctx context.Context, img image.Image) (inspect.Verdict, error) {
	if s.times > 0 {
		s.times--
		s.bits = 28 - s.bits // 12, 16
		return inspect.Verdict{}, inspect.ErrReplaced
	}
	return s.fake.Inspect(ctx, img)
}

// A picture that was read for a bundle that is no longer in force is read again.
func TestAReloadBetweenDecodingAndJudging(t *testing.T) {
	img := image.NewGray16(image.Rect(0, 0, 30, 30))
	img.SetGray16(12, 12, color.Gray16{Y: 250 << 4})
	ask := func(times, bits int) *httptest.ResponseRecorder {
		return call(handler(t, nil, &swapped{fake: fake{name: "gear"}, times: times, bits: bits}), "POST", "/inspect", bytes.NewReader(encoded(t, img)))
	}
	require.Equal(t, 250.0, read[service.Answer](t, ask(1, 16)).Score)
	require.Equal(t, 15.0, read[service.Answer](t, ask(1, 12)).Score)
	require.Equal(t, 250.0, read[service.Answer](t, ask(2, 12)).Score)
	requireProblem(t, ask(3, 12), 503, "busy")
}

func TestTokens(t *testing.T) {
	h := handler(t, func(c *service.Config) { c.Tokens = []string{"0123456789abcdef", "fedcba9876543210"} })
	pic := encoded(t, part(40, 30, false))
	for _, auth := range []string{"", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdefg", "Basic 0123456789abcdef", "0123456789abcdef", "Bearer  0123456789abcdef"} {
		w := call(h, "POST", "/inspect", bytes.NewReader(pic), "Authorization", auth)
		require.Equal(t, `Bearer realm="inspection"`, w.Header().Get("WWW-Authenticate"))
		requireProblem(t, w, 401, "unauthorized")
		requireProblem(t, call(h, "GET", "/info", nil, "Authorization", auth), 401, "unauthorized")
	}
	for _, auth := range []string{"Bearer 0123456789abcdef", "bearer fedcba9876543210"} {
		require.Equal(t, 200, call(h, "POST", "/inspect", bytes.NewReader(pic), "Authorization", auth).Code)
		require.Equal(t, 200, call(h, "GET", "/info", nil, "Authorization", auth).Code)
	}
	for _, path := range []string{"/", "/healthz", "/readyz", "/openapi.json"} {
		require.Equal(t, 200, call(h, "GET", path, nil).Code, path)
	}
}

func TestRequestIDs(t *testing.T) {
	h := handler(t, nil)
	for _, id := range []string{"a", "A-Z_0.9:+/=@", strings.Repeat("x", 128)} {
		require.Equal(t, id, call(h, "GET", "/healthz", nil, "X-Request-Id", id).Header().Get("X-Request-Id"))
	}
	seen := map[string]bool{}
	for _, id := range []string{"", " ", "two words", "new\nline", "ümlaut", strings.Repeat("x", 129), `"><script>`} {
		got := call(h, "GET", "/healthz", nil, "X-Request-Id", id).Header().Get("X-Request-Id")
		require.Regexp(t, "^[0-9a-f]{32}$", got)
		require.False(t, seen[got])
		seen[got] = true
	}
}

func TestHeadAndOptions(t *testing.T) {
	h := handler(t, nil)
	for _, path := range []string{"/", "/healthz", "/readyz", "/info", "/openapi.json"} {
		get, head, options := call(h, "GET", path, nil), call(h, "HEAD", path, nil), call(h, "OPTIONS", path, nil)
		require.Equal(t, 200, get.Code)
		require.Equal(t, 200, head.Code)
		require.NotEmpty(t, get.Body.String())
		require.Empty(t, head.Body.String())
		require.Equal(t, get.Header().Get("Content-Length"), head.Header().Get("Content-Length"))
		require.Equal(t, 204, options.Code)
		require.Equal(t, "GET, HEAD, OPTIONS", options.Header().Get("Allow"))
	}
	require.Equal(t, "POST, OPTIONS", call(h, "OPTIONS", "/inspect/gear", nil).Header().Get("Allow"))
}

func TestProductsByName(t *testing.T) {
	names := []string{"gear", "spring 12", "Größe", "a%2Fb", "x?y#z"}
	var all []service.Inspector
	for _, n := range names {
		all = append(all, &fake{name: n})
	}
	h := handler(t, nil, all...)
	pic := encoded(t, part(40, 30, false))
	for i, path := range []string{"gear", "spring%2012", "Gr%C3%B6%C3%9Fe", "a%252Fb", "x%3Fy%23z"} {
		a := read[service.Answer](t, call(h, "POST", "/inspect/"+path, bytes.NewReader(pic)))
		require.Equal(t, names[i], a.Product)
	}
	// Below a prefix it is the same.
	mux := http.NewServeMux()
	mux.Handle("/qa/", http.StripPrefix("/qa", h))
	require.Equal(t, "Größe", read[service.Answer](t, call(mux, "POST", "/qa/inspect/Gr%C3%B6%C3%9Fe", bytes.NewReader(pic))).Product)
	require.Equal(t, 200, call(mux, "GET", "/qa/", nil).Code)
	require.Equal(t, 200, call(http.StripPrefix("/qa", h), "GET", "/qa", nil).Code)
}

func TestInfo(t *testing.T) {
	f := &fake{name: "gear", stats: inspect.Stats{Accepted: 1, Rejected: 2, Failed: 3, Busy: 4, Expired: 5, Replaced: 6, Queued: 7, Running: 8,
		Drift: inspect.Drift{Seen: 9, PValue: 0.001, Alarm: true, Message: "scores rose"}}}
	threshold := 200.0
	require.Equal(t, service.Information{Products: []service.Product{
		{Name: "bolt", Bundle: "0123456789ab", Scorer: "ba9876543210", Version: 1, Library: "v0", Detector: "fake", Threshold: &threshold, Rule: "overkill of at most 5 %", Calibration: "one good part in twenty",
			Width: 64, Height: 48, Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Provenance: map[string]string{"seed": "1"}},
		{Name: "gear", Bundle: "0123456789ab", Scorer: "ba9876543210", Version: 1, Library: "v0", Detector: "fake", Threshold: &threshold, Rule: "overkill of at most 5 %", Calibration: "one good part in twenty",
			Width: 64, Height: 48, Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Provenance: map[string]string{"seed": "1"},
			Accepted: 1, Rejected: 2, Failed: 3, Busy: 4, Expired: 5, Replaced: 6, Queued: 7, Running: 8, Drift: service.Drift{Seen: 9, PValue: 0.001, Alarm: true, Message: "scores rose"}},
	}}, read[service.Information](t, call(handler(t, nil, f, &fake{name: "bolt"}), "GET", "/info", nil)))
}

func TestProbes(t *testing.T) {
	h := handler(t, nil)
	require.Equal(t, service.State{Status: "ok"}, read[service.State](t, call(h, "GET", "/healthz", nil)))
	require.Equal(t, service.State{Status: "ok"}, read[service.State](t, call(h, "GET", "/readyz", nil)))
	h.Drain()
	require.Equal(t, service.State{Status: "ok"}, read[service.State](t, call(h, "GET", "/healthz", nil)))
	w := call(h, "GET", "/readyz", nil)
	require.Equal(t, 503, w.Code)
	require.Equal(t, service.State{Status: "draining"}, read[service.State](t, w))
	require.Equal(t, 200, call(h, "POST", "/inspect", bytes.NewReader(encoded(t, part(40, 30, false)))).Code, "what comes all the same is answered")
}

func TestSettingsThatMakeNoSense(t *testing.T) {
	for _, change := range []func(*service.Config){
		func(c *service.Config) { *c = service.Config{} },
		func(c *service.Config) { c.MaxBytes = 0 },
		func(c *service.Config) { c.MaxBytes = math.MaxInt64 },
		func(c *service.Config) { c.MaxPixels = 0 },
		func(c *service.Config) { c.MaxPixels = 1<<26 + 1 },
		func(c *service.Config) { c.Memory = 4*c.MaxBytes + 32*int64(c.MaxPixels) - 1 },
		func(c *service.Config) { c.Timeout = 0 },
		func(c *service.Config) { c.ReadTimeout = c.Timeout + 1 },
		func(c *service.Config) { c.WriteTimeout = -1 },
		func(c *service.Config) { c.Tokens = []string{"0123456789abcdef", "short"} },
		func(c *service.Config) { c.Tokens = []string{"0123456789abcdef\n"} },
	} {
		cfg := service.DefaultConfig()
		change(&cfg)
		_, err := service.New(cfg, &fake{name: "gear"})
		require.ErrorIs(t, err, service.ErrConfig)
		require.NotContains(t, err.Error(), "short\"")
	}
	for _, names := range [][]string{{}, {""}, {".."}, {"a/b"}, {"a\nb"}, {"\xff"}, {strings.Repeat("x", 201)}, {"gear", "gear"}} {
		var all []service.Inspector
		for _, n := range names {
			all = append(all, &fake{name: n})
		}
		_, err := service.New(service.DefaultConfig(), all...)
		require.ErrorIs(t, err, service.ErrConfig, "%q", names)
	}
	_, err := service.New(service.DefaultConfig(), nil)
	require.ErrorIs(t, err, service.ErrConfig)
	for _, journals := range []map[string]service.Journal{{"gear": nil}, {"bolt": &journal{}}} {
		cfg := service.DefaultConfig()
		cfg.Journals = journals
		_, err = service.New(cfg, &fake{name: "gear"})
		require.ErrorIs(t, err, service.ErrConfig)
	}
}

// journal keeps feedback in memory.
type journal struct {
	got []inspect.Entry
	err error
}

func (j *journal) Append(e inspect.Entry) error {
	if j.err == nil {
		j.got = append(j.got, e)
	}
	return j.err
}

// forgetful takes all feedback.
type forgetful struct{}

func (forgetful) Append(inspect.Entry) error { return nil }

func TestFeedback(t *testing.T) {
	j := &journal{}
	h := handler(t, func(c *service.Config) { c.Journals = map[string]service.Journal{"gear": j} }, &fake{name: "gear"}, &fake{name: "spring"})
	post := func(path, kind, body string) (int, string) {
		w := call(h, "POST", path, strings.NewReader(body), "Content-Type", kind, "X-Request-Id", "f1")
		return w.Code, w.Body.String()
	}
	// What the answer said goes back with what the operator says.
	a := read[service.Answer](t, call(h, "POST", "/inspect/gear", bytes.NewReader(encoded(t, part(40, 30, true))), "X-Request-Id", "r1"))
	o := service.Opinion{Label: "good", RequestID: a.RequestID, Bundle: a.Bundle, Scorer: a.Scorer, Decision: a.Decision, Score: a.Score, Threshold: *a.Threshold, By: "shift 2", Note: "dust"}
	opinion := func(change func(*service.Opinion)) string {
		o := o
		change(&o)
		b, err := json.Marshal(o)
		require.NoError(t, err)
		return string(b)
	}
	fine := opinion(func(*service.Opinion) {})
	status, body := post("/feedback/gear", "application/json; charset=utf-8", fine)
	require.Equal(t, 200, status, body)
	require.JSONEq(t, `{"request_id":"f1","product":"gear","recorded":true}`, body)
	status, _ = post("/feedback/gear", "application/json", opinion(func(o *service.Opinion) { o.Label, o.Decision, o.By, o.Note = "defect", service.Pass, "", "" }))
	require.Equal(t, 200, status)
	want := inspect.Entry{Said: inspect.GoodAfterAll, Product: "gear", Bundle: "0123456789ab", Scorer: "ba9876543210", Score: 250, Threshold: 200, Reject: true, Picture: "r1", By: "shift 2", Note: "dust"}
	missed := want
	missed.Said, missed.Reject, missed.By, missed.Note = inspect.MissedDefect, false, "", ""
	require.Equal(t, []inspect.Entry{want, missed}, j.got)

	for _, c := range []struct {
		path, kind, body string
		status           int
	}{
		{"/feedback/bolt", "application/json", fine, 404},
		{"/feedback/spring", "application/json", fine, 404},
		{"/feedback/gear", "text/plain", fine, 415},
		{"/feedback/gear", "", fine, 415},
		{"/feedback/gear", "application/json", ``, 400},
		{"/feedback/gear", "application/json", `{}`, 400},
		{"/feedback/gear", "application/json", fine + "{}", 400},
		{"/feedback/gear", "application/json", strings.Replace(fine, "{", `{"more":1,`, 1), 400},
		{"/feedback/gear", "application/json", strings.Replace(fine, `"score":250`, `"score":1e999`, 1), 400},
		{"/feedback/gear", "application/json", opinion(func(o *service.Opinion) { o.Label = "fine" }), 400},
		{"/feedback/gear", "application/json", opinion(func(o *service.Opinion) { o.Decision = "" }), 400},
		{"/feedback/gear", "application/json", opinion(func(o *service.Opinion) { o.Bundle = "" }), 400},
		{"/feedback/gear", "application/json", strings.Replace(fine, `"score":250,`, "", 1), 400},
		{"/feedback/gear", "application/json", strings.Replace(fine, `"threshold":200`, `"threshold":null`, 1), 400},
		{"/feedback/gear", "application/json", opinion(func(o *service.Opinion) { o.RequestID = strings.Repeat("x", 129) }), 400},
		{"/feedback/gear", "application/json", opinion(func(o *service.Opinion) { o.By = strings.Repeat("x", 201) }), 400},
		{"/feedback/gear", "application/json", opinion(func(o *service.Opinion) { o.Note = strings.Repeat("x", 1001) }), 400},
		{"/feedback/gear", "application/json", opinion(func(o *service.Opinion) { o.Note = "\x00" }), 400},
		{"/feedback/gear", "application/json", opinion(func(o *service.Opinion) { o.Note = strings.Repeat("x", 17<<10) }), 413},
	} {
		status, body := post(c.path, c.kind, c.body)
		require.Equal(t, c.status, status, "%s: %s", c.body, body)
	}
	require.Len(t, j.got, 2)
	j.err = inspect.ErrJournal
	status, _ = post("/feedback/gear", "application/json", fine)
	require.Equal(t, 422, status)
	j.err = errors.New("disk full at /a/secret/place")
	status, body = post("/feedback/gear", "application/json", fine)
	require.Equal(t, 500, status)
	require.NotContains(t, body, "secret")
}

// One line for each request, which says what became of it and tells no token.
func TestTheLog(t *testing.T) {
	var b bytes.Buffer
	h := handler(t, func(c *service.Config) {
		c.Tokens = []string{"0123456789abcdef"}
		c.Logger = slog.New(slog.NewJSONHandler(&b, nil))
	}, &fake{name: "gear", first: func(ctx context.Context) error { return ctx.Err() }})
	call(h, "POST", "/inspect", bytes.NewReader(encoded(t, part(40, 30, true))), "Authorization", "Bearer 0123456789abcdef", "X-Request-Id", "r1")
	call(h, "POST", "/inspect", nil, "Authorization", "Bearer wrong-token-wrong", "X-Request-Id", "r2")
	call(h, "GET", "/healthz", nil)
	require.NotContains(t, b.String(), "0123456789abcdef")
	require.NotContains(t, b.String(), "wrong-token")
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	require.Len(t, lines, 2, "a probe is no news")
	var a, r map[string]any
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &a))
	require.NoError(t, json.Unmarshal([]byte(lines[1]), &r))
	for k, v := range map[string]any{"msg": "request", "id": "r1", "method": "POST", "route": "/inspect", "status": 200.0, "product": "gear", "reject": true, "score": 250.0, "pixels": 1200.0} {
		require.Equal(t, v, a[k], k)
	}
	for _, k := range []string{"read", "decode", "inspect", "answer", "took", "bytes"} {
		require.Positive(t, a[k], k)
	}
	require.Equal(t, "unauthorized", r["code"])
	require.Equal(t, 401.0, r["status"])
}

// watcher keeps events.
type watcher struct {
	began []string
	ends  []service.Event
}

type watched struct{}

func (o *watcher) Begin(ctx context.Context, r *http.Request) (context.Context, func(service.Event)) {
	o.began = append(o.began, r.URL.Path)
	return context.WithValue(ctx, watched{}, "seen"), func(e service.Event) { o.ends = append(o.ends, e) }
}

func TestObservers(t *testing.T) {
	a, b := &watcher{}, &watcher{}
	var value any
	h := handler(t, func(c *service.Config) { c.Observer = service.Observers(a, nil, b) }, &fake{name: "gear", first: func(ctx context.Context) error {
		value = ctx.Value(watched{})
		return nil
	}})
	pic := encoded(t, part(40, 30, true))
	call(h, "POST", "/inspect/gear", bytes.NewReader(pic), "X-Request-Id", "r1")
	call(h, "POST", "/inspect/bolt", bytes.NewReader(pic))
	call(h, "BREW", "/nowhere", nil)
	require.Equal(t, "seen", value, "the Inspector has the observer's context")
	require.Equal(t, a, b)
	require.Equal(t, []string{"/inspect/gear", "/inspect/bolt", "/nowhere"}, a.began)
	require.Len(t, a.ends, 3)
	e := a.ends[0]
	var names []string
	var sum time.Duration
	for _, s := range e.Stages {
		names = append(names, s.Name)
		sum += s.Took
	}
	require.Equal(t, []string{"read", "decode", "inspect", "answer"}, names)
	require.LessOrEqual(t, sum, e.Took)
	e.Stages, e.Took, e.Start = nil, 0, time.Time{}
	require.Equal(t, service.Event{ID: "r1", Method: "POST", Route: "/inspect/{product}", Product: "gear", Status: 200, Bytes: int64(len(pic)), Pixels: 1200, Judged: true, Reject: true, Score: 250}, e)
	require.Equal(t, "unknown_product", a.ends[1].Code)
	require.Empty(t, a.ends[1].Product, "what a client makes up is no label")
	require.Equal(t, service.Event{ID: a.ends[2].ID, Method: "other", Status: 404, Code: "not_found", Start: a.ends[2].Start, Took: a.ends[2].Took}, a.ends[2])
}
