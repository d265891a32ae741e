package service

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"time"
	"unicode"
)

const (
	imageField = "image"
	maxParts   = 16       // of a form
	formBytes  = 64 << 10 // of a form beside the image
)

// receive reads the image of a request: the whole body, or a form's field. It reads no
// more than the limits allow, and takes memory from mem before it does.
func (h *Handler) receive(ctx context.Context, w http.ResponseWriter, r *http.Request, mem *share) ([]byte, *fault) {
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return nil, failed(http.StatusUnsupportedMediaType, codeType, "The body has Content-Encoding %q. Send the image as it is.", clip(enc))
	}
	kind, params, f := contentType(r)
	if f != nil {
		return nil, f
	}
	form := kind == "multipart/form-data"
	limit := h.cfg.MaxBytes
	if form {
		limit += formBytes
	}
	if r.ContentLength > limit {
		return nil, h.tooLarge()
	}
	want := h.cfg.MaxBytes // of a form, only the image is kept
	if r.ContentLength >= 0 {
		want = min(want, r.ContentLength)
	}
	if !mem.take(copies * want) {
		return nil, h.noMemory()
	}
	h.control(w).readBy(time.Now().Add(h.cfg.ReadTimeout))
	body := &obedient{ctx, http.MaxBytesReader(w, r.Body, limit)}
	var data []byte
	var err error
	if form {
		data, f, err = h.receiveForm(body, params["boundary"])
	} else {
		data, err = readUpTo(body, r.ContentLength)
	}
	if err != nil {
		return nil, h.ofBody(err)
	}
	if f != nil {
		return nil, f
	}
	// From here the server watches whether the client goes, which a deadline would end.
	h.control(w).readBy(time.Time{})
	if len(data) == 0 {
		return nil, failed(http.StatusBadRequest, codeNoImage, "There is no image in the request. Send it as the body, or as the field %q of a form.", imageField)
	}
	return data, nil
}

func (h *Handler) noMemory() *fault {
	return busy("The images in work take all the memory that this server may use. Send it again after the time in Retry-After.")
}

// contentType is the kind of the body. A body without one is taken as an image.
func contentType(r *http.Request) (string, map[string]string, *fault) {
	given := r.Header.Get("Content-Type")
	if given == "" {
		return "", nil, nil
	}
	kind, params, err := mime.ParseMediaType(given)
	switch {
	case err != nil:
		return "", nil, failed(http.StatusUnsupportedMediaType, codeType, "The Content-Type %q cannot be read.", clip(given)).because(err)
	case kind == "multipart/form-data":
		if params["boundary"] == "" {
			return "", nil, failed(http.StatusBadRequest, codeRequest, "The form's Content-Type has no boundary. Let the client's library set it.")
		}
		return kind, params, nil
	case strings.HasPrefix(kind, "image/") || kind == "application/octet-stream":
		return kind, params, nil
	}
	return "", nil, failed(http.StatusUnsupportedMediaType, codeType,
		"The body is %s. Send an image with Content-Type image/png or its like, or application/octet-stream, or as the field %q of multipart/form-data.", clip(kind), imageField)
}

// receiveForm reads a form to its end and returns its one image.
func (h *Handler) receiveForm(body io.Reader, boundary string) ([]byte, *fault, error) {
	parts := multipart.NewReader(body, boundary)
	var data []byte
	found := false
	for n := 0; ; n++ {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		if n == maxParts {
			return nil, failed(http.StatusBadRequest, codeRequest, "The form has more than %d fields. Send the image alone, as the field %q.", maxParts, imageField), nil
		}
		if p.FormName() != imageField {
			continue // NextPart passes over the rest
		}
		if found {
			return nil, failed(http.StatusBadRequest, codeRequest, "The form has several fields %q. Send one image in a request.", imageField), nil
		}
		found = true
		if data, err = readUpTo(io.LimitReader(p, h.cfg.MaxBytes+1), -1); err != nil {
			return nil, nil, err
		}
		if int64(len(data)) > h.cfg.MaxBytes {
			return nil, h.tooLarge(), nil
		}
	}
	if !found {
		return nil, failed(http.StatusBadRequest, codeNoImage, "The form has no field %q. Send the image as that field.", imageField), nil
	}
	return data, nil, nil
}

// readUpTo reads all of r, which is bounded, and of which size says how long it is; -1
// for unknown. Memory grows with what arrives, not with what is announced.
func readUpTo(r io.Reader, size int64) ([]byte, error) {
	const most = 1 << 20
	var b bytes.Buffer
	if size > 0 {
		b.Grow(int(min(size, most)) + bytes.MinRead)
	}
	_, err := b.ReadFrom(r)
	return b.Bytes(), err
}

// obedient ends reading with its context, where the connection has no deadline.
type obedient struct {
	ctx context.Context
	r   io.Reader
}

func (o *obedient) Read(p []byte) (int, error) {
	if err := o.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := o.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		if end := o.ctx.Err(); end != nil && !isTimeout(err) {
			err = end
		}
	}
	return n, err
}

// clip makes what a client said fit for a message.
func clip(s string) string { return printable(s, 80) }

// printable is a text on one line, of at most so many bytes and what says that it was cut.
func printable(s string, most int) string {
	end := ""
	if len(s) > most {
		s, end = s[:most], "..."
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?")) + end
}
