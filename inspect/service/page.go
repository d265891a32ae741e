package service

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"sync"
)

//go:embed page.html
var pageText []byte

// pagePolicy is the Content-Security-Policy of the page: the one script and the one style
// that are in it, images that it made, and requests to this server.
var pagePolicy = sync.OnceValue(func() string {
	return "default-src 'none'; script-src " + sourceOf(pageText, "script") + "; style-src " + sourceOf(pageText, "style") +
		"; img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
})

// sourceOf names what is inside an element by its digest.
func sourceOf(page []byte, element string) string {
	_, rest, _ := bytes.Cut(page, []byte("<"+element+">"))
	inside, _, _ := bytes.Cut(rest, []byte("</"+element+">"))
	sum := sha256.Sum256(inside)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (x *exchange) page(string) *fault {
	h := x.w.Header()
	h.Set("Content-Security-Policy", pagePolicy())
	h.Set("Referrer-Policy", "no-referrer")
	return x.send(http.StatusOK, "text/html; charset=utf-8", pageText)
}
