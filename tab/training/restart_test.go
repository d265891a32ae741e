package training_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/ranktest"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/training"
)

// folder holds a run's files for one test.
type folder string

func (f folder) out() string { return filepath.Join(string(f), "w.safetensors") }

func (f folder) write(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(f.out()+name, []byte(text), 0o600))
}

// requireFiles holds the files beside the weights against names and contents; "*" is any content.
func (f folder) requireFiles(t *testing.T, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(string(f))
	require.NoError(t, err)
	require.Len(t, entries, len(want))
	for name, text := range want {
		b, err := os.ReadFile(f.out() + name)
		require.NoError(t, err)
		if text != "*" {
			require.Equal(t, text, string(b), name)
		}
	}
}

// decide asks as one rank each, and returns their one answer.
func (f folder) decide(t *testing.T, starts ...training.Start) bool {
	t.Helper()
	got, errs := f.ask(t.Context(), starts...)
	for i := range starts {
		require.NoError(t, errs[i])
		require.Equal(t, got[0], got[i], "the ranks decide alike")
	}
	return got[0]
}

func (f folder) ask(ctx context.Context, starts ...training.Start) ([]bool, []error) {
	got, errs := make([]bool, len(starts)), make([]error, len(starts))
	if len(starts) == 1 {
		got[0], errs[0] = training.GoesOn(ctx, nil, f.out(), starts[0])
		return got, errs
	}
	var wg sync.WaitGroup
	for i, g := range ranktest.New(len(starts), time.Minute) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			got[i], errs[i] = training.GoesOn(ctx, g, f.out(), starts[i])
		}()
	}
	wg.Wait()
	return got, errs
}

// Agents count restarts each for itself; what one rank knows counts for all.
func TestRanksGoOnAlike(t *testing.T) {
	f := folder(t.TempDir())
	first, second := training.Start{Starter: "a"}, training.Start{Starter: "b"}
	require.False(t, f.decide(t, first, second))
	f.requireFiles(t, map[string]string{".ckpt.run": "*"})
	require.False(t, f.decide(t, first, second), "it was started again before there was a checkpoint")
	f.write(t, ".ckpt", "step 5")
	second.Attempt = 1
	require.True(t, f.decide(t, first, second), "rank 1 was started again, and rank 0 because of it")
	second.Attempt = 0
	require.True(t, f.decide(t, first, second), "both because another one came")
	require.True(t, f.decide(t, second, training.Start{Starter: "c"}), "one is gone and another one has come")
	require.True(t, f.decide(t, training.Start{Starter: "c"}, training.Start{Starter: "d"}), "so again")
	f.requireFiles(t, map[string]string{".ckpt": "step 5", ".ckpt.run": "*"})
	require.False(t, f.decide(t, first, second), "both are new")
	f.requireFiles(t, map[string]string{".ckpt.old": "step 5", ".ckpt.run": "*"})
}

// A run that failed before it wrote a checkpoint does not go on from that of an older one.
func TestARestartIsNotAnOlderRun(t *testing.T) {
	f := folder(t.TempDir())
	f.write(t, ".ckpt", "of an older run")
	now := training.Start{Starter: "now"}
	// Attempt 0 has failed before the ranks met, so that nobody has seen the file.
	now.Attempt = 1
	require.False(t, f.decide(t, now, now))
	f.requireFiles(t, map[string]string{".ckpt.old": "of an older run", ".ckpt.run": "*"})
	f.write(t, ".ckpt", "of this run")
	now.Attempt = 2
	require.True(t, f.decide(t, now, now))
	require.True(t, f.decide(t, now), "by itself")
	require.False(t, f.decide(t, training.Start{Starter: "next", Attempt: 1}), "another one by itself")
	f.requireFiles(t, map[string]string{".ckpt.old": "of this run", ".ckpt.run": "*"})
}

// Who asks goes on, whoever wrote the checkpoint; and without a starter the count tells.
func TestGoesOnWithoutStarters(t *testing.T) {
	f := folder(t.TempDir())
	ask, again := training.Start{Continue: true}, training.Start{Attempt: 1}
	for _, s := range []training.Start{ask, again, {}} {
		require.False(t, f.decide(t, s), "there is no checkpoint")
	}
	f.write(t, ".ckpt", "x")
	require.True(t, f.decide(t, ask))
	require.True(t, f.decide(t, training.Start{}, ask))
	require.True(t, f.decide(t, training.Start{}, again))
	require.False(t, f.decide(t, training.Start{}, training.Start{}))
	f.requireFiles(t, map[string]string{".ckpt": "x"})
	require.True(t, f.decide(t, training.Start{Starter: "a"}, training.Start{Starter: "b", Continue: true}))
	require.True(t, f.decide(t, training.Start{Starter: "b"}), "which is noted")
}

// What rank 0 cannot do ends all.
func TestGoesOnFailsOnAll(t *testing.T) {
	f := folder(t.TempDir())
	for name, text := range map[string]string{
		"not JSON": "x", "another kind": `{"kind":"x","version":1}`, "a later version": `{"kind":"gotab starters of a run","version":2}`,
		"too long": `{"kind":"gotab starters of a run","version":1,"starters":["` + strings.Repeat("a", 4<<20) + `"]}`,
	} {
		f.write(t, ".ckpt", "x")
		f.write(t, ".ckpt.run", text)
		_, errs := f.ask(t.Context(), training.Start{Starter: "a"}, training.Start{Starter: "a"})
		require.ErrorIs(t, errs[0], tab.ErrCheckpoint, name)
		require.ErrorContains(t, errs[0], ".ckpt.run", name)
		var peer *tab.PeerError
		require.ErrorAs(t, errs[1], &peer, name)
		require.Zero(t, peer.Rank)
		require.ErrorContains(t, errs[1], ".ckpt.run", name)
		f.requireFiles(t, map[string]string{".ckpt": "x", ".ckpt.run": text})
	}
	require.True(t, f.decide(t, training.Start{Starter: "a", Continue: true}), "who asks needs no note")
	gone := folder(filepath.Join(t.TempDir(), "none"))
	_, errs := gone.ask(t.Context(), training.Start{Starter: "a"}, training.Start{Starter: "a"})
	require.ErrorIs(t, errs[0], os.ErrNotExist)
	require.ErrorIs(t, errs[1], tab.ErrPeer)
	_, errs = f.ask(t.Context(), training.Start{Starter: strings.Repeat("a", 5<<20)})
	require.ErrorIs(t, errs[0], training.ErrConfig)
	_, err := training.GoesOn(t.Context(), nil, "", training.Start{})
	require.ErrorIs(t, err, training.ErrConfig)
	_, err = training.GoesOn(t.Context(), wrong{}, f.out(), training.Start{})
	require.ErrorIs(t, err, tab.ErrPeer)
}

// wrong is a group that forgets its ranks.
type wrong struct{ tab.Group }

func (wrong) Size() int                                        { return 2 }
func (wrong) Rank() int                                        { return 1 }
func (wrong) Gather(context.Context, []byte) ([][]byte, error) { return nil, nil }
