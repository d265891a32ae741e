package main

import (
	"bufio"
	"context"
	"encoding/json"
	"image"
	"io"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/inspect/server"
)

// fake is a product without a bundle.
type fake struct{}

func (fake) Inspect(context.Context, image.Image) (inspect.Verdict, error) {
	return inspect.Verdict{}, nil
}
func (fake) Info() inspect.Info                   { return inspect.Info{Product: "gear", Threshold: 2} }
func (fake) Stats() inspect.Stats                 { return inspect.Stats{Accepted: 7} }
func (fake) Reload(context.Context) (bool, error) { return false, nil }
func (fake) Close() error                         { return nil }

const child = "INSPECTD_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(child) == "" {
		os.Exit(m.Run())
	}
	os.Exit(serve(os.Args[1:], func(context.Context, string, server.Settings) (server.Product, error) { return fake{}, nil }))
}

func TestMetricsAreServed(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-listen", "127.0.0.1:0", "-log", "json", "any")
	cmd.Env = append(os.Environ(), child+"=1")
	log, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill() // it has ended already, where this fails
			_ = cmd.Wait()
		}
	})
	var url string
	lines := bufio.NewScanner(log)
	for url == "" && lines.Scan() {
		var m struct{ Msg, URL string }
		require.NoError(t, json.Unmarshal(lines.Bytes(), &m), lines.Text())
		if m.Msg == "listening" {
			url = m.URL
		}
	}
	require.NotEmpty(t, url)
	get := func(path string) string {
		resp, err := http.Get(url + path)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 200, resp.StatusCode)
		return string(body)
	}
	get("info")
	metrics := get("metrics")
	require.Contains(t, metrics, `gotab_requests_total{code="",product="",route="/info",status="200"} 1`)
	require.Contains(t, metrics, `gotab_parts_total{decision="accepted",product="gear"} 7`)
	require.Contains(t, metrics, "go_goroutines")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	_, err = io.Copy(io.Discard, log)
	require.NoError(t, err)
	require.NoError(t, cmd.Wait())
}
