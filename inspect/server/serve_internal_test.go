package server

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// fragile is a listener that breaks after its first connection.
type fragile struct {
	net.Listener
	accepted bool
	broken   <-chan struct{}
}

var errListener = errors.New("the listener is broken")

func (f *fragile) Accept() (net.Conn, error) {
	if !f.accepted {
		f.accepted = true
		return f.Listener.Accept()
	}
	<-f.broken
	return nil, errListener
}

// A listener that breaks ends the server with its connections, and a channel of signals that is closed
// asks for nothing.
func TestTheListenerBreaks(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	broken, came := make(chan struct{}), make(chan struct{})
	reload := make(chan os.Signal)
	close(reload)
	done := make(chan error, 1)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(came)
		<-r.Context().Done()
	})}
	again := 0
	go func() {
		done <- serve(t.Context(), Default(), srv, &fragile{Listener: l, broken: broken}, func() {}, slog.New(slog.DiscardHandler), reload, func() { again++ })
	}()
	failed := make(chan error, 1)
	go func() {
		resp, err := http.Get("http://" + l.Addr().String())
		if err == nil {
			err = resp.Body.Close()
		}
		failed <- err
	}()
	<-came
	close(broken)
	require.ErrorIs(t, <-done, errListener)
	require.Error(t, <-failed, "the connection is closed")
	require.Zero(t, again)
}
