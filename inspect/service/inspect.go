package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/inspect"
)

// inspectOne is /inspect: the one product.
func (x *exchange) inspectOne(string) *fault {
	if len(x.h.names) > 1 {
		return failed(http.StatusBadRequest, codeName, "This server knows several products. Name one: /inspect/{product} with %s.", x.h.list())
	}
	return x.inspect(x.h.names[0])
}

// list names the products for a message.
func (h *Handler) list() string {
	const most = 20
	s := strings.Join(h.names[:min(len(h.names), most)], ", ")
	if len(h.names) > most {
		s += fmt.Sprintf(" and %d more", len(h.names)-most)
	}
	return s
}

// product is the Inspector of a name.
func (x *exchange) product(name string) (Inspector, *fault) {
	in := x.h.products[name]
	if in == nil {
		return nil, failed(http.StatusNotFound, codeProduct, "There is no product %q here. There is %s.", clip(name), x.h.list())
	}
	x.event.Product = name
	return in, nil
}

// mostReadings is how often an image is decoded when bundles that read it otherwise replace
// each other.
const mostReadings = 3

// holder is an Inspector that says how long it has an image. *inspect.Inspector is one.
type holder interface {
	InspectHeld(ctx context.Context, img image.Image) (v inspect.Verdict, held <-chan struct{}, err error)
}

// released is closed: nobody has the image.
var released = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// inspect is the way of an image from the request to its answer.
func (x *exchange) inspect(name string) *fault {
	in, f := x.product(name)
	if f != nil {
		return f
	}
	wish, f := formOf(x.r)
	if f != nil {
		return f
	}
	ctx, h := x.r.Context(), x.h
	mem := &share{b: &h.memory}
	held := released
	// The image counts as long as anybody has it.
	defer func() {
		select {
		case <-held:
			mem.free()
		default:
			go func() {
				<-held
				mem.free()
			}()
		}
	}()

	var data []byte
	if f := x.stage(StageRead, func() (f *fault) {
		data, f = h.receive(ctx, x.w, x.r, mem)
		return f
	}); f != nil {
		return f
	}
	x.event.Bytes = int64(len(data))
	if f := ended(ctx); f != nil {
		return f
	}
	var img *image.RGBA
	var v inspect.Verdict
	for try := 1; ; try++ {
		d, own := decoderOf(in, h.cfg.MaxPixels)
		if f := x.stage(StageDecode, func() (f *fault) {
			img, f = x.decode(data, d, mem)
			return f
		}); f != nil {
			return f
		}
		if f := ended(ctx); f != nil {
			return f
		}
		var err error
		f := x.stage(StageInspect, func() *fault {
			asked := ctx
			if own { // of one that does not say how it reads, nothing else can be wanted
				asked = inspect.DecodedBy(ctx, d)
			}
			if wish == asJSON {
				asked = inspect.WithoutMap(asked)
			}
			if by, ok := in.(holder); ok {
				if v, held, err = by.InspectHeld(asked, img); held == nil {
					held = released
				}
			} else {
				v, err = in.Inspect(asked, img)
			}
			if err != nil {
				return ofInspecting(ctx, err)
			}
			if !isFinite(v.Score) {
				return failed(http.StatusInternalServerError, codeInternal, internalSentence).because(fmt.Errorf("score is %v", v.Score))
			}
			return nil
		})
		if f == nil {
			break
		}
		// A bundle that came between wants the file read otherwise.
		if try == mostReadings || !errors.Is(err, inspect.ErrReplaced) {
			return f
		}
	}
	x.event.Judged, x.event.Reject, x.event.Score = true, v.Reject, v.Score
	return x.stage(StageAnswer, func() *fault { return x.answer(v, img, wish) })
}

// decoderOf is how an Inspector's images are read, and whether it is the Inspector that
// says so.
func decoderOf(in Inspector, maxPixels int) (d dataset.Decoder, own bool) {
	d = dataset.DefaultDecoder()
	by, own := in.(interface{ Decoder() dataset.Decoder })
	if own {
		d = by.Decoder()
	}
	d.MaxPixels = min(d.MaxPixels, maxPixels)
	return d, own
}

// decode makes the image of its bytes. Its memory is taken first.
func (x *exchange) decode(data []byte, d dataset.Decoder, mem *share) (*image.RGBA, *fault) {
	size, err := d.Size(data)
	if err != nil {
		return nil, x.h.ofDecoding(err)
	}
	x.event.Pixels = size.X * size.Y
	if !mem.take(copies*int64(len(data)) + bytesAPixel*int64(x.event.Pixels)) {
		return nil, x.h.noMemory()
	}
	img, err := d.Image(bytes.NewReader(data))
	if err != nil {
		return nil, x.h.ofDecoding(err)
	}
	return img, nil
}

// answer sends a verdict.
func (x *exchange) answer(v inspect.Verdict, img *image.RGBA, wish form) *fault {
	a := answerOf(v)
	a.RequestID, a.Product = x.id, x.event.Product
	a.Width, a.Height = img.Rect.Dx(), img.Rect.Dy()
	a.Timing = Timing{Waited: milliseconds(v.Waited), Inspect: milliseconds(v.Took)}
	for _, s := range x.event.Stages {
		switch s.Name {
		case StageRead:
			a.Timing.Read = milliseconds(s.Took)
		case StageDecode:
			a.Timing.Decode = milliseconds(s.Took)
		}
	}
	if wish == asJSON {
		return x.json(http.StatusOK, a)
	}
	picture, err := drawMap(img, v)
	if err != nil {
		return failed(http.StatusInternalServerError, codeInternal, "The heat map could not be drawn. The server's log says why, under this request's id; the verdict alone can be had with map=none.").because(err)
	}
	if f := ended(x.r.Context()); f != nil {
		return f
	}
	if wish == asBase64 {
		a.Map = &Map{Type: "image/png", Data: picture, Low: v.Scale.Low, High: v.Scale.High}
		return x.json(http.StatusOK, a)
	}
	header := x.w.Header()
	header.Set("X-Inspect-Decision", string(a.Decision))
	header.Set("X-Inspect-Score", strconv.FormatFloat(v.Score, 'g', -1, 64))
	header.Set("X-Inspect-Threshold", strconv.FormatFloat(v.Threshold, 'g', -1, 64))
	header.Set("X-Inspect-Bundle", v.Bundle)
	return x.send(http.StatusOK, "image/png", picture)
}

const (
	maxOpinion = 16 << 10 // bytes of feedback
	maxNote    = 1000     // bytes
)

// feedback is what an operator says.
func (x *exchange) feedback(name string) *fault {
	if _, f := x.product(name); f != nil {
		return f
	}
	journal := x.h.cfg.Journals[name]
	if journal == nil {
		return failed(http.StatusNotFound, codeProduct, "No feedback is kept for product %q here.", clip(name))
	}
	// A page of another site cannot send this type unasked, so none can add to the journal.
	if kind, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return failed(http.StatusUnsupportedMediaType, codeType, "Feedback is JSON. Send it with Content-Type application/json.")
	}
	var o Opinion
	if f := x.stage(StageRead, func() *fault {
		x.h.control(x.w).readBy(time.Now().Add(x.h.cfg.ReadTimeout))
		data, err := io.ReadAll(&obedient{x.r.Context(), http.MaxBytesReader(x.w, x.r.Body, maxOpinion)})
		switch _, tooLarge := err.(*http.MaxBytesError); {
		case tooLarge:
			return failed(http.StatusRequestEntityTooLarge, codeBytes, "Feedback has at most %d bytes.", maxOpinion)
		case err != nil:
			return x.h.ofBody(err)
		}
		x.h.control(x.w).readBy(time.Time{})
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		if err := d.Decode(&o); err != nil {
			return failed(http.StatusBadRequest, codeRequest, "The feedback cannot be read: %v.", err).because(err)
		}
		if _, err := d.Token(); err != io.EOF {
			return failed(http.StatusBadRequest, codeRequest, "The feedback has more than one value.")
		}
		var given struct { // what is not there would count as 0
			Score, Threshold *float64
		}
		if err := json.Unmarshal(data, &given); err != nil || given.Score == nil || given.Threshold == nil {
			return failed(http.StatusBadRequest, codeRequest, "The fields score and threshold are missing or null. Send them as they are in the answer; feedback on a part that no threshold judged cannot be kept.")
		}
		return o.check()
	}); f != nil {
		return f
	}
	e := inspect.Entry{Said: inspect.Word(o.Label), Product: name, Bundle: o.Bundle, Scorer: o.Scorer, Score: o.Score, Threshold: o.Threshold,
		Reject: o.Decision == Reject, Picture: o.RequestID, By: o.By, Note: o.Note}
	if err := journal.Append(e); err != nil {
		return ofRecording(err)
	}
	return x.json(http.StatusOK, Recorded{RequestID: x.id, Product: name, Recorded: true})
}

// check refuses feedback that says nothing, or too much.
func (o Opinion) check() *fault {
	switch said := inspect.Word(o.Label); {
	case said != inspect.GoodAfterAll && said != inspect.MissedDefect:
		return failed(http.StatusBadRequest, codeRequest, "The label is %q, want %s or %s.", clip(o.Label), inspect.GoodAfterAll, inspect.MissedDefect)
	case o.Decision != Pass && o.Decision != Reject:
		return failed(http.StatusBadRequest, codeRequest, "The decision is %q, want %s or %s, as in the answer.", clip(string(o.Decision)), Pass, Reject)
	case o.RequestID == "" || o.Bundle == "" || o.Scorer == "":
		return failed(http.StatusBadRequest, codeRequest, "The fields request_id, bundle and scorer are missing or empty. Send them as they are in the answer.")
	case len(o.RequestID) > 128 || len(o.Bundle) > 128 || len(o.Scorer) > 128 || len(o.By) > 200:
		return failed(http.StatusBadRequest, codeRequest, "The fields request_id, bundle and scorer have at most 128 bytes, by at most 200.")
	case len(o.Note) > maxNote:
		return failed(http.StatusBadRequest, codeRequest, "The note has %d bytes, want at most %d.", len(o.Note), maxNote)
	}
	for _, s := range []string{o.RequestID, o.Bundle, o.Scorer, o.By, o.Note} {
		if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
			return failed(http.StatusBadRequest, codeRequest, "The feedback has control characters.")
		}
	}
	return nil
}
