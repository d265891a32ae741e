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
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/card"
	"github.com/gotab/gotab/tab/training"
	"github.com/gotab/gotab/tensor"
)

// gate is the log of the first rank: it holds up what writes a line with one of its words until the other
// rank has met it three times more.
type gate struct {
	words []string
	mu    sync.Mutex
	moved *sync.Cond
	met   int
	over  bool
	held  []string
}

func newGate(words ...string) *gate {
	g := &gate{words: words}
	g.moved = sync.NewCond(&g.mu)
	return g
}

func (g *gate) Write(line []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range g.words {
		if strings.Contains(string(line), w) {
			for from := g.met; g.met < from+3 && !g.over; {
				g.moved.Wait()
			}
			g.held = append(g.held, w)
		}
	}
	return len(line), nil
}

func (g *gate) move(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
	g.moved.Broadcast()
}

// watched is a rank whose meetings move a gate.
type watched struct {
	tab.Group
	gate *gate
}

func (w watched) Gather(ctx context.Context, v []byte) ([][]byte, error) {
	all, err := w.Group.Gather(ctx, v)
	w.gate.move(func() { w.gate.met++ })
	return all, err
}

// onTwo runs a training on two ranks.
func onTwo(t *testing.T, c training.Config, g *gate) (complete [2]bool, errs [2]error) {
	t.Helper()
	training.ShortenBeat(t)
	before := tensor.GetThreads()
	require.NoError(t, tensor.SetThreads(tensor.Threads{Cores: 2, PerRun: 1})) // a rank holds its thread while it waits for the other
	t.Cleanup(func() { require.NoError(t, tensor.SetThreads(before)) })
	var all sync.WaitGroup
	for i, rank := range ranktest.New(2, 20*time.Second) {
		all.Add(1)
		go func() {
			defer all.Done()
			defer g.move(func() { g.over = true })
			defer rank.Leave()
			c := c
			c.Group = rank
			if i == 0 {
				c.Log = g
			} else {
				c.Group = watched{rank, g}
			}
			complete[i], errs[i] = training.Run(t.Context(), c)
		}()
	}
	all.Wait()
	return complete, errs
}

// What the first rank does alone before the first step may take longer than the others wait in one call.
func TestRanksMeetWhileTheFirstWorksAlone(t *testing.T) {
	testutil.NoLeak(t)
	c := small(t, filepath.Join(t.TempDir(), "w"))
	c.Synth, c.Twins.Measured, c.Twins.Draws, c.Train.Batch = nil, true, 2, 4
	g := newGate("measuring ", "summing up ")
	complete, errs := onTwo(t, c, g)
	require.NoError(t, errs[0])
	require.NoError(t, errs[1])
	require.Equal(t, [2]bool{true, true}, complete)
	require.Equal(t, g.words, g.held)
}

// A run that goes on from the checkpoint before its first step finds a card: without one there is none of it.
func TestCardComesBeforeTheFirstCheckpoint(t *testing.T) {
	testutil.NoLeak(t)
	c := small(t, filepath.Join(t.TempDir(), "w"))
	c.Train.Batch, c.Measured = 4, filepath.Join(t.TempDir(), "none")
	_, errs := onTwo(t, c, newGate())
	require.ErrorIs(t, errs[0], os.ErrNotExist)
	var peer *tab.PeerError
	require.ErrorAs(t, errs[1], &peer)
	require.Contains(t, peer.Message, "measured: ")
	require.NoFileExists(t, training.Checkpoint(c.Out))
	require.NoFileExists(t, card.Name(c.Out))
}
