package service

import (
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// form says what the answer to an image looks like.
type form int

const (
	asJSON   form = iota
	asBase64      // JSON with the map
	asPNG         // the map alone
)

// formOf is what a request wishes: ?map=none, png or base64, else what its Accept header
// prefers.
func formOf(r *http.Request) (form, *fault) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return 0, failed(http.StatusBadRequest, codeRequest, "The query cannot be read.").because(err)
	}
	for key, values := range query {
		if key != "map" || len(values) != 1 {
			return 0, failed(http.StatusBadRequest, codeRequest, "The query has %q, want at most one: map=none, map=png or map=base64.", clip(key))
		}
	}
	if query.Has("map") {
		switch v := query.Get("map"); v {
		case "none":
			return asJSON, nil
		case "png":
			return asPNG, nil
		case "base64":
			return asBase64, nil
		default:
			return 0, failed(http.StatusBadRequest, codeRequest, "The query says map=%s, want none, png or base64.", clip(v))
		}
	}
	header := strings.Join(r.Header.Values("Accept"), ",")
	json, png := quality(header, "application", "json"), quality(header, "image", "png")
	switch {
	case json == 0 && png == 0:
		return 0, failed(http.StatusNotAcceptable, codeAccept, "The Accept header allows neither application/json nor image/png.")
	case png > json:
		return asPNG, nil
	}
	return asJSON, nil
}

// quality is what an Accept header gives a type, 0 to 1: the most specific range counts
// (RFC 9110, section 12.5.1). What cannot be read is passed over.
func quality(header, major, minor string) float64 {
	if strings.TrimSpace(header) == "" {
		return 1
	}
	best, q := -1, 0.0
	for item := range strings.SplitSeq(header, ",") {
		kind, params, err := mime.ParseMediaType(item)
		if err != nil {
			continue
		}
		specific := -1
		switch kind {
		case major + "/" + minor:
			specific = 2
		case major + "/*":
			specific = 1
		case "*/*":
			specific = 0
		}
		if specific <= best {
			continue
		}
		best, q = specific, 1
		if text, ok := params["q"]; ok {
			if v, err := strconv.ParseFloat(text, 64); err == nil && v >= 0 && v <= 1 {
				q = v
			}
		}
	}
	return q
}
