package service_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/inspect/service"
)

// Whatever is sent is answered by a verdict or by a Problem with a status of the
// description, and leaves no memory taken.
func FuzzRequest(f *testing.F) {
	pic := encoded(f, part(24, 24, true))
	kind, form := formOf(f, field{"other", []byte("x")}, field{"image", pic})
	for _, s := range []struct {
		path, query, kind, accept string
		body                      []byte
		chunked                   bool
	}{
		{"/inspect", "", "image/png", "", pic, false},
		{"/inspect/gear", "map=base64", kind, "*/*", form, true},
		{"/inspect/gear", "map=png", kind, "", form[:len(form)-9], false},
		{"/inspect", "map=png&map=png", "image/*;;", "a/b;q=x,image/png;q=0.5", pic[:40], true},
		{"/inspect", "", "multipart/form-data; boundary=\"\"", "image/png", []byte("--\r\n\r\n----"), false},
		{"/inspect", "", "multipart/form-data; boundary=b", "", []byte("--b\r\nContent-Disposition: form-data; name=image\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=zz\r\n--b--"), false},
		{"/inspect", "", "", "", hugePNG(1<<31-1, 1<<31-1), false},
		{"/inspect", "", "image/png", "", []byte("GIF89a"), false},
		{"/inspect/%67ear", "%", "image/png", ",,;", []byte("\xff\xd8\xff\xe1\x00\x08Exif"), false},
		{"/feedback/gear", "", "application/json", "", []byte(`{"label":"good","request_id":"r","bundle":"b","scorer":"s","decision":"pass","score":1,"threshold":2}`), false},
		{"/feedback/gear", "", "application/json", "", []byte(`{"label":"good"}{`), true},
		{"//inspect/../gear", "", "", "", nil, false},
	} {
		f.Add(s.path, s.query, s.kind, s.accept, s.body, s.chunked)
	}
	change := func(c *service.Config) {
		c.MaxBytes, c.MaxPixels, c.Journals = 64<<10, 1<<14, map[string]service.Journal{"gear": forgetful{}}
		c.Memory = 4*c.MaxBytes + 32*int64(c.MaxPixels)
	}
	statuses := []int{200, 400, 404, 405, 406, 413, 415, 422}
	h := handler(f, change)
	whole, err := url.Parse("http://x/")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, path, query, kind, accept string, body []byte, chunked bool) {
		var r io.Reader = bytes.NewReader(body)
		if chunked {
			r = io.MultiReader(r)
		}
		req := httptest.NewRequest("POST", "/", r)
		u := *whole
		u.RawQuery = query
		var err error
		if u.Path, err = url.PathUnescape(path); err != nil {
			return // net/http answers it
		}
		u.RawPath = path
		req.URL = &u
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Accept", accept)
		w := serve(h, req)
		require.True(t, slices.Contains(statuses, w.Code), "%d %s", w.Code, w.Body)
		if w.Code != 200 {
			requireProblem(t, w, w.Code, problemOf(t, w.Body.Bytes()))
		} else if w.Header().Get("Content-Type") == "application/json" && strings.HasPrefix(path, "/inspect") {
			read[service.Answer](t, w)
		}
		// A request that takes all the memory that there is still finds it.
		big := io.MultiReader(bytes.NewReader(pic))
		require.Equal(t, 200, serve(h, httptest.NewRequest("POST", "/inspect", big)).Code)
	})
}

func problemOf(t *testing.T, body []byte) string {
	var p service.Problem
	require.NoError(t, json.Unmarshal(body, &p), "%s", body)
	return p.Error.Code
}
