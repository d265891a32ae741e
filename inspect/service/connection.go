package service

import (
	"errors"
	"net"
	"net/http"
	"os"
	"time"
)

// recorder remembers what of an answer was sent.
type recorder struct {
	http.ResponseWriter
	status int   // 0 until the header is out
	err    error // of writing
	head   bool  // no body goes out
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.head {
		return len(p), nil
	}
	n, err := w.ResponseWriter.Write(p)
	if err != nil && w.err == nil {
		w.err = err
	}
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// control sets the deadlines of a connection.
type control struct {
	h *Handler
	c *http.ResponseController
}

func (h *Handler) control(w http.ResponseWriter) control {
	return control{h, http.NewResponseController(w)}
}

func (c control) readBy(t time.Time)  { c.said(c.c.SetReadDeadline(t)) }
func (c control) writeBy(t time.Time) { c.said(c.c.SetWriteDeadline(t)) }

// said logs a deadline that could not be set. Where there is no connection to set it on,
// Config.Timeout holds alone; a connection that is closed shows at the next byte.
func (c control) said(err error) {
	if err != nil && !errors.Is(err, http.ErrNotSupported) && !errors.Is(err, net.ErrClosed) {
		c.h.log.Warn("deadline of a connection cannot be set", "error", err)
	}
}

// isTimeout says whether a connection's deadline passed.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
