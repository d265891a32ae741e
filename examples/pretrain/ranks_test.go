package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor/dist"
)

// worker is a process as an agent of torchrun starts it.
type worker struct {
	agent         string
	rank, attempt int
}

// joined is what a process has come to.
type joined struct {
	resumes bool
	err     error
}

// join lets each of several processes join the others for the weights out.
func join(t *testing.T, ctx context.Context, out string, size int, patience time.Duration, workers ...worker) []joined {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	got := make([]joined, len(workers))
	var wg sync.WaitGroup
	for i, w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			attempt := strconv.Itoa(w.attempt)
			env := map[string]string{
				"RANK": strconv.Itoa(w.rank), "WORLD_SIZE": strconv.Itoa(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": strconv.Itoa(port),
				"TORCHELASTIC_RESTART_COUNT": attempt, "TORCHELASTIC_ERROR_FILE": "/tmp/torchelastic_x/none_" + w.agent + "/attempt_" + attempt + "/0/error.json",
			}
			o, err := parse([]string{"-data", "parts", "-objective", "classes", "-out", out, "-rank-timeout", patience.String()}, io.Discard)
			if err != nil {
				got[i].err = err
				return
			}
			leave, err := o.join(ctx, func(k string) string { return env[k] }, io.Discard)
			if err == nil {
				err = leave()
			}
			got[i] = joined{o.Resume, err}
		}()
	}
	wg.Wait()
	return got
}

// Ranks whose agents count restarts differently meet, and all go on or all begin.
func TestRanksOfSeveralAgentsDecideAlike(t *testing.T) {
	if !dist.Built() {
		t.Skip("built without the engine; `make test-dist` builds it")
	}
	out := filepath.Join(t.TempDir(), "w.safetensors")
	alike := func(resumes bool, workers ...worker) {
		t.Helper()
		require.Equal(t, []joined{{resumes, nil}, {resumes, nil}}, join(t, t.Context(), out, 2, time.Minute, workers...))
	}
	alike(false, worker{"a", 0, 0}, worker{"b", 1, 0})
	require.NoError(t, os.WriteFile(out+".ckpt", []byte("step 5"), 0o600))
	alike(true, worker{"a", 0, 0}, worker{"b", 1, 1})
	alike(true, worker{"a", 1, 0}, worker{"b", 0, 1})
	alike(false, worker{"c", 0, 0}, worker{"d", 1, 0})
	require.FileExists(t, out+".ckpt.old")
}

// A run that fails while its ranks meet leaves the checkpoint of an older one; its second
// attempt does not go on from it.
func TestASecondAttemptIsNotAnOlderRun(t *testing.T) {
	if !dist.Built() {
		t.Skip("built without the engine; `make test-dist` builds it")
	}
	out := filepath.Join(t.TempDir(), "w.safetensors")
	require.NoError(t, os.WriteFile(out+".ckpt", []byte("of an older run"), 0o600))
	alone := join(t, t.Context(), out, 2, time.Second, worker{"a", 0, 0})
	require.ErrorIs(t, alone[0].err, dist.ErrLost)
	require.Equal(t, []joined{{}, {}}, join(t, t.Context(), out, 2, time.Minute, worker{"a", 0, 1}, worker{"b", 1, 1}))
	b, err := os.ReadFile(out + ".ckpt.old")
	require.NoError(t, err)
	require.Equal(t, "of an older run", string(b))
}

// So it is of one process that torchrun starts: its second attempt goes on from its own checkpoint.
func TestAgentOfOneProcess(t *testing.T) {
	testutil.NoLeak(t)
	out := filepath.Join(t.TempDir(), "w.safetensors")
	require.NoError(t, os.WriteFile(out+".ckpt", []byte("of an older run"), 0o600))
	t.Setenv("RANK", "0")
	t.Setenv("WORLD_SIZE", "1")
	attempt := func(n string) {
		t.Setenv("TORCHELASTIC_RESTART_COUNT", n)
		t.Setenv("TORCHELASTIC_ERROR_FILE", "/tmp/torchelastic_x/none_a/attempt_"+n+"/0/error.json")
	}
	args := []string{"-data", testutil.Plant(t, 4, 1, false), "-objective", "binary", "-out", out, "-size", "64", "-repeat", "1", "-device", "cpu", "-batch", "4", "-epochs", "1", "-max-steps", "1"}
	var stdout, stderr bytes.Buffer
	attempt("1") // the first one has failed before it came here
	require.NoError(t, run(t.Context(), args, &stdout, &stderr))
	require.NotContains(t, stderr.String(), "going on from")
	attempt("2")
	require.NoError(t, run(t.Context(), args, &stdout, &stderr))
	require.Contains(t, stderr.String(), "going on from "+out+".ckpt")
}
