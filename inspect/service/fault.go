package service

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/inspect"
)

// statusGone is nginx's number for a client that went before its answer. It is for logs:
// there is mostly nobody left to read it.
const statusGone = 499

// retryAfter is what Retry-After says, in seconds: a queue of images empties in less.
const retryAfter = "1"

// Codes of problems. They do not change once they are published.
const (
	codeRequest      = "bad_request"
	codeNoImage      = "no_image"
	codeName         = "product_needed"
	codeToken        = "unauthorized"
	codePath         = "not_found"
	codeProduct      = "unknown_product"
	codeMethod       = "method_not_allowed"
	codeAccept       = "not_acceptable"
	codeSlow         = "slow_client"
	codeBytes        = "too_many_bytes"
	codePixels       = "too_many_pixels"
	codeType         = "unsupported_type"
	codeDecode       = "not_a_picture"
	codeImage        = "picture_refused"
	codeNotRecorded  = "not_recorded"
	codeGone         = "client_gone"
	codeInternal     = "internal"
	codeBusy         = "busy"
	codeClosed       = "closed"
	codeDeadline     = "deadline"
	internalSentence = "The image could not be judged. The server's log says why, under this request's id."
)

// fault is a request that is not answered as it wishes.
type fault struct {
	status  int
	code    string
	message string      // for people, one or two sentences
	header  http.Header // further headers, nil for none
	cause   error       // for the log, nil where message says it all
}

func failed(status int, code, format string, args ...any) *fault {
	return &fault{status: status, code: code, message: printable(fmt.Sprintf(format, args...), 600)}
}

func busy(format string, args ...any) *fault {
	f := failed(http.StatusServiceUnavailable, codeBusy, format, args...)
	f.header = http.Header{"Retry-After": {retryAfter}}
	return f
}

// because keeps the cause for the log.
func (f *fault) because(err error) *fault {
	f.cause = err
	return f
}

// ended is the fault of a context that is over, or nil.
func ended(ctx context.Context) *fault {
	if err := ctx.Err(); err != nil {
		return endOf(err)
	}
	return nil
}

func endOf(err error) *fault {
	if errors.Is(err, context.DeadlineExceeded) {
		return failed(http.StatusGatewayTimeout, codeDeadline, "The request took longer than this server allows. Send it again when the server has less to do.").because(err)
	}
	return failed(statusGone, codeGone, "The client went before the answer.").because(err)
}

// ofBody is the fault of a body that could not be read.
func (h *Handler) ofBody(err error) *fault {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return h.tooLarge()
	case errors.Is(err, context.DeadlineExceeded):
		return endOf(err)
	case errors.Is(err, os.ErrDeadlineExceeded): // of the connection
		f := failed(http.StatusRequestTimeout, codeSlow, "The body did not arrive within %v. Send it faster, or a smaller image.", h.cfg.ReadTimeout).because(err)
		f.header = http.Header{"Connection": {"close"}}
		return f
	case errors.Is(err, context.Canceled):
		return endOf(err)
	}
	return failed(http.StatusBadRequest, codeRequest, "The body could not be read to its end: it is cut short or not what its headers say.").because(err)
}

func (h *Handler) tooLarge() *fault {
	return failed(http.StatusRequestEntityTooLarge, codeBytes, "The image has more than %d bytes, which is this server's limit. Send it smaller or compressed.", h.cfg.MaxBytes)
}

// ofDecoding is the fault of bytes that are no image, or too large a one.
func (h *Handler) ofDecoding(err error) *fault {
	if errors.Is(err, dataset.ErrTooLarge) {
		return failed(http.StatusRequestEntityTooLarge, codePixels, "The image has more than %d pixels, which is this server's limit. Send it smaller.", h.cfg.MaxPixels).because(err)
	}
	why := err.Error()
	if _, after, ok := strings.Cut(why, dataset.ErrDecode.Error()+": "); ok {
		why = after // what was being done is known
	}
	return failed(http.StatusUnprocessableEntity, codeDecode, "The image cannot be decoded: %s.", why).because(err)
}

// ofInspecting is the fault of an Inspector's error.
func ofInspecting(ctx context.Context, err error) *fault {
	switch {
	case errors.Is(err, inspect.ErrBusy):
		return busy("More images are waiting than this server takes. Send it again after the time in Retry-After.").because(err)
	case errors.Is(err, inspect.ErrReplaced):
		return busy("The product's bundle is being replaced. Send the image again after the time in Retry-After.").because(err)
	case errors.Is(err, downstream.ErrClosed):
		f := failed(http.StatusServiceUnavailable, codeClosed, "This server is stopping. Send the image to another one.").because(err)
		f.header = http.Header{"Retry-After": {retryAfter}}
		return f
	case errors.Is(err, downstream.ErrImage):
		return failed(http.StatusUnprocessableEntity, codeImage, "The image does not fit the detector: %v.", err).because(err)
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		// An Inspector has limits of its own: only this request's end is the client's.
		if f := ended(ctx); f != nil {
			return f
		}
	}
	return failed(http.StatusInternalServerError, codeInternal, internalSentence).because(err)
}

// ofRecording is the fault of a Journal's error.
func ofRecording(err error) *fault {
	if errors.Is(err, inspect.ErrJournal) {
		return failed(http.StatusUnprocessableEntity, codeNotRecorded, "The feedback is not taken: %v.", err).because(err)
	}
	return failed(http.StatusInternalServerError, codeInternal, "The feedback could not be written down. The server's log says why, under this request's id.").because(err)
}
